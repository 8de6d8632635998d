"""The page of a made-up work directory holds the right figures, and nothing from elsewhere."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.report import write_report
from bana_mm.structures import LabelStore, read_label_png, write_label_png

CONFIG = """
default_scope = 'mmseg'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='bana_mm.VGG16LargeFOV'),
    decode_head=dict(
        type='bana_mm.CosineDecodeHead',
        temperature=20.0,
        head=dict(type='FCNHead', loss_decode=dict(type='bana_mm.NoiseAwareLoss', gamma=7.0))))
train_dataloader = dict(batch_size=3, dataset=dict(
    type='bana_mm.VOCBoxDataset', ann_file='ImageSets/Segmentation/train_aug.txt', data_root={root!r},
    pseudo_labels=dict(dir={labels!r}, config='gone.py'), pipeline=[dict(type='Resize', scale=(77, 77))]))
test_dataloader = dict(dataset=dict(
    type='bana_mm.VOCBoxDataset', ann_file='ImageSets/Segmentation/val.txt', data_root={root!r},
    metainfo=dict(classes=('ring', 'triangle')), background_class=True, require_masks=True, pipeline=[]))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.125))
param_scheduler = [dict(type='PolyLR', power=0.9)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40)
randomness = dict(seed=13)
"""


class Page(HTMLParser):
    """Tables by the section they are in, pictures, and all addresses."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.pictures, self.cards, self.addresses, self.open = {}, [], [], [], []
        self.section = self.row = self.cell = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [value for name, value in attributes.items() if name in ('src', 'href', 'srcset', 'action')]
        if tag not in ('meta', 'link', 'img', 'input', 'line', 'circle', 'polyline'):
            self.open.append(tag)
        if tag == 'section':
            self.section = attributes['id']
        elif tag == 'img':
            self.pictures.append((attributes['alt'], attributes['src']))
        elif tag == 'article':
            self.cards.append(attributes)
        elif tag == 'tr':
            self.row = []
            self.tables.setdefault(self.section, []).append(self.row)
        elif tag in ('td', 'th'):
            self.cell = ''

    def handle_endtag(self, tag):
        if tag in ('line', 'circle', 'polyline'):
            return
        assert self.open.pop() == tag
        if tag in ('td', 'th'):
            self.row.append(self.cell.strip())
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def row_of(self, section, name):
        return next(row for row in self.tables[section] if row[0] == name)


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A training with predictions, the better the later the image, and labels that are right but for a stripe."""
    work = tmp_path_factory.mktemp('work')
    root = make_synthetic_voc(work / 'voc', 1, 4, image_size=(48, 64), classes=('ring', 'triangle'))
    run, labels = work / 'runs/nal', work / 'runs/labels'
    (run / '20260101_000000/vis_data').mkdir(parents=True)
    text = CONFIG.format(root=str(root), labels=str(labels))
    (run / '20260101_000000/vis_data/config.py').write_text(text)
    lines = [{'loss': 4 - step / 20, 'a.loss_ce': 1.0, 'b.loss_x': 2.0, 'time': 2.0, 'step': step} for step in (20, 40)]
    lines.append(dict(mIoU=41.25, step=40))
    (run / '20260101_000000/vis_data/scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    test = run / 'test/20260101_000100'
    test.mkdir(parents=True)
    (test / '20260101_000100.json').write_text(json.dumps(dict(mIoU=62.5, aAcc=88.0)))
    store = LabelStore(labels)
    store.begin(dict(classes=['ring', 'triangle']))
    (run / 'predictions').mkdir()
    masks = sorted((root / 'SegmentationClassAug').glob('val*.png'))
    for number, path in enumerate(masks):
        mask = read_label_png(path)
        y_ret = mask.copy()
        y_ret[:, :4] = 255
        store.write(path.stem, Y_crf=mask, Y_ret=y_ret)
        wrong = mask.copy()
        wrong[: len(mask) * (len(masks) - number) // (len(masks) + 1)] = 0
        write_label_png(run / 'predictions' / path.name, wrong)
    rows = dict(
        Y_crf=dict(mIoU=77.5, ignored=0.0, IoU=dict(background=90.0, ring=65.0)),
        agree=dict(mIoU=81.0, ignored=5.5, IoU=dict(background=92.0, ring=70.0)),
    )
    (labels / 'val.json').write_text(json.dumps(dict(images=9, rows=rows)))
    return work


@pytest.fixture(scope='module')
def text(work):
    path = write_report(work / 'runs', images=3, with_models=False)
    assert path == work / 'runs/report.html'
    return path.read_text()


@pytest.fixture(scope='module')
def page(text):
    page = Page(text)
    assert page.open == []  # every element ends
    return page


def test_settings(page):
    settings = {row[0]: row[1] for row in page.tables['settings'][1:]}
    assert settings['head'] == 'CosineDecodeHead(temperature=20.0) of FCNHead'
    assert settings['loss'] == 'NoiseAwareLoss(gamma=7.0)' and settings['optimizer'] == 'SGD(lr=0.125)'
    assert settings['length'] == '40 iters' and settings['seed'] == '13' and settings['batch size'] == '3'
    assert settings['sizes'] == 'Resize (77, 77)' and settings['trained on'].endswith('runs/labels')


def test_tables(page):
    assert page.row_of('labels', 'Y_crf') == ['Y_crf', '77.5', '0.0']
    assert page.row_of('labels', 'agree') == ['agree', '81.0', '5.5']
    assert page.row_of('labels', 'ring') == ['ring', '65.0', '70.0']
    assert page.row_of('segmentation', 'nal') == ['nal', '62.5', '88.0']
    assert page.row_of('segmentation', 'class') == ['class', 'Y_crf', 'Y_ret', 'prediction']
    assert page.row_of('segmentation', 'mean')[1] == '100.0'
    assert page.row_of('timing', 'training, nal')[1] == '1 min 20 s'


def test_filling_rates_are_those_of_the_masks(page, work):
    from bana_mm.datasets import VOCBoxDataset
    from bana_mm.evaluation.filling_rates import GROUND_TRUTH, measure_filling_rates

    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt',
        data_root=str(work / 'voc'),
        metainfo=dict(classes=('ring', 'triangle')),
    )
    ground_truth = measure_filling_rates({}, dataset)[GROUND_TRUTH]
    assert page.row_of('filling', 'class') == ['class', 'ground truth', 'Y_crf', 'Y_ret', 'prediction']
    for index, name in ((1, 'ring'), (2, 'triangle')):
        row = page.row_of('filling', name)
        assert row[1] == row[2] == f'{100 * ground_truth.mean(index):.1f}' and float(row[4]) < float(row[1])


def test_pictures(page, work):
    ids = sorted(path.stem for path in (work / 'runs/nal/predictions').glob('*.png'))
    assert [card['data-group'] for card in page.cards] == ['best', 'median', 'worst']
    assert page.cards[0]['data-name'] == ids[-1] and page.cards[-1]['data-name'] == ids[0]
    scores = [float(card['data-score']) for card in page.cards]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    assert set(json.loads(page.cards[0]['data-classes'])) <= {'ring', 'triangle'}
    names = ['image', 'boxes', 'Y_crf', 'Y_ret', 'reliable region', 'prediction', 'ground truth']
    of_first = [(alt, src) for alt, src in page.pictures if alt.endswith(f' of {ids[-1]}')]
    assert [alt for alt, _ in of_first] == [f'{name} of {ids[-1]}' for name in names]
    drawn = {}
    for alt, src in of_first:
        kind, content = src.split(',', 1)
        assert kind == 'data:image/jpeg;base64'
        drawn[alt.split(' of ')[0]] = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), dtype=int)
    assert len({picture.shape for picture in drawn.values()}) == 1 and drawn['image'].shape[0] == 150
    assert (drawn['reliable region'][:, :2].min() > 150) and (drawn['Y_crf'][:, :2].min() < 150)  # the stripe is white


def test_nothing_from_elsewhere(text, page):
    assert all(address.startswith(('data:', '#')) for address in page.addresses)
    assert not re.search(r'https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp', re.sub(r'base64,[\w+/=]+', '', text))
    assert len(text) < 3e6


def test_curves(text):
    assert re.search(
        r'<figcaption>loss</figcaption><svg.*?</svg><div class="legend"><span><i[^>]*></i>nal <b>2</b>', text
    )
    assert re.search(r'<figcaption>validation</figcaption>.*?nal <b>41.25</b>', text)
    assert 'parts of the loss, nal' in text


def test_labels_alone_and_what_is_wrong(work, tmp_path):
    page = Page(write_report(work / 'runs/labels', tmp_path / 'deep/page.html').read_text())
    assert page.row_of('labels', 'Y_crf')[1] == '77.5' and not page.cards
    with pytest.raises(ValueError, match="no training is called 'gap', only nal"):
        write_report(work / 'runs', tmp_path / 'x.html', main='gap')


def test_command_line(work, tmp_path, monkeypatch, capsys):
    import runpy
    import sys
    from pathlib import Path

    tool = str(Path(__file__).parents[2] / 'tools/analysis/report.py')
    out = tmp_path / 'page.html'
    folder = work / 'runs/nal/predictions'
    options = ['--out', out, '--images', 1, '--no-models', '--predictions', f'again={folder}', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', ['report.py', *map(str, [work / 'runs', *options])])
    runpy.run_path(tool, run_name='__main__')
    assert f' MB -> {out}; next: open it in a browser' in capsys.readouterr().err
    assert Page(out.read_text()).row_of('segmentation', 'class') == ['class', 'again', 'Y_crf', 'Y_ret', 'prediction']
    monkeypatch.setattr(sys, 'argv', ['report.py', str(tmp_path / 'gone')])
    with pytest.raises(SystemExit, match='report: .*gone: there is no such work directory'):
        runpy.run_path(tool, run_name='__main__')


def test_config_of_the_made_up_run_is_one(work):
    assert Config.fromfile(work / 'runs/nal/20260101_000000/vis_data/config.py').train_cfg.max_iters == 40

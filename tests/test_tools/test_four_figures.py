"""tools/test.py on a segmentation model: four figures of one run against those of runs of their own."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.registry import MODELS
from bana_mm.structures import read_label_png

REPO = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{REPO}/configs/bana/deeplabv1_vgg16_voc.py'
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    decode_head=dict(head=dict(in_channels=8, channels=8, num_classes=3)))
train_dataloader = dict(dataset=dict(metainfo=dict(classes=('ring', 'triangle'))))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(metainfo=dict(classes=('ring', 'triangle'))))
test_evaluator = dict(workers=0, crf=dict(bilateral=(4, 20, 10), gaussian=(3, 3), iterations=2))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A tiny VOC, a config of a narrow network, and random weights for it that find all classes."""
    root = tmp_path_factory.mktemp('four')
    make_tiny_voc(root / 'voc')
    (root / 'tiny.py').write_text(CONFIG)
    model = MODELS.build(dict(Config.fromfile(root / 'tiny.py').model, _scope_='mmseg'))
    torch.manual_seed(0)
    torch.save({name: torch.randn_like(value) * 0.2 for name, value in model.state_dict().items()}, root / 'tiny.pth')
    return root


@pytest.fixture
def test(run, prepared, tmp_path, monkeypatch):
    """Run the tool and return the scores that it wrote."""
    monkeypatch.setenv('VOC_ROOT', str(prepared / 'voc'))
    monkeypatch.chdir(tmp_path)

    def call(name, *args, config=prepared / 'tiny.py'):
        run('test', config, prepared / 'tiny.pth', '--work-dir', name, *args)
        (path,) = (path for path in Path(name).glob('*/*.json') if path.stem == path.parent.name)
        scores = json.loads(path.read_text())
        return {key: value for key, value in scores.items() if 'time' not in key}

    return call


@pytest.fixture
def passes(monkeypatch):
    """Grows by an entry with each pass of the network."""
    segmentor, shapes = MODELS.get('mmseg.EncoderDecoder'), []
    predict = segmentor.predict

    def counted(self, inputs, data_samples=None):
        shapes.append(inputs.shape)
        return predict(self, inputs, data_samples)

    monkeypatch.setattr(segmentor, 'predict', counted)
    return shapes


def test_all_gives_what_separate_runs_give(test, passes, capsys):
    crf = ('--cfg-options', 'test_evaluator.with_crf=True')
    plain, tta = test('plain', *crf), test('tta', '--tta', '--out', 'tta_crf', *crf)
    passes.clear()
    capsys.readouterr()
    figures = test('all', '--all', '--out', 'predictions')
    assert len(passes) == 2 * 8  # two images, eight views; the single scale is one of them
    assert figures == {**plain, **{re.sub('(_crf|)$', r'_tta\1', key, count=1): value for key, value in tta.items()}}
    assert len({figures[f'mIoU{name}'] for name in ('', '_crf', '_tta', '_tta_crf')}) == 4

    rows = [
        line.split()[-2:]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(('single scale ', 'multi-scale + flip '))
    ]
    shown = [[f'{figures[f"mIoU{view}{crf}"]:.2f}' for crf in ('', '_crf')] for view in ('', '_tta')]
    assert rows == shown

    saved = [
        {path.name: read_label_png(path) for path in Path(folder).glob('*.png')}
        for folder in ('predictions', 'tta_crf')
    ]
    assert saved[0].keys() == saved[1].keys() == {'val_00000.png', 'val_00001.png'}
    assert all(np.array_equal(label, saved[1][name]) for name, label in saved[0].items())


def test_single_scale_that_is_no_view_takes_a_pass_more(test, passes):
    views = [[dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 1.5)]]
    views += [[dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]]
    Path('other.py').write_text(f"""
{CONFIG}
tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms={views})]
""")
    plain, tta = test('plain', config='other.py'), test('tta', '--tta', config='other.py')
    passes.clear()
    figures = test('all', '--all', config='other.py')
    assert len(passes) == 2 * 3
    assert figures['mIoU'] == plain['mIoU'] != tta['mIoU'] == figures['mIoU_tta']


def test_a_crf_on_logits_that_were_not_merged_is_refused(test):
    with pytest.raises(ValueError, match='--all with a CRF needs .*LogitTTAModel.*; SegTTAModel does not'):
        test('all', '--all', '--cfg-options', 'tta_model.type=SegTTAModel')


def test_format_only_needs_neither_boxes_nor_masks(test, prepared):
    empty = (
        '--cfg-options',
        *(f'test_dataloader.dataset.data_prefix.{field}=none' for field in ('box_path', 'seg_map_path')),
    )
    with pytest.raises(FileNotFoundError, match=r"val_00000.xml does not exist .*data_prefix\['box_path'\]"):
        test('scored', *empty)
    assert test('plain', '--format-only', '--out', 'plain_png', *empty) == {}
    assert test('tta', '--format-only', '--tta', '--out', 'tta_png', *empty, 'test_evaluator.with_crf=True') == {}
    for folder in ('plain_png', 'tta_png'):
        for name in ('val_00000', 'val_00001'):
            label = read_label_png(f'{folder}/{name}.png', num_classes=2)
            assert label.shape == Image.open(prepared / f'voc/JPEGImages/{name}.jpg').size[::-1]


def test_wrong_number_of_classes(test):
    with pytest.raises(ValueError, match='num_classes=3, but the test set has 4 classes'):
        test('wrong', '--cfg-options', 'test_dataloader.dataset.metainfo.classes=[ring,triangle,disc]')
    with pytest.raises(ValueError, match='scores 21 classes.*the test set has 3 .background, ring, triangle.'):
        test('server', '--server-archive', 'out.zip')


@pytest.mark.parametrize(
    'args, message',
    [
        (['--all', '--tta'], 'not allowed with'),
        (['--all', '--format-only', '--out', 'x'], 'use --tta'),
        (['--format-only'], 'needs --out or --server-archive'),
        (['--server-archive', 'x.zip', '--competition', 'comp3'], 'invalid choice'),
    ],
)
def test_arguments_that_do_not_go_together(run, capsys, args, message):
    with pytest.raises(SystemExit):
        run('test', 'tiny.py', 'tiny.pth', *args)
    assert message in capsys.readouterr().err


def test_bad_archive_and_metric(test):
    with pytest.raises(ValueError, match='out.rar: an archive of results ends with .zip'):
        test('none', '--server-archive', 'out.rar')
    with pytest.raises(ValueError, match='tiny.py: --all needs test_evaluator=dict.*DenseCRFIoUMetric'):
        test('none', '--all', '--cfg-options', 'test_evaluator._delete_=True', 'test_evaluator.type=IoUMetric')


def test_predictions_of_images_in_subfolders(test, prepared, tmp_path):
    """fold1/001.jpg and fold2/001.jpg are two images, and two predictions."""
    voc = prepared / 'voc'
    names = (voc / 'ImageSets/Segmentation/val.txt').read_text().split()
    root = tmp_path / 'folds'
    for number, name in enumerate(names, 1):
        for folder, suffix in (('JPEGImages', 'jpg'), ('Annotations', 'xml'), ('SegmentationClassAug', 'png')):
            target = root / folder / f'fold{number}/001.{suffix}'
            target.parent.mkdir(parents=True)
            target.write_bytes((voc / folder / f'{name}.{suffix}').read_bytes())
    (root / 'val.txt').write_text('fold1/001\nfold2/001\n')
    options = (f'test_dataloader.dataset.data_root={root}', 'test_dataloader.dataset.ann_file=val.txt')
    expected = test('flat', '--out', 'flat_out')
    assert test('folds', '--out', 'out', '--cfg-options', *options) == expected
    test('mmseg', '--out', 'mmseg_out', '--cfg-options', *options, 'test_evaluator.type=IoUMetric')
    for number, name in enumerate(names, 1):
        flat = read_label_png(tmp_path / f'flat_out/{name}.png')
        assert np.array_equal(read_label_png(tmp_path / f'out/fold{number}/001.png'), flat)
        assert np.array_equal(read_label_png(tmp_path / f'mmseg_out/fold{number}/001.png'), flat)

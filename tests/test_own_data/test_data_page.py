"""The figures of a data set, what is advised, and the files that say so."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from own_data_sets import save_image, save_mask, voc_xml, write_yolo
from PIL import Image

from bana_mm.datasets import VOC_CLASSES
from bana_mm.own_data.advice import advise
from bana_mm.own_data.config_file import assignment
from bana_mm.own_data.init import check_data, init_data
from bana_mm.own_data.page import _may_be_one
from bana_mm.own_data.prepare import Wishes
from bana_mm.own_data.split import choose_split
from bana_mm.own_data.statistics import ClassCount, Spread, Statistics
from bana_mm.utils.config import read_config

REPO = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    (tmp_path / 'configs').mkdir()
    for name in ('_base_', 'bana'):
        (tmp_path / 'configs' / name).symlink_to(REPO / 'configs' / name)
    monkeypatch.chdir(tmp_path)


def statistics(images=1000, long_side=(500,), share=(0.3,), little=0):
    return Statistics(
        images=dict(train=images),
        classes={'lion': ClassCount(boxes=images, images=images, size=100.0, parts=dict(train=images))},
        long_side=Spread.of(long_side),
        short_side=Spread.of(long_side),
        box_size=Spread.of([100]),
        box_share=Spread.of(share),
        box_count=Spread.of([1]),
        without_boxes=0,
        without_background=0,
        little_background=little,
        masks=dict(train=0),
        ignored=0,
    )


def test_advice_for_data_like_voc_is_vocs():
    advice = advise(statistics(images=10582))
    assert (advice.scale, advice.crop, advice.bilateral(), advice.gaussian()) == (500, 321, (4, 55, 3), (3, 3))
    assert (advice.classifier.iterations, advice.segmentation.iterations) == (7937, 23810)  # of 10,582 / 20 an epoch
    assert advice.reasons == []


def test_advice_for_small_objects_in_large_images():
    advice = advise(statistics(long_side=[2000], share=[0.04]))  # 32 pixels in images of 800
    assert (advice.scale, advice.crop) == (800, 513)  # 800 * 321 / 500 = 513.6
    assert advice.bilateral() == (4, 220, 3) and advice.gaussian() == (3, 12)
    assert any('2.6 times the memory' in reason for reason in advice.reasons)
    advice = advise(statistics(long_side=[1000], share=[0.01]))  # 32 pixels in 3,200
    assert advice.scale == 1000 and any('into tiles' in reason for reason in advice.reasons)


def test_advice_for_small_images_few_images_and_little_background():
    advice = advise(statistics(images=30, long_side=[100], share=[0.9], little=10))
    assert (advice.scale, advice.crop, advice.bilateral()) == (200, 129, (4, 11, 3))
    assert (advice.classifier.iterations, advice.classifier.advised) == (23, 400)
    assert (advice.segmentation.iterations, advice.segmentation.advised) == (68, 400)
    for told in ('twice their size', 'too few', 'nearly filled'):
        assert any(told in reason for reason in advice.reasons)
    assert any('differ by more' in reason for reason in advise(statistics(long_side=[300, 400, 2000, 3000])).reasons)


def test_split():
    names, masked = [f'{number:03d}' for number in range(100)], [f'{number:03d}' for number in range(30)]
    split = choose_split(names, [None] * 100, masked, seed=3)
    assert len(split.val) == 15 and set(split.val) < set(masked)  # a fifth, but at most half of those with masks
    assert sorted(split.train + split.val) == names and 'seed 3' in split.remarks[0]
    assert (
        choose_split(names, [None] * 100, masked, seed=3) == split != choose_split(names, [None] * 100, masked, seed=4)
    )
    assert len(choose_split(names, [None] * 100, masked, share=0.1).val) == 10
    parts = ['val'] * 10 + ['test'] * 10 + ['train'] * 80
    given = choose_split(names, parts, masked)
    assert given.val == names[:10] and given.train == names[20:]
    assert choose_split(names, parts, masked, share=0).train == names
    without = choose_split(names, parts, masked[:4])
    assert without.val == [] and '4 of the 10 validation images' in without.remarks[0]
    assert choose_split(names, [None] * 100, []).train == names
    with pytest.raises(ValueError, match=r'\[0, 1\), got 1'):
        choose_split(names, parts, masked, share=1)


def write_zoo(root):
    """Four images of 40 x 20 pixels (width x height) with VOC's names."""
    boxes = {
        'a': [('cat', 1, 1, 40, 20)],  # no background
        'b': [('cat', 1, 1, 10, 10), ('dog', 21, 1, 30, 10)],
        'c': [('dog', 1, 1, 40, 18)],  # a tenth is background
        'd': [],
    }
    for number, (img_id, objects) in enumerate(boxes.items()):
        save_image(root / f'JPEGImages/{img_id}.jpg', number)
        (root / 'Annotations').mkdir(exist_ok=True)
        (root / f'Annotations/{img_id}.xml').write_text(voc_xml(objects))
    return root


def test_statistics(tmp_path):
    write_zoo(tmp_path / 'zoo')
    found = check_data('zoo').statistics
    assert found.images == dict(train=4) and found.masks == dict(train=0)
    assert (found.without_boxes, found.without_background, found.little_background) == (1, 1, 2)
    assert (found.long_side.median, found.short_side.median) == (40, 20)
    cat, dog = found.classes.values()
    assert list(found.classes) == ['cat', 'dog'] and (cat.boxes, cat.images, dog.parts) == (2, 2, dict(train=2))
    assert cat.size == pytest.approx((np.sqrt(800) + 10) / 2)
    assert not (tmp_path / 'zoo/ImageSets').exists()  # a check writes nothing


def test_masks_in_part(tmp_path):
    root = write_zoo(tmp_path / 'zoo')
    (root / 'SegmentationClassAug').mkdir()
    for img_id in 'bcd':
        mask = np.zeros((20, 40), np.uint8)
        mask[:3, :3] = dict(b=8, c=12, d=0)[img_id]
        mask[:3, 22:25] = 12 if img_id == 'b' else 0
        Image.fromarray(mask).save(root / f'SegmentationClassAug/{img_id}.png')
    report = init_data('zoo')
    assert report.problems == [] and report.prepared.data['metainfo']['classes'] == VOC_CLASSES
    train, val = ((root / report.prepared.data[mode]).read_text().split() for mode in ('train', 'val'))
    assert sorted(train + val) == list('abcd') and len(val) == 1 and val[0] != 'a'
    assert (root / 'bana_mm/masked.txt').read_text().split() == [one for one in train if one != 'a']
    assert report.statistics.masks == dict(train=2, val=1)
    assert init_data('zoo').prepared.data == report.prepared.data  # the lists that are there now


def test_masks_in_another_order(tmp_path):
    root = tmp_path / 'zoo'
    for number, objects in enumerate([('ape', 1), ('bee', 2), ('cow', 3), ('ape', 1)]):
        save_image(root / f'JPEGImages/{number}.jpg', number)
        (root / 'Annotations').mkdir(exist_ok=True)
        (root / f'Annotations/{number}.xml').write_text(voc_xml([(objects[0], 1, 1, 20, 20)]))
        index = {1: 2, 2: 3, 3: 1}[objects[1]]  # cow, ape, bee
        save_mask(root / f'SegmentationClass/{number}.png', {index: (2, 2)})
    page = check_data('zoo').page
    assert 'in alphabetical order' in page and 'in this order: --classes cow ape bee' in page
    right = check_data('zoo', wishes=Wishes(classes=('cow', 'ape', 'bee')))
    assert 'in this order' not in right.page and right.problems == []


def test_the_files_serve_configs(tmp_path):
    write_yolo(tmp_path / 'zoo')
    report = init_data('zoo')
    applied = dict(data='configs/own_data/zoo.py', preset='configs/own_data/zoo_sizes.py')
    cfg = read_config('configs/bana/bap_vgg16_voc.py', **applied)
    assert cfg.train_cfg.max_iters == 400 and cfg.param_scheduler[0].milestones == [250]
    assert cfg.train_dataloader.dataset.pipeline.resize.scale == (80, 80)
    assert cfg.model.label_recipe.crf.bilateral == (4, 4.4, 3) and cfg.model.label_recipe.recipe == 'bana_mm'
    for name, distance in (('deeplabv1_vgg16_voc', 9.7), ('deeplabv2_r101_voc', 5.4)):  # 121 and 67 times 40 / 500
        assert (
            read_config(f'configs/bana/{name}.py', preset=applied['preset']).test_evaluator.crf.bilateral[1] == distance
        )
        cfg = read_config(f'configs/bana/{name}.py', **applied)
        assert cfg.train_cfg.max_iters == 400 and cfg.train_cfg.val_interval == 80
        assert cfg.train_dataloader.dataset.pipeline.crop.crop_size == (49, 49) == cfg.model.data_preprocessor['size']
        assert cfg.val_dataloader is None and cfg.model.decode_head.head.num_classes == 3
    assert Path('configs/own_data/zoo.md').read_text() == report.page
    assert len(Path('configs/own_data/zoo.py').read_text().splitlines()) == 10


def test_page(tmp_path):
    root = write_zoo(tmp_path / 'zoo')
    for number in range(60):
        name = 'zerba' if number == 0 else 'zebra'
        save_image(root / f'JPEGImages/e{number}.jpg', number + 9)
        (root / f'Annotations/e{number}.xml').write_text(voc_xml([(name, 1, 1, 10, 10)]))
    (root / 'Annotations/b.xml').write_text(voc_xml([('cat', 9, 9, 3, 3)]))
    report = init_data('zoo')
    assert report.has_errors and report.written == [Path('configs/own_data/zoo.md')]
    assert not (root / 'ImageSets').exists()
    assert "Is 'zerba' (1 box) another spelling of 'zebra' (59)?" in report.page
    assert _may_be_one('Dog', 'dog') and _may_be_one('dgo', 'dog') and not _may_be_one('cow', 'cat')
    assert '| box | error | 1 |' in report.page and 'No config is written' in report.page
    assert json.loads(json.dumps(report.as_json()))['problems'][0]['kind'] == 'box'


def test_wishes(tmp_path):
    write_zoo(tmp_path / 'zoo')
    report = init_data('zoo', out='mine.py', wishes=Wishes(classes=('dog', 'cat'), val_share=0))
    assert report.prepared.data['metainfo']['classes'] == ('dog', 'cat') and Path('mine.py').is_file()
    with pytest.raises(ValueError, match='a config ends in .py'):
        init_data('zoo', out='mine')


def test_text_of_configs_reads_back():
    names = tuple(f'class {number}' for number in range(60))
    value = dict(
        type='a', nested=dict(classes=names, one=('a',)), when={'a.b': [(4, 121, 5)], 'c': ('x' * 70, 'y' * 60)}
    )
    text = assignment('data', value)
    scope = {}
    exec(text, scope)
    assert scope['data'] == value and max(map(len, text.splitlines())) <= 120 and len(text.splitlines()) < 25


def test_status_and_json_of_the_tool(tmp_path, monkeypatch, capsys):
    root = write_zoo(tmp_path / 'zoo')
    tool = str(REPO / 'tools/init_data.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [tool, *args])
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit as stop:
            return stop.code
        return 0

    assert run('zoo', '--check') == 0 and 'zoo: no problem found' in capsys.readouterr().out
    (root / 'Annotations/b.xml').write_text(voc_xml([('cat', 9, 9, 3, 3), ('dog', 1, 1, 5, 5), ('dog', 1, 1, 5, 5)]))
    assert run('zoo', '--check', '--json', 'found.json') == 1
    out = capsys.readouterr().out
    assert 'error: box: ' in out and 'warning: same-box: ' in out and '1 error and 1 warning in 1 file' in out
    assert {one['kind'] for one in json.loads(Path('found.json').read_text())['problems']} == {'box', 'same-box'}
    assert run('zoo', '--check', '--ignore', 'box', 'same-box') == 0
    assert run('zoo') == 1 and run('nowhere') == 2 and 'nowhere: the folder' in capsys.readouterr().err

import csv
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from bana_mm.evaluation import ConfusionMatrix
from bana_mm.structures import read_label_png

TOOLS = Path(__file__).parents[2] / 'tools/analysis'
SEGMENTOR = """
default_scope = 'mmseg'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    decode_head=dict(type='FCNHead', in_channels=8, channels=4, num_convs=1, num_classes=3),
    test_cfg=dict(mode='whole'))
test_evaluator = dict(type='bana_mm.DenseCRFIoUMetric', crf=dict(bilateral=(4, 20, 5), gaussian=(3, 3), iterations=2))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        type='bana_mm.VOCBoxDataset',
        data_root={root!r},
        ann_file='ImageSets/Segmentation/val.txt',
        metainfo=dict(classes=('ring', 'triangle')),
        background_class=True,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
"""


@pytest.fixture
def both(work, save_untrained, monkeypatch):
    """The folder with a segmentation model, too; the tools run in it."""
    monkeypatch.chdir(work)
    Path('seg.py').write_text(SEGMENTOR.format(root=str(work / 'voc')))
    save_untrained(Path('seg.py'))
    return work


def run_tool(monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    DefaultScope._instance_dict.clear()  # each call stands for a process
    runpy.run_path(str(TOOLS / name), run_name='__main__')


def search(monkeypatch, *arguments, model='bap'):
    run_tool(
        monkeypatch,
        'search_crf.py',
        f'{model}.py',
        f'{model}.pth',
        '--work-dir',
        'search',
        '--workers',
        0,
        '--number',
        3,
        '--device',
        'cpu',
        *arguments,
    )


def read_points():
    with open('search/search.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_search_for_labels(both, monkeypatch, capsys):
    search(monkeypatch, '--bilateral-weight', 2, 4, '--iterations', 0, 2)
    output = capsys.readouterr().out
    assert '4 points, 3 images of train_aug' in output and 'best: model.label_recipe.crf = dict(bilateral=(' in output
    points = read_points()
    assert [(row['bilateral_weight'], row['iterations']) for row in points] == [
        ('2.0', '0'),
        ('2.0', '2'),
        ('4.0', '0'),
        ('4.0', '2'),
    ]
    assert {row['gaussian_xy'] for row in points} == {'3.0'} and {row['temperature'] for row in points} == {'1.0'}

    # Y_crf that the label tool makes with these values scores the same.
    run_tool(
        monkeypatch,
        '../generate_labels.py',
        'bap.py',
        'bap.pth',
        '--out-dir',
        'labels',
        '--workers',
        0,
        '--device',
        'cpu',
        '--cfg-options',
        'model.label_recipe.crf.bilateral=(4,55,3)',
    )
    confusion = ConfusionMatrix(2)
    for img_id in Path('voc/ImageSets/Segmentation/train_aug.txt').read_text().split()[:3]:
        confusion.update(
            *(read_label_png(f'{folder}/{img_id}.png') for folder in ('voc/SegmentationClassAug', 'labels/Y_crf'))
        )
    assert float(points[3]['mIoU']) == pytest.approx(100 * confusion.mean_iou(), abs=0.5)  # stored as float16


def test_search_goes_on_and_refuses_other_inputs(both, monkeypatch, capsys):
    search(monkeypatch, '--iterations', 1)
    before = Path('search/search.csv').read_text()
    inputs = {path: path.stat().st_mtime_ns for path in Path('search/inputs').iterdir()}
    assert len(inputs) == 3
    search(monkeypatch, '--iterations', 1, 2, '--classes', 'ring')
    assert Path('search/search.csv').read_text().startswith(before) and len(read_points()) == 2
    assert {path: path.stat().st_mtime_ns for path in Path('search/inputs').iterdir()} == inputs
    assert 'mIoU, chosen' in capsys.readouterr().out
    for arguments, field in (
        (('--number', 2), r'data\.ids'),
        (('--cfg-options', 'model.label_recipe.background=cam'), r'recipe\.background'),
        (('--cfg-options', 'model.data_preprocessor.std=[40.,40.,40.]'), r'preprocessing\.std'),
    ):
        with pytest.raises(ValueError, match=rf'search\.json: .*was made with {field} = .*choose another folder'):
            search(monkeypatch, *arguments)
    with pytest.raises(ValueError, match='temperature must be finite and above 0, got 0.0'):
        search(monkeypatch, '--temperature', 0)


def test_search_for_predictions(both, monkeypatch, capsys):
    search(monkeypatch, '--bilateral-rgb', 5, 40, model='seg')
    assert 'best: test_evaluator.crf = dict(bilateral=(4, 20, ' in capsys.readouterr().out
    assert [row['bilateral_rgb'] for row in read_points()] == ['5.0', '40.0']


def test_filling_rates(both, monkeypatch, capsys):
    run_tool(
        monkeypatch,
        'filling_rates.py',
        'bap.py',
        '--labels',
        'box',
        'masks=files:voc/SegmentationClassAug',
        '--out-dir',
        'rates',
        '--split',
        'train_aug',
        '--min-boxes',
        1,
    )
    content = json.loads(Path('rates/filling_rates.json').read_text())
    labels = content['labels']
    assert content['images'] == 6 and list(labels) == ['ground truth', 'box', 'masks']
    assert labels['masks']['difference'] == labels['masks']['distance'] == 0
    assert labels['masks']['classes'] == labels['ground truth']['classes']
    assert labels['box']['mean_of_classes'] > labels['ground truth']['mean_of_classes'] > 0
    with open('rates/filling_rates.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    rings = [float(row['ground truth, %']) for row in rows if row['class'] == 'ring']
    assert np.mean(rings) == pytest.approx(labels['ground truth']['classes']['ring']['mean'], abs=0.01)
    assert Path('rates/filling_rates.png').stat().st_size > 1000
    output = capsys.readouterr().out
    assert 'distance of distributions' in output and f'ring ({len(rings)})' in output
    with pytest.raises(ValueError, match="'box' is there twice"):
        run_tool(monkeypatch, 'filling_rates.py', 'bap.py', '--labels', 'box', 'box', '--out-dir', 'rates')


def test_mask_trust(both, monkeypatch, capsys):
    run_tool(
        monkeypatch,
        'mask_trust.py',
        'bap.py',
        '--sources',
        'box+grabcut',
        'grabcut',
        '--images',
        2,
        '--fit',
        '--json',
        'trust.json',
    )
    found = json.loads(Path('trust.json').read_text())
    assert found['images'] == 2 and set(found['sources']) == {'box+grabcut', 'grabcut'}
    masks = found['masks']['box+grabcut']
    assert found['sources']['box+grabcut']['masks'] == len(masks) == len(found['masks']['grabcut'])
    assert all(one['evidence']['agreement'] is not None and one['evidence']['fill'] == 1 for one in masks)
    assert set(found['fitted']) == {'usual_fill', 'bias', 'weights', 'usual'}
    printed = capsys.readouterr().out
    assert '2 images' in printed and 'rank correlation of score and IoU' in printed


def test_cam_precision(both, monkeypatch, capsys):
    run_tool(
        monkeypatch,
        'cam_precision.py',
        'one=bap.py,bap.pth',
        'two=bap.py,bap.pth',
        '--out-dir',
        'cams',
        '--threshold',
        '.3',
        '--device',
        'cpu',
    )
    models = json.loads(Path('cams/cam_precision.json').read_text())['models']
    assert models['one'] == models['two'] and models['one']['boxes'] > 0
    for figures in models['one']['scores'].values():
        curve = figures['curve']
        assert (figures['precision'], figures['recall']) == (curve['precision'][30], curve['recall'][30])
        assert curve['precision'][0] == figures['object_share'] and curve['recall'][0] == 100
    assert 'two: 1 - A, stretched' in capsys.readouterr().out
    assert Path('cams/cam_precision.png').stat().st_size > 1000
    for arguments in (['bap.py,bap.pth'], ['a=bap.py,bap.pth', '--threshold', '.123']):
        with pytest.raises(SystemExit):
            run_tool(monkeypatch, 'cam_precision.py', *arguments, '--out-dir', 'cams')
    errors = capsys.readouterr().err
    assert "'bap.py,bap.pth' is not NAME=CONFIG,CHECKPOINT" in errors
    assert '--threshold must be 0, 0.01, .. or 1, got 0.123' in errors

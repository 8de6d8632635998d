import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import read_label_png

TOOL = Path(__file__).parents[2] / 'tools/generate_labels.py'
CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
    label_recipe=dict(crf=dict(iterations=2)))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        type='bana_mm.VOCBoxDataset',
        data_root={root!r},
        ann_file='ImageSets/Segmentation/val.txt',
        metainfo=dict(classes=('ring', 'triangle')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
        ]))
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A data set, a config and a checkpoint; the tools' global default scope is put back."""
    make_tiny_voc(tmp_path / 'voc')
    (tmp_path / 'bap.py').write_text(CONFIG.format(root=str(tmp_path / 'voc')))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tmp_path / 'bap.py').model)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), tmp_path / 'bap.pth')
        yield tmp_path


def run_tool(monkeypatch, work, *arguments):
    monkeypatch.setattr(sys, 'argv', ['generate_labels.py', str(work / 'bap.py'), str(work / 'bap.pth'), '--out-dir',
                                      str(work / 'labels'), '--device', 'cpu', *arguments])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_labels_of_two_splits(work, monkeypatch, capsys):
    run_tool(monkeypatch, work, '--split', 'val', '--workers', '0')
    run_tool(monkeypatch, work, '--workers', '1')
    output = capsys.readouterr().out
    assert '2/2' in output and '6/6' in output
    assert '6 images in' in output and 'in 1 worker processes' in output
    ids = [line for split in ('val', 'train_aug')
           for line in (work / f'voc/ImageSets/Segmentation/{split}.txt').read_text().split()]
    for name in ('Y_crf', 'Y_ret'):
        assert sorted(path.name for path in (work / 'labels' / name).iterdir()) == sorted(f'{i}.png' for i in ids)
        for img_id in ids:
            with Image.open(work / f'voc/JPEGImages/{img_id}.jpg') as image:
                label = read_label_png(work / f'labels/{name}/{img_id}.png', image.size[::-1], num_classes=2)
            assert len(np.unique(label)) > 1
    meta = json.loads((work / 'labels/meta.json').read_text())
    assert meta['config'] == 'bap.py' and meta['checkpoint']['name'] == 'bap.pth'
    assert meta['classes'] == ['ring', 'triangle']
    assert meta['recipe']['crf']['iterations'] == 2 and meta['recipe']['threshold'] == .99


def test_other_settings_need_overwrite(work, monkeypatch, capsys):
    common = ('--split', 'val', '--workers', '0')
    other = ('--cfg-options', 'model.label_recipe.background=cam')
    run_tool(monkeypatch, work, *common)
    with pytest.raises(ValueError, match=r"recipe\.background = 'attention', this run has 'cam'; .*--overwrite"):
        run_tool(monkeypatch, work, *common, *other)
    run_tool(monkeypatch, work, *common, *other, '--overwrite')
    assert capsys.readouterr().out.count('2 images in') == 2
    assert json.loads((work / 'labels/meta.json').read_text())['recipe']['background'] == 'cam'


def test_bad_arguments_leave_no_store(work, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'ImageSets/Segmentation/trian\.txt'):
        run_tool(monkeypatch, work, '--split', 'trian')
    with pytest.raises(ValueError, match=r'bap\.pth: checkpoint of another model than .*bap\.py: '
                       r'bap_head\.classifier\.weight has shape \(3, 8\) instead of \(6, 8\)'):
        run_tool(monkeypatch, work, '--cfg-options', 'model.bap_head.num_classes=5')
    with pytest.raises(ValueError, match=r"unknown field 'treshold' in label_recipe"):
        run_tool(monkeypatch, work, '--cfg-options', 'model.label_recipe.treshold=0.5')
    assert not (work / 'labels').exists()

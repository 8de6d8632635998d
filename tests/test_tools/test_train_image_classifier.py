"""The image-level path through the public tools: train with validation, test, and make labels."""

import json
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore

REPO = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{REPO}/configs/addons/cam_r50-s8_voc_isl-fsl.py'
classes = dict(classes=('ring', 'triangle'))
model = dict(
    data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=(48, 48))]),
    backbone=dict(_delete_=True, type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    head=dict(num_classes=2, in_channels=8),
    activations=dict(scales=(1.0,), crf=dict(iterations=1)))
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(48, 48)))
quick = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=3, **quick, dataset=dict(metainfo=classes, pipeline=pipeline))
val_dataloader = dict(**quick, dataset=dict(metainfo=classes))
test_dataloader = val_dataloader
param_scheduler = []
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A tiny VOC and a config of a narrow network for it."""
    monkeypatch.setenv('VOC_ROOT', str(make_tiny_voc(tmp_path / 'voc')))
    (tmp_path / 'tiny.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)


def test_train_with_validation_test_and_label(run, tmp_path):
    run('train', 'tiny.py')
    lines = [json.loads(line) for path in Path('work_dirs/tiny').rglob('scalars.json') for line in open(path)]
    assert [{'loss_cls', 'loss_isl', 'loss_fsl'} <= set(line) for line in lines] == [True, True, False]
    validated = lines[-1]  # its hooks saw predictions beside masks
    assert 0 < validated['cam_mIoU_best'] <= 100 and 0 <= validated['cam_contour_F'] <= 100

    run('test', 'tiny.py', 'work_dirs/tiny/iter_2.pth', '--work-dir', 'tested')
    (tested,) = (json.loads(path.read_text()) for path in Path('tested').glob('*/*.json'))
    assert tested['cam_mIoU_best'] == pytest.approx(validated['cam_mIoU_best'])

    run('generate_labels', 'tiny.py', 'work_dirs/tiny/iter_2.pth', '--split', 'val', '--out-dir', 'labels')
    images = (tmp_path / 'voc/ImageSets/Segmentation/val.txt').read_text().split()
    assert images and LabelStore('labels').missing(images) == []

"""No mask is read on the way from boxes to a trained segmentation model: there is none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore

REPO = Path(__file__).parents[2]
COMMON = """
quick = dict(num_workers=0, persistent_workers=False)
classes = dict(classes=('ring', 'triangle'))
param_scheduler = []
train_cfg = dict(max_iters=1, val_interval=10)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""
CLASSIFIER = f"""
_base_ = '{REPO}/configs/bana/bap_vgg16_voc.py'
{COMMON}
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    bap_head=dict(in_channels=8),
    label_recipe=dict(crf=dict(iterations=1)),
)
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(41, 41)))
train_dataloader = dict(batch_size=2, **quick, dataset=dict(metainfo=classes, pipeline=pipeline))
val_dataloader = dict(**quick, dataset=dict(metainfo=classes))
test_dataloader = val_dataloader
"""
SEGMENTATION = f"""
_base_ = '{REPO}/configs/bana/deeplabv1_vgg16_voc.py'
{COMMON}
model = dict(
    data_preprocessor=dict(size=(41, 41)),
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    decode_head=dict(head=dict(in_channels=8, channels=8)),
)
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(41, 41)))
labels = dict(config='bap.py', dir='labels')
train_dataloader = dict(
    batch_size=2, **quick, dataset=dict(metainfo=classes, pipeline=pipeline, pseudo_labels=labels)
)
val_dataloader = val_evaluator = val_cfg = test_dataloader = test_evaluator = test_cfg = None
"""


def test_all_stages_without_any_mask(run, tmp_path, monkeypatch, capsys):
    root = make_tiny_voc(tmp_path / 'voc')
    for folder in root.glob('Segmentation*'):
        shutil.rmtree(folder)
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.chdir(tmp_path)
    Path('bap.py').write_text(CLASSIFIER)
    Path('deeplab.py').write_text(SEGMENTATION)

    run('train', 'bap.py', '--work-dir', 'stage1')
    run('generate_labels', 'bap.py', 'stage1/iter_1.pth', '--out-dir', 'labels', '--workers', 0, '--device', 'cpu')
    ids = (root / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    assert len(ids) == 6 and not LabelStore('labels').missing(ids)
    assert json.loads(Path('labels/meta.json').read_text())['masks_used'] == 0
    run('train', 'deeplab.py', '--work-dir', 'stage3')
    assert torch.load('stage3/iter_1.pth', weights_only=False)['meta']['iter'] == 1

    trained = ('deeplab.py', 'stage3/iter_1.pth')
    capsys.readouterr()
    with pytest.raises(
        SystemExit, match=r'deeplab.py has no images with masks to test on .*predict(.py)? deeplab.py stage3'
    ):
        run('test', *trained)
    images = Path('photos/more')
    images.mkdir(parents=True)
    shutil.copy(next(root.glob('JPEGImages/*.jpg')), images / 'a.jpg')
    Image.new('RGB', (30, 20)).save('photos/b.png')
    run('predict', *trained, 'photos', '--out-dir', 'found', '--device', 'cpu')
    assert capsys.readouterr().err.endswith(': predictions of 2 images -> found\n')
    for name in ('more/a', 'b'):
        with Image.open(f'found/{name}.png') as label, Image.open(f'found/{name}_overlay.png') as overlay:
            size = Image.open(images / 'a.jpg').size if name == 'more/a' else (30, 20)
            assert label.size == size and np.array(label).max() <= 2 and overlay.height > 400
    with pytest.raises(SystemExit, match='predict: nowhere.jpg: there is no such image or folder'):
        run('predict', *trained, 'nowhere.jpg')
    with pytest.raises(SystemExit, match='--out-dir: the prediction'):
        run('predict', *trained, 'photos/b.png', shutil.copy(images / 'a.jpg', images / 'b.jpg'))

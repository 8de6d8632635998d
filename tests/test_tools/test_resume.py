"""A training that is interrupted and resumed ends with the weights of one that was not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore, read_label_png
from bana_mm.utils.safe_loading import read_checkpoint

REPO = Path(__file__).parents[2]
COMMON = """
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(48, 48)))
quick = dict(num_workers={workers}, persistent_workers={persists})
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_iters=5, val_interval=3)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=3, max_keep_ckpts=1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
custom_imports = dict(imports=['bana_mm.registry', 'interruption'], allow_failed_imports=False)
custom_hooks = [dict(type='StopOnce')]
"""
CLASSIFIER = f"""
_base_ = '{REPO}/configs/bana/bap_vgg16_voc.py'
classes = dict(classes=('ring', 'triangle'))
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    bap_head=dict(in_channels=8),
    label_recipe=dict(crf=dict(iterations=1)))
{COMMON}
train_dataloader = dict(batch_size=2, **quick, dataset=dict(metainfo=classes, pipeline=pipeline))
val_dataloader = dict(**quick, dataset=dict(metainfo=classes))
"""
SEGMENTATION = f"""
_base_ = '{REPO}/configs/bana/deeplabv1_vgg16_voc.py'
classes = dict(classes=('ring', 'triangle'))
model = dict(
    data_preprocessor=dict(size=(48, 48)),
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    decode_head=dict(head=dict(in_channels=8, channels=8)))
{COMMON}
train_dataloader = dict(batch_size=2, **quick, dataset=dict(metainfo=classes, pipeline=pipeline))
val_dataloader = dict(**quick, dataset=dict(metainfo=classes))
"""
INTERRUPTION = """
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module(force=True)
class StopOnce(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == int(os.environ.get('STOP_AT', 0)):
            raise KeyboardInterrupt
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A tiny VOC, with labels that are its masks, doubtful in every second row."""
    root = make_tiny_voc(tmp_path / 'voc')
    store = LabelStore(tmp_path / 'labels')
    store.begin(dict(classes=['ring', 'triangle']))
    for path in (root / 'SegmentationClassAug').glob('*.png'):
        mask = read_label_png(path)
        rows = np.arange(len(mask))[:, None] % 2
        store.write(path.stem, Y_crf=mask, Y_ret=np.where(rows, mask, 0).astype(np.uint8))
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(tmp_path / 'labels'))
    (tmp_path / 'interruption.py').write_text(INTERRUPTION)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'config, workers',
    [(CLASSIFIER, 1), (SEGMENTATION, 0)],
    ids=['stage 1 with a worker', 'stage 3'],
)
def test_resumed_weights_are_those_of_an_uninterrupted_run(run, workplace, monkeypatch, config, workers):
    (workplace / 'tiny.py').write_text(config.format(workers=workers, persists=workers > 0))
    run('train', 'tiny.py', '--work-dir', 'whole')
    monkeypatch.setenv('STOP_AT', '4')
    with pytest.raises(SystemExit, match='interrupted; the same command with --resume goes on'):
        run('train', 'tiny.py', '--work-dir', 'parts')
    assert [path.name for path in Path('parts').glob('*.pth')] == ['iter_3.pth']
    monkeypatch.delenv('STOP_AT')
    run('train', 'tiny.py', '--work-dir', 'parts', '--resume')
    whole, parts = (read_checkpoint(f'{name}/iter_5.pth') for name in ('whole', 'parts'))
    before = read_checkpoint('whole/iter_5.pth')['state_dict']
    assert whole['meta']['iter'] == parts['meta']['iter'] == 5 and before
    for name, value in whole['state_dict'].items():
        torch.testing.assert_close(parts['state_dict'][name], value, rtol=0, atol=1e-6)
    for number, state in whole['optimizer']['state'].items():
        torch.testing.assert_close(parts['optimizer']['state'][number], state, rtol=0, atol=1e-6)


def test_a_checkpoint_that_is_cut_off(run, workplace, monkeypatch):
    (workplace / 'tiny.py').write_text(CLASSIFIER.format(workers=0, persists=False))
    options = ('--cfg-options', 'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=1')
    run('train', 'tiny.py', '--work-dir', 'work', *options, 'default_hooks.checkpoint.max_keep_ckpts=2')
    path = Path('work/iter_2.pth')
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r'iter_2\.pth: checkpoint is cut off.*--resume .*iter_1\.pth'):
        run('train', 'tiny.py', '--work-dir', 'work', '--resume', '--cfg-options', 'train_cfg.max_iters=3')
    again = ('--resume', 'work/iter_1.pth', '--cfg-options', 'train_cfg.max_iters=3')
    run('train', 'tiny.py', '--work-dir', 'work', *again)
    assert read_checkpoint('work/iter_3.pth')['meta']['iter'] == 3

"""Stage 1 through the public tools: train, validate, resume, test, and their errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.utils.safe_loading import read_checkpoint

REPO = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{REPO}/configs/bana/bap_vgg16_voc.py'
classes = dict(classes=('ring', 'triangle'))
model = dict(backbone=dict(width_mult=0.125, out_channels=16, pretrained=None), bap_head=dict(in_channels=16))
pipeline = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(48, 48)))
quick = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=3, **quick, dataset=dict(metainfo=classes, pipeline=pipeline))
val_dataloader = dict(**quick, dataset=dict(metainfo=classes))
test_dataloader = val_dataloader
param_scheduler = []
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=-1))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A tiny VOC and a config of a narrow network for it."""
    monkeypatch.setenv('VOC_ROOT', str(make_tiny_voc(tmp_path / 'voc')))
    (tmp_path / 'tiny.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)


def scalars(work_dir):
    """Everything that was logged, in order."""
    lines = [line for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')) for line in open(path)]
    return [json.loads(line) for line in lines]


def test_train_validate_resume_and_test(run, tmp_path):
    run('train', 'tiny.py')  # the work directory follows from the config's name
    logged = scalars('work_dirs/tiny')
    losses = [entry['loss_cls'] for entry in logged if 'loss_cls' in entry]
    assert len(losses) == 4 and all(loss > 0 for loss in losses)
    results = logged[-1]
    assert 0 <= results['box_acc'] <= 100 and 0 < results['label_mIoU'] <= 100  # masks exist here

    run('train', 'tiny.py', '--resume', '--cfg-options', 'train_cfg.max_iters=6', 'train_cfg.val_interval=100')
    resumed = [entry for entry in scalars('work_dirs/tiny') if 'loss_cls' in entry][4:]
    assert [entry['step'] for entry in resumed] == [5, 6]
    checkpoint = torch.load('work_dirs/tiny/iter_6.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 6 and checkpoint['optimizer']['state']

    run('test', 'tiny.py', 'work_dirs/tiny/iter_4.pth', '--work-dir', 'tested')
    (tested,) = (json.loads(path.read_text()) for path in Path('tested').glob('*/*.json'))
    assert tested['label_mIoU'] == pytest.approx(results['label_mIoU'])
    assert tested['box_acc'] == pytest.approx(results['box_acc'])
    with pytest.raises(ValueError, match='checkpoint of another model than tiny.py: it lacks backbone.layer1'):
        run(
            'test',
            'tiny.py',
            'work_dirs/tiny/iter_4.pth',
            '--cfg-options',
            'model.backbone.type=mmseg.ResNetV1c',
            'model.backbone._delete_=True',
            'model.backbone.depth=18',
        )


def test_same_seed_trains_the_same_and_amp_on_cpu_trains(run):
    run('train', 'tiny.py', '--work-dir', 'a', '--cfg-options', 'train_cfg.max_iters=2')
    run('train', 'tiny.py', '--work-dir', 'b', '--cfg-options', 'train_cfg.max_iters=2')
    run('train', 'tiny.py', '--work-dir', 'c', '--amp', '--cfg-options', 'train_cfg.max_iters=2')
    a, b, c = ([entry['loss_cls'] for entry in scalars(name) if 'loss_cls' in entry] for name in 'abc')
    assert a == b != c  # bfloat16 rounds
    assert c == pytest.approx(a, rel=0.1)


def test_auto_scale_lr(run):
    run('train', 'tiny.py', '--auto-scale-lr', '--cfg-options', 'train_cfg.max_iters=1')
    # 1e-4, tenfold for new layers, is for batches of 20; these are of 3
    assert scalars('work_dirs/tiny')[0]['lr'] == pytest.approx(1e-3 * 3 / 20)


@pytest.mark.parametrize(
    'tool, args, error, message',
    [
        ('train', ['nowhere.py'], FileNotFoundError, "config 'nowhere.py' does not exist"),
        (
            'train',
            ['tiny.py', '--auto-scale-lr', '--cfg-options', 'auto_scale_lr._delete_=True'],
            ValueError,
            'needs auto_scale_lr.base_batch_size',
        ),
        (
            'test',
            ['tiny.py', 'nowhere.pth'],
            FileNotFoundError,
            r'nowhere\.pth: checkpoint does not exist; train',
        ),
        ('test', ['tiny.py', 'tiny.py', '--tta'], ValueError, '--tta needs tta_model and tta_pipeline'),
        ('test', ['tiny.py', 'tiny.py', '--show-dir', 'x'], ValueError, 'need default_hooks.visualization'),
        ('test', ['tiny.py', 'tiny.py', '--out', 'x'], ValueError, 'go into one .pkl file'),
    ],
)
def test_bad_arguments(run, tool, args, error, message):
    with pytest.raises(error, match=message):
        run(tool, *args)


def test_a_broken_image_is_named(run, tmp_path):
    for path in (tmp_path / 'voc' / 'JPEGImages').glob('train*.jpg'):
        path.write_bytes(b'no image')
    with pytest.raises(ValueError, match='train_0000.*jpg: image cannot be read'):
        run('train', 'tiny.py')


def test_two_processes_on_the_cpu(tmp_path):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [str(REPO / 'tools' / 'train.py'), 'tiny.py', '--launcher', 'pytorch']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-8000:]
    losses = [entry['loss_cls'] for entry in scalars('work_dirs/tiny') if 'loss_cls' in entry]
    assert len(losses) == 4  # logged by one of them
    state = read_checkpoint('work_dirs/tiny/iter_4.pth')['state_dict']
    assert 'backbone.fc6.weight' in state  # without the wrapper's prefix

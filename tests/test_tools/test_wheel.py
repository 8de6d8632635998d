"""The package as pip installs it from a wheel, far from any checkout: all stages in a row on a handful of images."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic import make_synthetic_voc

REPO = Path(__file__).parents[2]
SOURCES = ('bana_mm', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE')
SHORT = [
    'train_cfg.max_iters=1',
    'train_cfg.val_interval=1',
    'param_scheduler.0.end=1',
    'train_dataloader.batch_size=2',
]


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A folder in which pip has installed the wheel, and nothing else."""
    source, site = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('site')
    for name in (*SOURCES, 'model-index.yml'):
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, source / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copyfile(REPO / name, source / name)
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--no-compile', '--disable-pip-version-check']
    command = [sys.executable, '-m', 'pip', 'install', '-q', *options, '--target', str(site), str(source)]
    done = subprocess.run(command, text=True, capture_output=True, cwd=site)
    assert done.returncode == 0, done.stderr
    return site


def test_files(site):
    assert (site / 'bana_mm' / 'py.typed').is_file()
    assert (site / 'bana_mm' / '.mim' / 'tools' / 'pipeline.py').is_file()
    assert not (site / 'tools').exists() and not (site / 'tests').exists()


def test_pipeline(site, tmp_path, save_untrained):
    """With a classifier at hand, no masks of training images and no labels of others, to spare most of the commands."""
    make_synthetic_voc(tmp_path / 'data', 2, 1, image_size=(48, 56))
    for mask in (tmp_path / 'data/SegmentationClassAug').glob('train_*.png'):
        mask.unlink()
    configs = site / 'bana_mm/.mim/configs/demo'
    (tmp_path / 'bap.py').write_text(f'_base_ = {str(configs / "demo_bap.py")!r}')
    checkpoint = save_untrained(tmp_path / 'bap.py')
    overrides = [f'pseudo_labels.checkpoint={checkpoint}', 'pseudo_labels.val_split=train_aug', *SHORT]
    command = [sys.executable, '-m', 'bana_mm', 'pipeline', 'configs/demo/demo_nal.py', '--workers', '0']
    env = {**os.environ, 'PYTHONPATH': str(site), 'DEMO_ROOT': str(tmp_path)}
    done = subprocess.run(
        [*command, '--cfg-options', *overrides], cwd=tmp_path, env=env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r'python -m bana_mm (\S+) (\S+)', done.stdout)
    assert shown == [
        ('generate_labels', f'{configs}/demo_bap.py'),
        ('train', f'{configs}/demo_nal.py'),
        ('test', f'{configs}/demo_nal.py'),
    ]
    assert done.stdout.splitlines()[-1].startswith('segmentation: mIoU')
    assert {path.name for path in tmp_path.iterdir()} == {'data', 'bap.py', 'bap.pth', 'labels_bap', 'nal'}

"""The package as pip installs it from a wheel, far from any checkout: all stages in a row on a handful of images."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic import make_synthetic_voc

REPO = Path(__file__).parents[2]
# What a checkout has beside its files, in the place where it is worked with.
LEFT_BEHIND = (
    '.git',
    '.venv*',
    '__pycache__',
    '.*_cache',
    '.hypothesis',
    '.mim',
    '*.egg-info',
    'build',
    'dist',
    '_build',
)
SHORT = [
    'train_cfg.max_iters=1',
    'train_cfg.val_interval=1',
    'param_scheduler.0.end=1',
    'train_dataloader.batch_size=2',
]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A fresh checkout, with a cache and a checkpoint as work leaves them behind."""
    source = tmp_path_factory.mktemp('source') / 'bana_mm'
    shutil.copytree(REPO, source, ignore=shutil.ignore_patterns(*LEFT_BEHIND, 'work_dirs', 'data', 'shared'))
    made = ('configs/bana/__pycache__/a.cpython-311.pyc', 'tools/__pycache__/b.pyc', 'work_dirs/bap/iter_1.pth')
    for name in (*made, 'docs/_build/html/index.html'):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    return source


@pytest.fixture(scope='module')
def site(source, tmp_path_factory):
    """A folder in which pip has installed the wheel, and nothing else."""
    site = tmp_path_factory.mktemp('site')
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--no-compile', '--disable-pip-version-check']
    command = [sys.executable, '-m', 'pip', 'install', '-q', *options, '--target', str(site), str(source)]
    done = subprocess.run(command, text=True, capture_output=True, cwd=site)
    assert done.returncode == 0, done.stderr
    return site


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


def test_the_wheel_holds_package_configs_and_tools_and_nothing_else(site, source):
    found = {name for name in files_in(site) if '.dist-info/' not in name}
    expected = {f'bana_mm/{name}' for name in files_in(source / 'bana_mm')}
    expected |= {f'bana_mm/.mim/{part}/{name}' for part in ('configs', 'tools') for name in files_in(source / part)}
    expected = {name for name in expected if '__pycache__' not in name} | {'bana_mm/.mim/model-index.yml'}
    assert found == expected and {'bana_mm/py.typed', 'bana_mm/.mim/tools/pipeline.py'} < found


def test_the_source_distribution_holds_the_checkout_and_nothing_else(source, tmp_path):
    command = [sys.executable, 'setup.py', '-q', 'sdist', '--formats=tar', '--dist-dir', str(tmp_path)]
    done = subprocess.run(command, cwd=source, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob('*.tar')
    with tarfile.open(archive) as tar:
        found = {member.name.partition('/')[2] for member in tar.getmembers() if member.isfile()}
    made = {name for name in found if name.startswith('bana_mm.egg-info/')} | {'PKG-INFO', 'setup.cfg'}
    left_out = ('build/', 'docs/_build/', 'work_dirs/', 'bana_mm.egg-info/', '.ci/', '.git', 'setup.cfg')
    expected = {name for name in files_in(source) if not name.startswith(left_out) and '__pycache__' not in name}
    assert found - made == expected and {'docs/own_data.md', 'docker/Dockerfile', 'tests/conftest.py'} < found


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

import importlib.util
import os
import re
import shutil
import subprocess
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from setuptools import Distribution

import bana_mm
from bana_mm.utils.environment import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
requirements = pytest.importorskip('packaging.requirements')


@pytest.fixture(scope='module')
def setup_module():
    spec = importlib.util.spec_from_file_location('bana_mm_setup', ROOT / 'setup.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def pins():
    """Distribution -> requirement of ``make env``."""
    lines = (ROOT / 'requirements' / 'constraints.txt').read_text().splitlines()
    parsed = [requirements.Requirement(line) for line in lines if line and not line.startswith('#')]
    return {requirement.name: requirement for requirement in parsed}


def test_extras_parse_and_keep_the_families_apart(setup_module):
    extras = {name: [requirements.Requirement(text) for text in texts] for name, texts in setup_module.EXTRAS.items()}
    assert set(extras) == {'mim', 'onedl', 'crf', 'boxinst', 'sam', 'tests'}
    names = {extra: {requirement.name for requirement in found} for extra, found in extras.items()}
    assert {'mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'setuptools'} <= names['mim']
    assert not any(name.startswith('onedl') for name in names['mim'])
    assert all(name.startswith('onedl-mm') for name in names['onedl'])
    assert names['crf'] == {'pydensecrf2'}
    assert names['sam'] == {'transformers'} < names['tests']
    assert len({text for one in ('sam', 'tests') for text in setup_module.EXTRAS[one] if 'transformers' in text}) == 1


@pytest.mark.parametrize('family', ['mim', 'onedl'])
def test_extras_agree_with_the_check_at_import(setup_module, family):
    extras = {r.name: r for r in map(requirements.Requirement, setup_module.EXTRAS[family])}
    for wanted in FAMILIES[family].values():
        specifier = extras[wanted.distribution].specifier
        assert specifier.contains(wanted.low)
        assert not specifier.contains(wanted.high)
        assert str(specifier) == str(requirements.Requirement(f'x>={wanted.low},<{wanted.high}').specifier)


def test_pins_lie_in_the_extras(setup_module, pins):
    for text in [text for extra in ('mim', 'onedl', 'crf') for text in setup_module.EXTRAS[extra]]:
        requirement = requirements.Requirement(text)
        exact = re.search(r'==(\S+)', str(pins.get(requirement.name, '')))
        if exact:
            assert requirement.specifier.contains(exact.group(1)), text
    assert not pins['setuptools'].specifier.contains('82.0.0')


@pytest.mark.parametrize('editable', [False, True])
def test_mim_finds_every_config(setup_module, tmp_path, monkeypatch, editable):
    """In a wheel and in an editable install: the index names metafiles, and these name configs that are there."""
    for name in setup_module.MIM_FILES:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'bana_mm').mkdir()
    (tmp_path / 'bana_mm' / '__init__.py').touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup_module, 'HERE', tmp_path)
    for _ in range(2):  # also over what is there already
        command = setup_module.BuildWithConfigs(Distribution(dict(packages=['bana_mm'], script_name='setup.py')))
        command.build_lib, command.editable_mode = str(tmp_path / 'lib'), editable
        command.ensure_finalized()
        command.run()
    mim = (tmp_path if editable else tmp_path / 'lib') / 'bana_mm' / '.mim'
    assert (mim / 'tools' / 'train.py').is_file() and mim.joinpath('configs').is_symlink() == editable
    metafiles = yaml.safe_load((mim / 'model-index.yml').read_text())['Import']
    models = [model for file in metafiles for model in yaml.safe_load((mim / file).read_text())['Models']]
    assert models and all((mim / model['Config']).is_file() for model in models)


@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
@pytest.mark.parametrize('stack, folder', [('mim', '.venv'), ('onedl', '.venv-onedl')])
def test_each_family_has_an_environment_of_its_own(stack, folder, tmp_path):
    """What make would call, from a checkout without any environment."""
    for name in ('Makefile', 'setup.py', 'pyproject.toml', 'requirements'):
        (tmp_path / name).symlink_to(ROOT / name)
    # without what `make test` hands on
    outer = ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'MAKEOVERRIDES', 'STACK', 'VENV', 'STAMPS')
    env = {name: value for name, value in os.environ.items() if name not in outer}
    call = partial(subprocess.run, cwd=tmp_path, env=env, text=True, capture_output=True)
    called = call(['make', '-n', 'env', f'STACK={stack}'], check=True)
    lines = called.stdout.splitlines()
    assert [line.split()[-1] for line in lines][:2] == ['python', 'torch'] and lines[-1].endswith(' package')
    assert all(line.startswith(f"STACK='{stack}' VENV='{folder}' STAMPS='{folder}/stamps' ") for line in lines)
    wrong = call(['make', '-n', 'env', 'STACK=x'])
    assert wrong.returncode and 'STACK=x is neither mim nor onedl' in wrong.stderr


def test_version_is_read_without_importing(setup_module):
    assert setup_module.read_version() == bana_mm.__version__


def test_installed_metadata_holds_no_mm_package_outside_extras():
    try:
        lines = requires('bana_mm')
    except PackageNotFoundError:
        pytest.skip('bana_mm is not installed')
    assert version('bana_mm') == bana_mm.__version__
    always = {requirements.Requirement(line).name for line in lines if 'extra ==' not in line}
    assert always == {'torch', 'numpy', 'pillow', 'jinja2', 'tabulate', 'tqdm'}

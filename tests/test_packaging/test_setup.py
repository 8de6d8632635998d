import importlib.util
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest

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
    assert set(extras) == {'mim', 'onedl', 'crf', 'tests'}
    names = {extra: {requirement.name for requirement in found} for extra, found in extras.items()}
    assert {'mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'setuptools'} <= names['mim']
    assert not any(name.startswith('onedl') for name in names['mim'])
    assert all(name.startswith('onedl-mm') for name in names['onedl'])
    assert names['crf'] == {'pydensecrf2'}


@pytest.mark.parametrize('family', ['mim', 'onedl'])
def test_extras_agree_with_the_check_at_import(setup_module, family):
    extras = {r.name: r for r in map(requirements.Requirement, setup_module.EXTRAS[family])}
    for wanted in FAMILIES[family].values():
        specifier = extras[wanted.distribution].specifier
        assert specifier.contains(wanted.low)
        assert not specifier.contains(wanted.high)
        assert str(specifier) == str(requirements.Requirement(f'x>={wanted.low},<{wanted.high}').specifier)


def test_pins_lie_in_the_extras(setup_module, pins):
    for text in setup_module.EXTRAS['mim'] + setup_module.EXTRAS['crf']:
        requirement = requirements.Requirement(text)
        exact = re.search(r'==(\S+)', str(pins.get(requirement.name, '')))
        if exact:
            assert requirement.specifier.contains(exact.group(1)), text
    assert not pins['setuptools'].specifier.contains('82.0.0')


def test_version_is_read_without_importing(setup_module):
    assert setup_module.read_version() == bana_mm.__version__


def test_installed_metadata_holds_no_mm_package_outside_extras():
    try:
        lines = requires('bana_mm')
    except PackageNotFoundError:
        pytest.skip('bana_mm is not installed')
    assert version('bana_mm') == bana_mm.__version__
    always = {requirements.Requirement(line).name for line in lines if 'extra ==' not in line}
    assert always == {'torch', 'numpy', 'pillow'}

import subprocess
import sys
import warnings

import pytest

from bana_mm.utils import environment

WORKING = {
    'torch': '2.13.0+cpu',
    'setuptools': '81.0.0',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'pydensecrf2': '1.1',
}
ONEDL = {
    'torch': '2.13.0',
    'setuptools': '82.0.0',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    'pydensecrf2': '1.1',
}


@pytest.fixture
def installed(monkeypatch):
    """Pretends that exactly the given distributions are installed; returns the function that says so."""

    def pretend(versions, ops=True):
        modules = {
            name: distribution
            for family in environment.FAMILIES.values()
            for name, (distribution, _, _) in family.items()
            if distribution in versions
        }
        if 'mmcv-lite' in versions:
            modules['mmcv'] = 'mmcv-lite'
        if 'pydensecrf2' in versions:
            modules['pydensecrf'] = 'pydensecrf2'
        if int(versions.get('setuptools', '99').split('.')[0]) < 82:
            modules['pkg_resources'] = 'setuptools'
        monkeypatch.setattr(environment, '_version', versions.get)
        monkeypatch.setattr(environment, '_has_module', modules.__contains__)
        monkeypatch.setattr(environment, '_has_mmcv_ops', lambda: ops)

    return pretend


def changed(base, **versions):
    """``base`` with some versions replaced; None removes one. Underscores stand for hyphens."""
    result = {**base, **{name.replace('_', '-'): version for name, version in versions.items()}}
    return {name: version for name, version in result.items() if version is not None}


@pytest.mark.parametrize(
    'versions',
    [
        WORKING,
        ONEDL,
        {'torch': '2.0.0'},  # functional alone: nothing of mm*, no CRF, no setuptools
        changed(WORKING, mmdet=None),
        changed(WORKING, mmengine='0.10.4'),
    ],
)
def test_working_sets_have_no_problem(installed, versions):
    installed(versions)
    assert environment.find_problems() == []


@pytest.mark.parametrize(
    'versions, ops, wrong, remedy',
    [
        (changed(WORKING, torch=None), True, 'torch, which is not installed', "pip install 'torch>=2.0,<3'"),
        (changed(WORKING, torch='1.13.1+cu117'), True, 'torch 1.13.1+cu117 is too old', "'torch>=2.0,<3'"),
        (changed(WORKING, mmengine='0.9.1'), True, 'mmengine 0.9.1 is too old', "'mmengine>=0.10.4,<1'"),
        (changed(WORKING, mmcv='2.0.1'), True, 'mmcv 2.0.1 is too old', "'mmcv>=2.1,<2.2'"),
        (
            changed(WORKING, mmsegmentation='1.2.1'),
            True,
            'mmsegmentation 1.2.1 is too old',
            "'mmsegmentation>=1.2.2,<2'",
        ),
        (WORKING, False, 'mmcv was installed without its compiled ops', 'MMCV_WITH_OPS=1 pip install'),
        (
            changed(WORKING, mmcv=None, mmcv_lite='2.1.0'),
            False,
            'mmcv-lite was installed without its compiled ops',
            'pip uninstall -y mmcv-lite',
        ),
        (ONEDL, False, 'onedl-mmcv was installed without its compiled ops', 'onedl-mmcv'),
        (
            changed(WORKING, onedl_mmcv='2.3.6'),
            True,
            'mmengine and onedl-mmcv come from two families',
            'pip uninstall -y mmengine mmcv mmdet mmsegmentation onedl-mmcv',
        ),
        (
            changed(WORKING, setuptools='82.0.1'),
            True,
            'setuptools 82.0.1 no longer has pkg_resources',
            "'setuptools<82'",
        ),
        (changed(WORKING, setuptools=None), True, 'setuptools is missing', "'setuptools<82'"),
    ],
)
def test_fatal_problems_name_what_is_wrong_and_the_remedy(installed, versions, ops, wrong, remedy):
    installed(versions, ops)
    with pytest.raises(ImportError) as error:
        environment.check_environment()
    message = str(error.value)
    assert wrong in message
    assert remedy in message
    assert '\n' not in message


@pytest.mark.parametrize(
    'versions, wrong, remedy',
    [
        (changed(WORKING, mmcv='2.2.0'), 'mmcv 2.2.0 is newer', "'mmcv>=2.1,<2.2'"),
        (changed(WORKING, mmengine='1.0.0'), 'mmengine 1.0.0 is newer', "'mmengine>=0.10.4,<1'"),
        (changed(WORKING, pydensecrf2=None), 'pydensecrf is not installed', 'pydensecrf2>=1.1'),
    ],
)
def test_lesser_problems_only_warn(installed, versions, wrong, remedy):
    installed(versions)
    with pytest.warns(RuntimeWarning, match=wrong) as caught:
        environment.check_environment()
    assert len(caught) == 1
    assert remedy in str(caught[0].message)


def test_basic_problem_comes_first(installed):
    installed(changed(WORKING, torch='1.9.0', setuptools='82.0.0', mmcv='2.0.0'), ops=False)
    fatal = [problem.sentence for problem in environment.find_problems() if problem.fatal]
    assert len(fatal) == 4
    with pytest.raises(ImportError, match='torch 1.9.0'):
        environment.check_environment()


def test_require_names_the_command(installed):
    installed({'torch': '2.13.0', 'mmengine': '0.10.7'})
    environment.require('mmengine')
    with pytest.raises(ImportError, match=r"mmdet is needed .* pip install 'mmdet>=3.3,<4'") as error:
        environment.require('mmengine', 'mmdet')
    assert error.value.name == 'mmdet'
    with pytest.raises(ImportError, match='pydensecrf2'):
        environment.require('pydensecrf')
    with pytest.raises(ImportError, match='pip install nothing_of_this_name'):
        environment.require('nothing_of_this_name')


@pytest.mark.parametrize(
    'text, numbers',
    [
        ('2.13.0+cpu', (2, 13)),
        ('1', (1,)),
        ('1.0.0', (1,)),
        ('0.10.12', (0, 10, 12)),
        ('2.2.0rc1', (2, 2)),
    ],
)
def test_release(text, numbers):
    assert environment._release(text) == numbers


def test_installed_packages_are_fine():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # the optional CRF may be absent
        environment.check_environment()


def test_ops_are_found_without_importing_mmcv():
    pytest.importorskip('mmcv')
    code = (
        'import sys; from bana_mm.utils import environment; '
        'assert environment._has_mmcv_ops() and "mmcv" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_import_loads_no_framework():
    code = (
        'import sys, bana_mm; '
        'loaded = {"mmengine", "mmcv", "mmdet", "mmseg", "cv2"} & set(sys.modules); assert not loaded, loaded'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


def test_functional_needs_torch_and_numpy_alone():
    blocked = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'PIL', 'scipy', 'pydensecrf', 'matplotlib')
    code = f'import sys; sys.modules.update(dict.fromkeys({blocked})); import bana_mm.functional as f; assert f.__all__'
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


def test_ops_that_do_not_load_are_told_in_one_sentence(monkeypatch):
    """As those of another torch; what the linker says is part of the sentence."""

    def load(name):
        if name == 'mmcv._ext':
            raise ImportError('_ext.so: undefined symbol: _ZN3c10\nsecond line')

    monkeypatch.setattr(environment, 'import_module', load)
    monkeypatch.setattr(environment, '_version', {'torch': '2.13.0', 'onedl-mmcv': '2.3.6'}.get)
    with pytest.raises(ImportError, match='undefined symbol: _ZN3c10') as caught:
        environment.require_ops()
    message = str(caught.value)
    assert '\n' not in message and message.startswith(
        "onedl-mmcv's compiled ops do not load with torch 2.13.0 (_ext.so"
    )
    assert message.endswith('pip install --no-build-isolation --force-reinstall --no-deps onedl-mmcv')
    monkeypatch.setattr(environment, '_has_module', lambda name: False)
    environment.require_ops()  # functional works without mmcv

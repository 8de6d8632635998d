"""Checks of the installed packages. Reads metadata only: importing mmcv or mmdet here would cost seconds."""

import re
import warnings
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from typing import NamedTuple

MIM_INSTALL = "'mmengine==0.10.7' 'mmcv==2.1.0' 'mmdet==3.3.0' 'mmsegmentation==1.2.2'"
OPS_INSTALL = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --force-reinstall --no-deps mmcv==2.1.0'


class VersionRange(NamedTuple):
    """Versions ``low <= version < high`` of a distribution that were seen to work."""

    distribution: str
    low: str
    high: str

    @property
    def requirement(self) -> str:
        """What pip is told, quoted for a shell."""
        return f"'{self.distribution}>={self.low},<{self.high}'"


# Import name -> the distribution that provides it, for each of the two families of mm* packages.
FAMILIES = {
    'mim': {
        'mmengine': VersionRange('mmengine', '0.10.4', '1'),
        # mmdet 3.3 and mmsegmentation 1.2 assert mmcv < 2.2 when they are imported.
        'mmcv': VersionRange('mmcv', '2.1', '2.2'),
        'mmdet': VersionRange('mmdet', '3.3', '4'),
        'mmseg': VersionRange('mmsegmentation', '1.2.2', '2'),
    },
    'onedl': {
        'mmengine': VersionRange('onedl-mmengine', '0.10.12', '1'),
        'mmcv': VersionRange('onedl-mmcv', '2.3', '2.4'),
        'mmdet': VersionRange('onedl-mmdetection', '3.5', '4'),
        'mmseg': VersionRange('onedl-mmsegmentation', '1.4', '2'),
    },
}
TORCH = VersionRange('torch', '2.0', '3')
CRF_HINT = "pip install --no-build-isolation 'pydensecrf2>=1.1'"
MISSING_HINTS = {name: f'pip install {mim.requirement}' for name, mim in FAMILIES['mim'].items()}
MISSING_HINTS['mmcv'] = 'MMCV_WITH_OPS=1 pip install --no-build-isolation mmcv==2.1.0'
MISSING_HINTS['pydensecrf'] = CRF_HINT


class Problem(NamedTuple):
    """One thing that is wrong with the installed packages.

    ``fatal`` is False for what works on in some way: newer versions than were tried, an absent optional package.
    """

    sentence: str
    fatal: bool


def check_environment() -> None:
    """Raises on the first fatal problem of the installed packages and warns about the others.

    mm* packages that are not installed at all are no problem here, since ``bana_mm.functional`` works without them;
    :func:`require` is for code that needs them.

    Raises:
        ImportError: A package is missing, too old, without its compiled parts, or there twice. The message is one
            sentence that says what is wrong and what to install.
    """
    problems = find_problems()
    for problem in problems:
        if problem.fatal:
            raise ImportError(problem.sentence)
    for problem in problems:
        warnings.warn(problem.sentence, RuntimeWarning, stacklevel=3)


def require(*modules: str) -> None:
    """Raises where a package that a feature needs is not installed.

    Args:
        *modules (str): Import names, such as ``'mmengine'``, ``'mmdet'``, ``'mmseg'`` or ``'pydensecrf'``.

    Raises:
        ImportError: The first one that is missing, with the command that installs it.
    """
    for module in modules:
        if not _has_module(module):
            hint = MISSING_HINTS.get(module, f'pip install {module}')
            raise ImportError(f'{module} is needed here but not installed: {hint}', name=module)


def require_ops() -> None:
    """Loads mmcv's compiled ops, where mmcv is installed. Ones that are there may still be of another torch.

    Raises:
        ImportError: If they do not load; the message is one sentence that says what to install.
    """
    if not _has_module('mmcv'):
        return
    import_module('torch')  # whose libraries the ops link to
    try:
        import_module('mmcv._ext')
    except ImportError as error:
        name = next((d for d in ('mmcv', 'onedl-mmcv') if _version(d) is not None), 'mmcv')
        raise ImportError(
            f"{name}'s compiled ops do not load with torch {_version('torch')} ({str(error).strip().splitlines()[0]}), "
            f'as they were built for another one: {_ops_command(name)}',
            name='mmcv._ext',
        ) from error


def find_problems() -> list[Problem]:
    """Returns what is wrong with the installed packages, the most basic problem first; empty when all is well."""
    problems = _range_problems(TORCH, 'bana_mm', missing_is_fatal=True)
    installed = {
        family: {name: wanted for name, wanted in members.items() if _version(wanted.distribution) is not None}
        for family, members in FAMILIES.items()
    }
    if installed['mim'] and installed['onedl']:
        kept, extra = (list(installed[family].values()) for family in ('mim', 'onedl'))
        extra_names = ' '.join(wanted.distribution for wanted in extra)
        both = ' '.join(wanted.distribution for wanted in kept + extra)
        problems.append(
            Problem(
                f'{kept[0].distribution} and {extra[0].distribution} come from two families with the same import names '
                f'and overwrite each other, so remove both and install one anew: pip uninstall -y {both} and then '
                f'pip install {MIM_INSTALL} (without {extra_names})',
                True,
            )
        )
        return problems
    for members in installed.values():
        for wanted in members.values():
            problems += _range_problems(wanted, 'bana_mm')
    if 'mmengine' in installed['mim'] and not _has_module('pkg_resources'):
        setuptools = _version('setuptools')
        state = f'setuptools {setuptools} no longer has' if setuptools else 'setuptools is missing and with it'
        problems.append(Problem(f"{state} pkg_resources, which mmengine imports: pip install 'setuptools<82'", True))
    if _has_module('mmcv') and not _has_mmcv_ops():
        name = next((d for d in ('mmcv', 'onedl-mmcv', 'mmcv-lite') if _version(d) is not None), 'mmcv')
        command = _ops_command(name)
        remedy = f'pip uninstall -y mmcv-lite, then {command}' if name == 'mmcv-lite' else command
        problems.append(Problem(f'{name} was installed without its compiled ops (mmcv._ext): {remedy}', True))
    if any(installed.values()) and not _has_module('pydensecrf'):
        problems.append(
            Problem(f'pydensecrf is not installed, so DenseCRF takes longer on small images: {CRF_HINT}', False)
        )
    return problems


def _ops_command(distribution: str) -> str:
    return OPS_INSTALL.replace('mmcv==2.1.0', 'onedl-mmcv') if distribution == 'onedl-mmcv' else OPS_INSTALL


def installed_versions() -> dict[str, str]:
    """Versions of torch, numpy and the mm* packages that are installed, by distribution."""
    names = [
        TORCH.distribution,
        'numpy',
        *(one.distribution for family in FAMILIES.values() for one in family.values()),
    ]
    versions = {name: _version(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}


def _range_problems(wanted: VersionRange, user: str, missing_is_fatal: bool = False) -> list[Problem]:
    """Compares one installed version with the range that was seen to work."""
    found = _version(wanted.distribution)
    if found is None:
        text = f'{user} needs {wanted.distribution}, which is not installed: pip install {wanted.requirement}'
        return [Problem(text, True)] if missing_is_fatal else []
    if _release(found) < _release(wanted.low):
        return [Problem(f'{wanted.distribution} {found} is too old for {user}: pip install {wanted.requirement}', True)]
    if _release(found) >= _release(wanted.high):
        return [
            Problem(
                f'{wanted.distribution} {found} is newer than {user} was tried with, and if something breaks: '
                f'pip install {wanted.requirement}',
                False,
            )
        ]
    return []


def _release(version: str) -> tuple[int, ...]:
    """``'2.13.0+cpu'`` -> ``(2, 13)``: the leading numbers without trailing zeros, so that 1 equals 1.0."""
    numbers = [int(part) for part in re.match(r'\d+(?:\.\d+)*', version).group().split('.')]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _version(distribution: str) -> str | None:
    """The installed version of a distribution, None when it is not installed."""
    try:
        return distribution_version(distribution)
    except PackageNotFoundError:
        return None


def _has_module(name: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return find_spec(name) is not None


def _has_mmcv_ops() -> bool:
    """Whether mmcv's extension is beside it; asking ``find_spec('mmcv._ext')`` would import mmcv."""
    return PathFinder.find_spec('mmcv._ext', find_spec('mmcv').submodule_search_locations) is not None

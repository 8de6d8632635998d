"""The tools and configs that come with the package, in a checkout and in an installed wheel alike."""

import os
import shlex
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def resource_root() -> Path:
    """The folder that holds ``tools`` and ``configs``.

    A wheel carries copies of them in ``bana_mm/.mim``, where OpenMMLab's mim looks; an editable install has links
    there, and a checkout that is not installed has them beside the package.

    Raises:
        FileNotFoundError: If there are none, as in a package that was copied without them.
    """
    for folder in (PACKAGE / '.mim', PACKAGE.parent):
        if (folder / 'tools' / 'pipeline.py').is_file() and (folder / 'configs').is_dir():
            return (folder / 'tools').resolve().parent
    raise FileNotFoundError(
        f'{PACKAGE}: neither .mim in it nor the folder around it holds tools and configs; install bana_mm with pip, or '
        'use a checkout'
    )


def find_tool(name: str) -> Path:
    """The file of a tool.

    Args:
        name (str): Such as ``train.py`` or ``analysis/draw_panels.py``.

    Raises:
        FileNotFoundError: If there is no such tool.
    """
    path = resource_root() / 'tools' / name
    if not path.is_file():
        raise FileNotFoundError(f'{path}: there is no such tool')
    return path


def find_config(path: str | os.PathLike) -> Path:
    """The file of a config, which may be one of the package's, named as in the documentation.

    Args:
        path (str | os.PathLike): A file; or, where there is none, one that comes with the package, such as
            ``configs/bana/bap_vgg16_voc.py``.

    Returns:
        Path: As given where that is a file, else absolute.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if os.path.isfile(path):
        return Path(path)
    try:
        own = resource_root() / path
        if own.is_file():
            return own
    except FileNotFoundError:
        pass
    raise FileNotFoundError(f'config {os.fspath(path)!r} does not exist')


def tool_environment() -> dict[str, str]:
    """Changes of the environment that let a tool import this very package, also a checkout that is not installed.

    Raises:
        FileNotFoundError: If there are no tools.
    """
    root = resource_root()
    if root != PACKAGE.parent:
        return {}
    inherited = os.environ.get('PYTHONPATH')
    return dict(PYTHONPATH=os.pathsep.join([str(root), *([inherited] if inherited else [])]))


def tool_line(tool: str, *arguments: object) -> str:
    """A command as one would type it: paths below the working directory without it, tools elsewhere by their names.

    Args:
        tool (str): See :func:`find_tool`.
        *arguments: Its arguments.
    """
    here = f'{Path.cwd()}{os.sep}'
    if Path('tools', tool).is_file():
        call = [f'tools/{tool}']
    else:
        call = ['-m', 'bana_mm', tool.removesuffix('.py')]
    return shlex.join(['python', *call, *(str(argument).removeprefix(here) for argument in arguments)])

"""Run a tool of the package from anywhere: ``python -m bana_mm train CONFIG`` is ``python tools/train.py CONFIG``."""

import runpy
import sys

from .utils.resources import find_tool, resource_root


def main() -> None:
    """Command line."""
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        tools = resource_root() / 'tools'
        names = sorted(path.relative_to(tools).with_suffix('').as_posix() for path in tools.rglob('*.py'))
        sys.exit('usage: python -m bana_mm TOOL [ARGUMENT ...], with one of these tools:\n    ' + '\n    '.join(names))
    try:
        path = str(find_tool(f'{sys.argv[1]}.py'))
    except FileNotFoundError as error:
        sys.exit(str(error))
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name='__main__')


if __name__ == '__main__':
    main()

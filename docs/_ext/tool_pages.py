"""Every tool with its options, read off its parser."""

import argparse
import importlib.util
import sys
from pathlib import Path
from unittest import mock


class Parser(Exception):
    """Carries a parser out of a tool."""


def all_tools(root: Path) -> str:
    """A section for each tool of the folder ``tools``."""
    paths = sorted((root / 'tools').rglob('*.py'), key=lambda path: (len(path.parts), path))
    return '\n\n'.join(tool_section(path, path.relative_to(root).as_posix()) for path in paths)


def tool_parser(path: Path) -> argparse.ArgumentParser:
    """The parser of a tool, which is started and stopped where it would read its command line."""

    def stop(parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        raise Parser(parser)

    spec = importlib.util.spec_from_file_location(f'documented_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    with (
        mock.patch.object(argparse.ArgumentParser, 'parse_args', stop),
        mock.patch.object(sys, 'argv', [str(path)]),
        mock.patch.dict(sys.modules, {module.__name__: module}),
    ):
        spec.loader.exec_module(module)
        try:
            module.main()
        except Parser as carried:
            return carried.args[0]
    raise ValueError(f'{path}: main() reads no command line')


def tool_section(path: Path, name: str) -> str:
    """What a tool is for, and a table of its options."""
    parser = tool_parser(path)
    rows = [_row(parser, action) for action in parser._actions if action.help != argparse.SUPPRESS]
    lines = [f'## {name}', '', *_prose(parser.description or ''), '', '| | |', '|---|---|', *filter(None, rows)]
    if parser.epilog:
        lines += ['', *_prose(parser.epilog)]
    return '\n'.join(lines)


def _prose(text: str) -> list[str]:
    """Paragraphs as text, what is set in columns or indented as a block."""
    lines = []
    for part in text.strip('\n').split('\n\n'):
        if any(line.startswith(' ') or '  ' in line for line in part.split('\n')):
            lines += ['```text', part, '```', '']
        else:
            lines += [_escape(part), '']
    return lines


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str | None:
    if isinstance(action, argparse._HelpAction):
        return None
    formatter = parser._get_formatter()
    if action.option_strings:
        invocation = formatter._format_action_invocation(action)
    else:
        invocation = formatter._metavar_formatter(action, action.dest)(1)[0]
    meaning = formatter._expand_help(action) if action.help else ''
    return f'| `{invocation.replace("|", chr(92) + "|")}` | {_escape(" ".join(meaning.split()))} |'


def _escape(text: str) -> str:
    for character in '\\<*|$[':
        text = text.replace(character, f'\\{character}')
    return text

"""The documents of the project, and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ('*.md', 'docs/*.md', 'docs/results/*.md', 'docs/api/*.md', 'configs/*/README.md')
    for path in REPO.glob(pattern)
)
FENCE = re.compile(r'^( *)```([\w{}-]*)\n(.*?)^ *```$', re.MULTILINE | re.DOTALL)
SHELL = ('', 'bash', 'sh')
PROGRAMS = ('python', 'make', 'pip', 'torchrun', 'srun', 'git', 'hf', 'mim', 'scripts/')


class Command(NamedTuple):
    """A command as a document shows it."""

    document: str
    words: list[str]

    def __str__(self) -> str:
        return f'{self.document}: {shlex.join(self.words)}'


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return '\n'.join(line for line in FENCE.sub('', text).splitlines() if not line.startswith('    '))


def shell_blocks(text: str) -> list[str]:
    """Blocks of commands, fenced or indented."""
    blocks = [code for _, language, code in FENCE.findall(text) if language in SHELL]
    block: list[str] = []
    before = ''
    for line in [*FENCE.sub('', text).splitlines(), '']:
        if line.startswith('    ') and (block or not before.strip()):
            block.append(line[4:])
        elif line.strip() or not block:
            if block:
                blocks.append('\n'.join(block))
            block = []
        before = line
    return [block for block in [*blocks, '\n'.join(block)] if _is_shell(block)]


def _is_shell(block: str) -> bool:
    """Not a tree of folders, nor a formula."""
    return ' --' in block or any(line.lstrip().startswith(PROGRAMS) for line in block.splitlines())


def commands(path: Path) -> list[Command]:
    """All commands of a document, with its variables put in."""
    variables: dict[str, str] = {}
    found = []
    for block in shell_blocks(path.read_text(encoding='utf-8')):
        pending = ''
        for line in block.replace('\\\n', ' ').splitlines():
            pending += line
            for name, value in variables.items():
                pending = pending.replace(f'${name} ', f'{value} ')
            try:
                words = shlex.split(pending, comments=True)
            except ValueError:  # a quotation that goes on in the next line
                pending += ' '
                continue
            pending = ''
            for part in _split(words):
                while part and re.fullmatch(r'[A-Z]\w*=.*', part[0]):
                    name, _, value = part.pop(0).partition('=')
                    variables[name] = value
                if part:
                    found.append(Command(path.relative_to(REPO).as_posix(), part))
        assert not pending.strip(), f'{path}: a quotation does not end: {pending}'
    return found


def _split(words: list[str]) -> list[list[str]]:
    """Commands joined by && in one line."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == '&&':
            parts.append([])
        else:
            parts[-1].append(word)
    return parts

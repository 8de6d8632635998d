"""Every command in the documents: its tool, options, files and config keys exist.

What needs no training and no data of others is run too, in test_documented_runs.py. The rest ends where it would open
its data: the command line is parsed by the tool itself, and configs are read with the data set, preset and options.
"""

import argparse
import importlib.util
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
from documents import DOCUMENTS, REPO, SHELL, Command, commands, prose
from mmengine.config import DictAction

from bana_mm.pipeline import reproduction
from bana_mm.structures.label_recipe import InstanceRecipe, LabelRecipe
from bana_mm.utils.config import read_config
from bana_mm.utils.resources import find_config

# Files that the reader brings.
READERS_CONFIGS = {'mask-rcnn_r50_fpn_1x_coco.py', 'dl.py'}
READERS_FILES = {
    'my_data.py': 'configs/own_data/zoo_voc.py',
    'my_sizes.py': 'cpu',
    # what tools/init_data.py writes
    'configs/own_data/zoo.py': 'configs/own_data/zoo_voc.py',
    'configs/own_data/zoo_sizes.py': 'cpu',
}
# What a config names in part, or for another place in it.
IN_PART = ('label_recipe', 'instance_recipe', 'pseudo_labels')
# Programs of others: their command lines are theirs to check.
OTHERS = {'git', 'cd', 'hf', 'mim', 'export', 'pre-commit', 'apt-get'}
FOUND = [command for path in DOCUMENTS for command in commands(path)]


class Parsed(Exception):
    """Stops a tool when it has read its command line."""


@cache
def load(path: Path):
    spec = importlib.util.spec_from_file_location(f'documented_{path.stem.replace("-", "_")}', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def parse(path: Path, words: list[str]) -> argparse.Namespace:
    """The command line as the tool takes it, with the tool's own checks where they follow the parser's."""
    module = load(path)
    with mock.patch.object(sys, 'argv', [str(path), *words]):
        if hasattr(module, 'parse_args'):
            takes_words = inspect.signature(module.parse_args).parameters
            return module.parse_args(words) if takes_words else module.parse_args()
        parse_args = argparse.ArgumentParser.parse_args

        def stop(parser, *args, **kwargs):
            raise Parsed(parse_args(parser, *args, **kwargs))

        with mock.patch.object(argparse.ArgumentParser, 'parse_args', stop), pytest.raises(Parsed) as parsed:
            module.main()
        return parsed.value.args[0]


def options_of(path: Path) -> set[str]:
    """All options of a tool."""
    found: list[argparse.ArgumentParser] = []

    def stop(parser, *args, **kwargs):
        found.append(parser)
        raise Parsed

    module = load(path)
    with (
        mock.patch.object(argparse.ArgumentParser, 'parse_args', stop),
        mock.patch.object(sys, 'argv', [str(path)]),
        pytest.raises(Parsed),
    ):
        getattr(module, 'parse_args', module.main)()
    return {option for action in found[0]._actions for option in action.option_strings}


def nested(options: list[str]) -> dict:
    """KEY=VALUE as mmengine's action reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction)
    return parser.parse_args(['--options', *options]).options


@cache
def read_cached(config: str, data: str | None, preset: str | None):
    return read_config(find_config(config), data=data, preset=preset)


def check_config(args: argparse.Namespace) -> None:
    """Read the config of a command; keys that it changes lie in parts that are there."""
    config = getattr(args, 'config', None)
    if config is None or Path(config).name in READERS_CONFIGS:
        return
    options = getattr(args, 'cfg_options', None) or {}
    options = nested(options) if isinstance(options, list) else options
    data, preset = (
        READERS_FILES.get(getattr(args, name, None), getattr(args, name, None)) for name in ('data', 'preset')
    )
    cfg = changed = read_cached(config, data, preset)
    for key in options:
        *parents, _ = key.split('.')
        part = cfg
        for name in parents:
            if name in IN_PART:
                break
            part = part[int(name)] if isinstance(part, (list, tuple)) else part.get(name)
            assert part is not None, f'--cfg-options {key}: {config} has no {name}'
    if options:
        changed = read_config(find_config(config), options, data=data, preset=preset)
    LabelRecipe.from_cfg(changed.get('model', {}).get('label_recipe'))
    InstanceRecipe.from_cfg(changed.get('instance_recipe'))


def check(command: Command) -> None:
    program, *words = command.words
    if program in ('torchrun', 'srun'):
        start = next(i for i, word in enumerate(words) if word.startswith('tools/'))
        assert '--launcher' in words, 'a launcher needs --launcher'
        program, words = 'python', words[start:]
    if program in ('for', 'done'):  # a loop over configs; what it does is a command of its own
        return
    if program == 'python' and words[0] == '-m' and words[1] == 'bana_mm':
        words = [f'tools/{words[2]}.py', *words[3:]]
    if program == 'python':
        path = REPO / words[0]
        assert path.is_file(), f'{words[0]}: there is no such tool'
        words = [word.replace('${loss}', 'ignore') for word in words[1:]]
        if '--help' not in words:
            check_config(parse(path, words))
    elif program.endswith('.sh'):
        assert (REPO / program).is_file()
        if program == 'scripts/reproduce.sh':
            with mock.patch.object(sys, 'argv', [program, *words]):
                assert reproduction.parse_args()
    elif program == 'make':
        targets = re.search(r'^\.PHONY: (.*)$', (REPO / 'Makefile').read_text(), re.MULTILINE)[1].split()
        assert {word for word in words if '=' not in word} <= set(targets)
    elif program == 'pip':
        extras = re.findall(r"^    '(\w+)': \[", (REPO / 'setup.py').read_text(), re.MULTILINE)
        wanted = [
            name for names in re.findall(r'(?:\.|bana_mm)\[(.*?)\]', ' '.join(words)) for name in names.split(',')
        ]
        assert set(wanted) <= set(extras)
    elif program == 'docker':
        assert all((REPO / words[i + 1]).is_file() for i, word in enumerate(words) if word == '-f')
    else:
        assert program in OTHERS, f'{program}: neither a tool of this project nor a known program'


@pytest.mark.parametrize('document', sorted({command.document for command in FOUND}))
def test_commands_fit_the_tools(document, monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    wrong = []
    for command in [command for command in FOUND if command.document == document]:
        try:
            check(command)
            said = ''.join(capsys.readouterr())
            assert 'did you mean' not in said, said
        except (AssertionError, SystemExit, ValueError, OSError, KeyError, TypeError) as error:
            reason = capsys.readouterr().err.strip().splitlines()[-1:] or [str(error)]
            wrong.append(f'{command}\n    {type(error).__name__}: {reason[0]}')
    assert not wrong, '\n'.join(wrong)


def test_commands_are_found():
    """The examples below would be missed if blocks or joined lines were not read."""
    shown = [' '.join(command.words) for command in FOUND]
    assert 'make demo' in shown
    assert any(line.startswith('torchrun --nnodes 8') and line.endswith('--auto-scale-lr') for line in shown)
    assert sum(line.startswith('python tools/') for line in shown) > 60


def test_tools_in_the_text_are_there_with_their_options():
    tools = {path.name: path for path in (REPO / 'tools').rglob('*.py')}
    known = {}
    wrong = []
    for path in DOCUMENTS:
        for code in re.findall(r'`([^`\n]+)`', prose(path.read_text())):
            for name in re.findall(r'(?<![\w/])tools/[\w/]+\.py', code):
                if not (REPO / name).is_file():
                    wrong.append(f'{path.name}: {name} is not there')
            start = re.match(r'(?:python )?(?:tools/)?(?:\w+/)?(\w+\.py) ', code)
            if start and start[1] in tools:
                options = known.setdefault(start[1], options_of(tools[start[1]]))
                for option in re.findall(r'(?<= )--[\w-]+', code):
                    if option not in options:
                        wrong.append(f'{path.name}: {start[1]} has no option {option}')
    assert wrong == []


def test_shell_blocks_are_named_as_such():
    """Commands in a block of another language would not be checked."""
    for path in DOCUMENTS:
        for language, code in re.findall(r'^ *```(\w+)\n(.*?)^ *```$', path.read_text(), re.MULTILINE | re.DOTALL):
            assert language in SHELL or not re.search(r'^(python|make|pip) ', code, re.MULTILINE), f'{path}: {code}'

"""What all tools have in common: help with examples that their own parser takes, and a last line that says it all."""

import ast
import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
NAMES = sorted(path.relative_to(TOOLS).as_posix() for path in TOOLS.rglob('*.py'))


def parse(monkeypatch, name, *arguments):
    """What a tool makes of a command line."""
    spec = importlib.util.spec_from_file_location('tool_under_test', TOOLS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [name, *arguments])
    return module.parse_args()


@pytest.mark.parametrize('name', NAMES)
def test_examples_in_the_help_are_understood(name, monkeypatch, capsys):
    monkeypatch.chdir(TOOLS.parent)
    with pytest.raises(SystemExit) as ended:
        parse(monkeypatch, name, '--help')
    description, _, examples = capsys.readouterr().out.partition('\nexamples:\n')
    assert ended.value.code == 0 and examples and len(description.split('\n\n')) > 2
    for line in examples.strip().splitlines():
        python, tool, *arguments = shlex.split(line)
        assert (python, tool) == ('python', f'tools/{name}')
        try:
            parse(monkeypatch, name, *arguments)
        except SystemExit:
            pytest.fail(f'{line.strip()}\n{capsys.readouterr().err}')


@pytest.mark.parametrize('name', NAMES)
def test_every_option_is_explained(name, monkeypatch, capsys):
    """Argparse prints an option without help alone on its line, and the next one follows."""
    source = ast.parse((TOOLS / name).read_text(encoding='utf-8'))
    for call in (node for node in ast.walk(source) if isinstance(node, ast.Call)):
        if getattr(call.func, 'attr', '') == 'add_argument':
            given = {keyword.arg for keyword in call.keywords}
            assert 'help' in given or None in given, ast.unparse(call)


@pytest.mark.parametrize('name', NAMES)
def test_a_tool_ends_with_one_line(name):
    """Static, as running all would take minutes; the tests of the single tools see the line."""
    source = ast.parse((TOOLS / name).read_text(encoding='utf-8'))
    calls = [
        node for node in ast.walk(source) if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'say_done'
    ]
    assert len(calls) >= 1


def test_the_line_of_a_converter(run, tmp_path, capsys):
    run('dataset_converters/make_demo', tmp_path / 'data', '--num-train', 1, '--num-val', 1, '--classes', 'ring')
    output = capsys.readouterr()
    assert 'drawing' in output.out and '2/2' in output.out
    time, _, rest = output.err.splitlines()[-1].removeprefix('done in ').partition(': ')
    assert time.endswith(' s') and rest == f'1 training and 1 validation images -> {tmp_path / "data"}'

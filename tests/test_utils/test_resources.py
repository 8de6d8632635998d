"""Tools and configs are found beside a checkout and inside an installed package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bana_mm.utils import resources
from bana_mm.utils.resources import find_config, find_tool, resource_root, tool_environment, tool_line

REPO = Path(__file__).parents[2]


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package without anything, outside the working directory."""
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    monkeypatch.setattr(resources, 'PACKAGE', tmp_path / 'lib' / 'bana_mm')
    return tmp_path / 'lib' / 'bana_mm'


def test_this_checkout():
    assert resource_root() == REPO
    assert find_tool('analysis/draw_panels.py') == REPO / 'tools/analysis/draw_panels.py'


def test_wheel_before_what_lies_around_it(package, monkeypatch):
    with pytest.raises(FileNotFoundError, match='neither .mim in it nor the folder around it'):
        resource_root()
    write(package.parent / 'tools/pipeline.py'), write(package.parent / 'configs/a.py')
    assert resource_root() == package.parent
    monkeypatch.delenv('PYTHONPATH', raising=False)
    assert tool_environment() == dict(PYTHONPATH=str(package.parent))
    monkeypatch.setenv('PYTHONPATH', 'other')
    assert tool_environment() == dict(PYTHONPATH=f'{package.parent}{os.pathsep}other')
    tool, config = write(package / '.mim/tools/pipeline.py'), write(package / '.mim/configs/b.py')
    assert resource_root() == package / '.mim' and find_tool('pipeline.py') == tool and tool_environment() == {}
    assert find_config('configs/b.py') == config
    with pytest.raises(FileNotFoundError, match=r'gone\.py: there is no such tool'):
        find_tool('gone.py')


def test_links_of_an_editable_install(package):
    write(package.parent / 'tools/pipeline.py'), write(package.parent / 'configs/a.py')
    (package / '.mim').mkdir(parents=True)
    for name in ('tools', 'configs'):
        (package / '.mim' / name).symlink_to(Path('..', '..', name), target_is_directory=True)
    assert resource_root() == package.parent


def test_config_of_the_user_before_that_of_the_package(package):
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="config 'configs/b.py' does not exist"):
            find_config('configs/b.py')  # also without any resources
        write(package / '.mim/tools/pipeline.py'), (package / '.mim/configs').mkdir(exist_ok=True)
    write(package / '.mim/configs/b.py'), write(Path('configs/b.py'))
    assert find_config('configs/b.py') == Path('configs/b.py')
    with pytest.raises(FileNotFoundError, match="config '/nowhere/b.py' does not exist"):
        find_config('/nowhere/b.py')


def test_commands_as_one_would_type_them(package):
    here = Path.cwd()
    assert tool_line('train.py', here / 'a b.py', '--x', 1) == "python -m bana_mm train 'a b.py' --x 1"
    assert tool_line('analysis/draw_panels.py') == 'python -m bana_mm analysis/draw_panels'
    write(Path('tools/train.py'))
    assert tool_line('train.py', '/else/a.py') == 'python tools/train.py /else/a.py'


def test_tools_by_name(tmp_path):
    def call(*arguments):
        command = [sys.executable, '-m', 'bana_mm', *arguments]
        env = {**os.environ, 'PYTHONPATH': str(REPO)}
        return subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True)

    none, wrong = call(), call('fly')
    assert none.returncode == 1 and 'analysis/results_table' in none.stderr and 'pipeline' in none.stderr
    assert wrong.returncode == 1 and 'fly.py: there is no such tool' in wrong.stderr
    made = call('dataset_converters/make_demo', 'voc', '--num-train', '1', '--num-val', '0')
    assert made.returncode == 0 and (tmp_path / 'voc/ImageSets/Segmentation/train_aug.txt').is_file(), made.stderr

"""Where tools/train.py starts from."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'train.py'


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run the tool on a config with ``load_from`` up to its runner, and return the runner's config."""
    spec = importlib.util.spec_from_file_location('train_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (tmp_path / 'config.py').write_text("load_from = 'coco.pth'\nresume = False\n")

    class Runner:
        def train(self):
            pass

    def run(*arguments):
        seen = []
        monkeypatch.setattr(tool, 'build_runner', lambda cfg: seen.append(cfg) or Runner())
        monkeypatch.setattr(sys, 'argv', ['train.py', 'config.py', '--work-dir', 'work', *arguments])
        tool.main()
        return seen[0].load_from, seen[0].resume

    monkeypatch.chdir(tmp_path)
    return run


def test_weights_of_the_config(start):
    assert start() == ('coco.pth', False)


def test_resume_without_a_checkpoint_starts_from_the_weights_of_the_config(start):
    assert start('--resume') == ('coco.pth', False)


def test_resume_goes_on_from_the_latest_checkpoint(start, tmp_path):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work/last_checkpoint').write_text('work/iter_3.pth')
    assert start('--resume') == ('work/iter_3.pth', True)


def test_resume_from_a_given_checkpoint(start):
    assert start('--resume', 'given.pth') == ('given.pth', True)

"""Configs are read by one thread at a time, wherever they are read from."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.config import Config

from bana_mm.utils.config import read_config
from bana_mm.utils.config.files import READING, read_file

PACKAGE = Path(__file__).parents[3] / 'bana_mm'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("model = dict(type='A')\ntrain_dataloader = dict(dataset=dict())\n")
    return path


def test_one_at_a_time(config, monkeypatch):
    inside, most = [], []

    def slow(path, read=Config.fromfile):
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return read(path)

    monkeypatch.setattr(Config, 'fromfile', slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: (read_file, read_config)[n % 2](config).model.type, range(12)))
    assert found == ['A'] * 12 and len(most) >= 12 and max(most) == 1


def test_whoever_holds_the_lock_may_read(config):
    with READING:
        assert read_file(str(config)).model.type == 'A'
    with pytest.raises(FileNotFoundError):
        read_file(config.with_name('b.py'))


def test_no_other_way_is_taken():
    found = [path.name for path in PACKAGE.rglob('*.py') if re.search(r'Config\.fromfile\(', path.read_text())]
    assert found == ['files.py']

"""A file appears when it is whole, and a failed attempt leaves the old one."""

import errno
import os
import subprocess
import time

import pytest

from bana_mm.utils import atomic
from bana_mm.utils.atomic import whole_file


def test_the_file_appears_at_the_end(tmp_path):
    with whole_file(tmp_path / 'a.txt') as partial:
        partial.write_text('new')
        assert partial.name.startswith('.a.txt.') and not (tmp_path / 'a.txt').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / 'a.txt').write_text('old')
    with pytest.raises(RuntimeError), whole_file(str(tmp_path / 'a.txt')) as partial:
        partial.write_text('half')
        raise RuntimeError
    assert (tmp_path / 'a.txt').read_text() == 'old'


def test_a_failed_attempt_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / 'a.txt') as partial:
        partial.write_text('half')
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_leftovers_of_killed_processes_go(tmp_path):
    """Those of processes that run, here or on a machine that can't be asked, stay for a day."""
    gone = subprocess.Popen(['true'])
    gone.wait()
    here = atomic._machine()
    leftovers = {
        f'.a.txt.{gone.pid}@{here}.part': False,
        f'.b.txt.{os.getpid()}@{here}.part': False,  # of an earlier process with this number
        f'.c.txt.{os.getppid()}@{here}.part': True,
        f'.d.txt.{gone.pid}@elsewhere.part': True,
        f'.e.txt.{os.getppid()}@elsewhere.part': False,  # too old
        'f.part': True,  # somebody's own
    }
    for name in leftovers:
        (tmp_path / name).write_text('half')
    long_ago = time.time() - 25 * 3600
    os.utime(tmp_path / f'.e.txt.{os.getppid()}@elsewhere.part', (long_ago, long_ago))
    with whole_file(tmp_path / 'new') as partial:
        partial.write_text('new')
    assert {path.name for path in tmp_path.iterdir()} == {'new', *(name for name, stays in leftovers.items() if stays)}


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError, match=r'a\.txt: can not be written \(No space left on device\); make room, and start'):
        with whole_file(tmp_path / 'a.txt'):
            raise OSError(errno.ENOSPC, 'what the library says')
    with pytest.raises(FileNotFoundError, match='nowhere'), whole_file(tmp_path / 'nowhere/a.txt') as partial:
        partial.write_text('x')

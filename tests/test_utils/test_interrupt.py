"""Ctrl-C ends a tool with a sentence, also one that does not come to notice it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bana_mm.utils.interrupt import interruptible

SCRIPT = """
import signal, time
from bana_mm.utils.interrupt import interruptible

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

@interruptible('again to go on')
def main():
    {block}
    print('ready', flush=True)
    time.sleep(600)

main()
"""


@pytest.mark.skipif(os.name != 'posix', reason='sends signals')
@pytest.mark.parametrize(
    'block',
    [
        'pass',
        # as in a library that computes: another thread takes the signal, and Python waits for this one
        'signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})',
    ],
    ids=['waiting', 'in a library'],
)
def test_a_tool_ends_with_a_sentence(block):
    command = [sys.executable, '-c', SCRIPT.format(block=block)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and errors == '\ninterrupted; again to go on\n'


TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.mark.parametrize('tool', sorted(TOOLS.rglob('*.py')), ids=lambda path: path.relative_to(TOOLS).as_posix())
def test_every_tool_has_its_sentence(tool):
    assert re.search(r'@interruptible\(.*\)\ndef main|with ended_by_signals\(\)', tool.read_text())


def test_nothing_changes_without_ctrl_c():
    before = signal.set_wakeup_fd(-1)
    with interruptible():
        assert signal.set_wakeup_fd(-1) != before
    assert signal.set_wakeup_fd(before) == before
    with pytest.raises(KeyError), interruptible():
        raise KeyError('a mistake of ours')
    with pytest.raises(SystemExit, match='interrupted; the same command goes on from here'), interruptible():
        raise KeyboardInterrupt

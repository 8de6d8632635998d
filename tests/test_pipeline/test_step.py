"""A command runs unless its results are there, says why it failed, and does not outlive the one who called it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bana_mm.pipeline.step import Step, StepError, ended_by_signals

WAITS = 'import os, sys, time\nopen(sys.argv[1], "w").write(str(os.getpid()))\ntime.sleep(60)'


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid):
    try:
        return 'Z' not in Path(f'/proc/{pid}/stat').read_text().split()[2]
    except FileNotFoundError:
        return False


def test_runs_once(tools, tmp_path, capfd):
    script = 'import os, sys\nprint("made by", os.environ["WHO"])\nopen(sys.argv[1], "a").write("x")'
    (tools / 'touch.py').write_text(script)
    target = tmp_path / 'a file'
    step = Step('making', ['touch.py', str(target)], target.is_file)
    step.run(env=dict(WHO='me'))
    step.run()
    assert target.read_text() == 'x'
    out = capfd.readouterr().out
    assert f"touch '{target}'" in out and 'made by me' in out and out.count('done already') == 1


def test_output_goes_to_its_log(tools, tmp_path, capfd):
    (tools / 'touch.py').write_text('import sys\nprint("quiet")\nopen(sys.argv[1], "w")')
    step = Step('making', ['touch.py', str(tmp_path / 'target')], (tmp_path / 'target').is_file)
    step.run(log=tmp_path / 'logs/making.log')
    assert 'quiet' in (tmp_path / 'logs/making.log').read_text()
    assert 'quiet' not in capfd.readouterr().out


def test_failures(tools, tmp_path):
    (tools / 'fail.py').write_text('raise SystemExit("no such weights")')
    (tools / 'idle.py').write_text('')
    with pytest.raises(StepError, match='(?s)training failed with exit status 1.*no such weights'):
        Step('training', ['fail.py'], lambda: False).run(log=tmp_path / 'log')
    with pytest.raises(StepError, match='ended without its results'):
        Step('training', ['idle.py'], lambda: False).run()
    with pytest.raises(StepError, match=r'absent\.py: there is no such tool'):
        Step('training', ['absent.py'], lambda: False).run()


def test_stopped_from_another_thread(tools, tmp_path):
    (tools / 'wait.py').write_text(WAITS)
    file = tmp_path / 'pid'
    step = Step('waiting', ['wait.py', str(file)], lambda: False)
    step.stop()  # nothing runs yet
    thread = threading.Thread(target=lambda: (wait_for(lambda: file.exists() and file.read_text()), step.stop()))
    thread.start()
    with pytest.raises(StepError, match=f'waiting failed with exit status -{signal.SIGTERM:d}'):
        step.run()
    thread.join()
    assert not is_running(int(file.read_text()))


@pytest.mark.skipif(not hasattr(os, 'killpg') or not os.path.isdir('/proc'), reason='needs Linux')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_tool_ends_with_its_caller(tools, tmp_path, number):
    (tools / 'wait.py').write_text(WAITS)
    file = tmp_path / 'pid'
    script = (
        'import signal\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'  # ignored in what runs in the background
        'from pathlib import Path\n'
        'from bana_mm.utils import resources\n'
        'from bana_mm.pipeline.step import Step, ended_by_signals\n'
        f'resources.PACKAGE = Path({str(tools.parents[1])!r})\n'
        'with ended_by_signals():\n'
        f'    Step("waiting", ["wait.py", {str(file)!r}], lambda: False).run()\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', script], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: file.exists() and file.read_text(), 60)
        # a terminal sends Ctrl-C to both, a job scheduler tells the one that it knows
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, error = process.communicate(timeout=120)
        wait_for(lambda: not is_running(int(file.read_text())))
    finally:
        process.kill()
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    elif number == signal.SIGINT:
        assert process.returncode == 1 and 'interrupted; the same command goes on from here' in error
    else:
        assert process.returncode == 128 + signal.SIGTERM


def test_results_of_other_settings_are_told(tools, tmp_path, capsys):
    (tools / 'touch.py').write_text('import sys\nopen(sys.argv[1], "a").write("x")')
    target, kept_in, begun = tmp_path / 'target', tmp_path / 'work/steps.json', []

    def run(**settings):
        step = Step(
            'making',
            ['touch.py', str(target)],
            target.is_file,
            kept_in=kept_in,
            settings=settings,
            is_begun=lambda: bool(begun),
        )
        step.run()
        return step.warnings

    kept_in.parent.mkdir()
    kept_in.write_text('{"making": {"rate": 3}, "other": 5}')
    assert run(rate=1, layers=(1, 2)) == []  # nothing is there yet
    assert json.loads(kept_in.read_text()) == dict(making=dict(rate=1, layers=[1, 2]), other=5)
    assert run(rate=1, layers=(1, 2)) == []
    (warning,) = run(rate=2, layers=(1, 2))
    assert warning.startswith('making: these results were made with other settings than are asked for now (rate was 1')
    assert f'is 2), see {kept_in}; move' in warning and f'WARNING: {warning}' in capsys.readouterr().out
    assert target.read_text() == 'x' and json.loads(kept_in.read_text())['making']['rate'] == 1
    target.unlink()
    begun.append(True)
    (warning,) = run(rate=2, layers=(1, 2))
    assert 'this was begun with other settings' in warning
    kept_in.unlink()
    assert run(rate=5) == []  # of an earlier version


def test_errors_become_a_sentence():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match='no weights\nThe same command goes on from here'):
        with ended_by_signals():
            raise StepError('no weights')
    with pytest.raises(SystemExit, match='interrupted'):
        with ended_by_signals():
            raise KeyboardInterrupt
    with pytest.raises(KeyError):
        with ended_by_signals():
            raise KeyError('a mistake of ours')
    assert signal.getsignal(signal.SIGTERM) is before

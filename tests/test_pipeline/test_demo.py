"""The demonstration's order of steps, without any training."""

import threading
import time

import pytest

from bana_mm.pipeline.demo import Demo, DemoSettings
from bana_mm.pipeline.step import Step, StepError


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path / 'demo', DemoSettings(num_train=2, num_val=1), jobs=2)
    demo.prepare()
    return demo


def test_the_cause_is_reported_not_what_follows_from_it(demo, monkeypatch):
    both, begun = threading.Barrier(2), []

    def run(step, log, env):
        begun.append(step.title)
        both.wait(20)
        if step.title == 'classifier, plain pooling':
            raise StepError('no memory left')
        while demo._failure is None:
            time.sleep(0.01)

    monkeypatch.setattr(Step, 'run', run)
    with pytest.raises(StepError, match='^no memory left$'):
        demo.run()
    assert sorted(begun) == ['classifier, background-aware pooling', 'classifier, plain pooling']


def test_a_mistake_outside_of_the_steps_is_reported(demo, monkeypatch):
    monkeypatch.setattr(Step, 'run', lambda *_: None)
    (demo.data / 'ImageSets/Segmentation/val.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'val\.txt'):
        demo.run()


def test_running_steps_end_when_it_is_interrupted(demo, monkeypatch):
    stopped, waiting = threading.Event(), threading.Barrier(3)

    def run(step, log, env):
        waiting.wait(20)
        assert stopped.wait(20)
        raise StepError(f'{step.title} was ended')

    def interrupt(futures, return_when):
        waiting.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(Step, 'run', run)
    monkeypatch.setattr(Step, 'stop', lambda step: stopped.set())
    monkeypatch.setattr('bana_mm.pipeline.demo.wait', interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo.run()
    assert stopped.is_set()


def test_settings_belong_to_the_folder(demo):
    demo.prepare()
    other = Demo(demo.root, DemoSettings(num_train=3, num_val=1))
    with pytest.raises(ValueError, match='this folder was begun with num_train = 2, this run has 3; .*--out-dir'):
        other.prepare()

"""The commands that make missing labels."""

import pytest

from bana_mm.utils.label_commands import label_commands


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'stage1.py').write_text('train_cfg = dict(max_iters=5)')
    return 'stage1.py'


def test_training_comes_first(config, tmp_path):
    checkpoint = 'work_dirs/stage1/iter_5.pth'
    make = f'python tools/generate_labels.py {config} {checkpoint} --x'
    assert label_commands(dict(config=config, checkpoint=None), '--x') == [f'python tools/train.py {config}', make]
    (tmp_path / checkpoint).parent.mkdir(parents=True)
    (tmp_path / checkpoint).touch()
    assert label_commands(dict(config=config), '--x') == [make]


def test_given_checkpoint(config):
    made_by = dict(config=config, checkpoint=config)
    assert label_commands(made_by, '--x') == [f'python tools/generate_labels.py {config} {config} --x']


def test_nothing_known():
    assert label_commands(None, '--x') == [
        'python tools/train.py CONFIG',
        'python tools/generate_labels.py CONFIG CHECKPOINT --x',
    ]

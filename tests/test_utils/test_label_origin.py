"""What a training from labels needs first, decided in one place."""

from pathlib import Path

import pytest
from mmengine.config import Config

from bana_mm.utils.config import read_config
from bana_mm.utils.label_origin import LabelOrigin, final_checkpoint, is_trained

FINAL = Path('work_dirs/stage1/iter_5.pth')
TRAIN = 'python -m bana_mm train stage1.py'


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('stage1.py').write_text('train_cfg = dict(max_iters=5)')
    return 'stage1.py'


def finish_training(checkpoint=FINAL):
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.touch()
    checkpoint.with_name('last_checkpoint').write_text(f'/elsewhere/{checkpoint.name}')


def make(checkpoint):
    return f'python -m bana_mm generate_labels stage1.py {checkpoint} --x'


def test_final_checkpoint():
    assert final_checkpoint(Config(dict(train_cfg=dict(max_iters=30))), 'w') == Path('w/iter_30.pth')
    assert final_checkpoint(Config(dict(train_cfg=dict(by_epoch=True, max_epochs=4))), 'w') == Path('w/epoch_4.pth')
    with pytest.raises(ValueError, match='neither max_iters nor max_epochs'):
        final_checkpoint(Config(dict(train_cfg=None)), 'w')


def test_training_is_over_once_its_checkpoint_is_named(tmp_path):
    checkpoint, record = tmp_path / 'iter_30.pth', tmp_path / 'last_checkpoint'
    assert not is_trained(checkpoint)
    checkpoint.touch()
    assert not is_trained(checkpoint)  # it may have been killed while it wrote
    record.write_text('/elsewhere/iter_20.pth')
    assert not is_trained(checkpoint)
    record.write_text('/elsewhere/iter_30.pth\n')
    assert is_trained(checkpoint)
    checkpoint.unlink()
    assert not is_trained(checkpoint)


def test_training_comes_first(config):
    origin = LabelOrigin.from_cfg(dict(config=config, checkpoint=None))
    assert origin == LabelOrigin(config, FINAL, trains=True)
    assert origin.problem() is None and not origin.has_checkpoint()
    assert origin.commands('--x') == [TRAIN, make(FINAL)]
    assert origin.remedy('--x') == f'Make them with\n    {TRAIN}\n    {make(FINAL)}\nand start again'
    finish_training()
    assert origin.has_checkpoint() and origin.commands('--x') == [make(FINAL)]
    assert LabelOrigin.from_cfg(dict(config=config)) == origin


def test_given_checkpoint(config):
    origin = LabelOrigin.from_cfg(dict(config=config, checkpoint='bap.pth'))
    assert origin == LabelOrigin(config, Path('bap.pth'), trains=False)
    assert origin.problem() == (
        "pseudo_labels.checkpoint 'bap.pth' does not exist; correct it, or set it to None to train stage1.py first"
    )
    assert origin.problem() in origin.remedy('--x') and 'Make them' not in origin.remedy('--x')
    Path('bap.pth').touch()
    assert origin.problem() is None and origin.commands('--x') == [make('bap.pth')]


def test_given_checkpoint_that_the_training_writes(config):
    origin = LabelOrigin.from_cfg(dict(config=config, checkpoint=str(FINAL)))
    assert origin.trains and origin.commands('--x') == [TRAIN, make(FINAL)]
    finish_training()
    assert origin.commands('--x') == [make(FINAL)]


def test_config_that_was_read_with_other_settings(config):
    classifier = read_config(config, {'train_cfg.max_iters': 7}, 'elsewhere')
    origin = LabelOrigin.from_cfg(dict(config=config), classifier)
    assert origin == LabelOrigin(config, Path('elsewhere/iter_7.pth'), trains=True)


def test_nothing_known(config):
    commands = ['python -m bana_mm train CONFIG', 'python -m bana_mm generate_labels CONFIG CHECKPOINT --x']
    assert LabelOrigin.from_cfg(None).commands('--x') == commands
    gone = LabelOrigin.from_cfg(dict(config='gone.py'))
    assert gone.checkpoint is None and gone.commands()[0] == 'python -m bana_mm train gone.py'
    assert LabelOrigin.from_cfg(dict(checkpoint='gone.pth')).problem().endswith('to train the classifier first')


def test_config_that_trains_nothing(config):
    Path('test.py').write_text('train_cfg = None')
    origin = LabelOrigin.from_cfg(dict(config='test.py', checkpoint=config))
    assert not origin.trains and origin.has_checkpoint()
    with pytest.raises(ValueError, match='test.py: train_cfg has neither'):
        LabelOrigin.from_cfg(dict(config='test.py'))

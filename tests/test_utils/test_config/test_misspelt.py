"""Options that a config nearly has."""

import pytest
from mmengine.config import Config

from bana_mm.utils.config import read_config
from bana_mm.utils.config.misspelt import misspelt_keys

CFG = dict(
    train_cfg=dict(type='IterBasedTrainLoop', max_iters=10, val_interval=5),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.0)),
    param_scheduler=[dict(type='PolyLR', end=10)],
    train_dataloader=dict(batch_size=2, dataset=dict(pipeline=dict(crop=dict(crop_size=(3, 3))))),
    randomness=dict(seed=13),
)


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('train_cfg.max_iter', 'train_cfg.max_iters'),
        ('train_dataloader.batchsize', 'train_dataloader.batch_size'),
        ('optim_wraper.optimizer.lr', 'optim_wrapper.optimizer.lr'),
        ('train_dataloader.dataset.pipelin.crop.crop_size', 'train_dataloader.dataset.pipeline.crop.crop_size'),
        ('param_scheduler.0.ends', 'param_scheduler.0.end'),
        ('optimizer.lr', 'optim_wrapper.optimizer.lr'),  # as it was before mmengine
        ('crop.crop_size', 'train_dataloader.dataset.pipeline.crop.crop_size'),
    ],
)
@pytest.mark.parametrize('wrap', [dict, Config])
def test_what_is_meant(key, meant, wrap):
    assert misspelt_keys(wrap(CFG), {key: 1}) == {key: meant}


@pytest.mark.parametrize(
    'key',
    [
        'train_cfg.max_iters',
        'train_cfg.val_begin',  # mmengine knows it
        'optim_wrapper.clip_grad.max_norm',
        'optim_wrapper.optimizer.momentum',
        'param_scheduler.1.end',
        'param_scheduler.end',
        'randomness.deterministic',
        'resume',
        'model.backbone.depth',
        'train_cfg.max_iters.x',
    ],
)
def test_new_keys_are_none_of_its_business(key):
    assert misspelt_keys(Config(CFG), {key: 1}) == {}


def test_reading_says_so_once_and_goes_on(tmp_path, capsys):
    path = tmp_path / 'config.py'
    path.write_text('train_cfg = dict(max_iters=10)\n')
    for _ in range(2):
        cfg = read_config(path, {'train_cfg.max_iter': 3, 'train_cfg.type': 'X'})
        assert cfg.train_cfg == dict(max_iters=10, max_iter=3, type='X')
    assert capsys.readouterr().err == (
        f'warning: {path} has no train_cfg.max_iter; did you mean train_cfg.max_iters? train_cfg.max_iter is set all '
        'the same\n'
    )

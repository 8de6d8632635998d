"""Sizes that any config takes."""

import pytest
from mmengine.config import Config

from bana_mm.utils.config.presets import apply_preset, known_presets

PRESET = """
overrides = dict(
    all=dict(set=dict(env_cfg=dict(backend='gloo'))),
    big=dict(when={'model.type': 'Big'}, set=dict(model=dict(width=4, head=dict(_delete_=True, type='Small')))),
    both=dict(when={'model.type': ('Big', 'Huge'), 'model.depth': 50}, set=dict(steps=[])),
    absent=dict(when={'model.neck.type': 'FPN'}, set=dict(model=dict(neck=dict(width=1)))),
)
"""


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / 'small.py'
    path.write_text(PRESET)
    return str(path)


def test_parts_go_where_they_fit(preset):
    model = dict(type='Big', depth=50, width=64, head=dict(type='Large', layers=9))
    cfg = Config(dict(model=model, steps=[1, 2]))
    apply_preset(cfg, preset)
    assert cfg.to_dict() == dict(
        model=dict(type='Big', depth=50, width=4, head=dict(type='Small')), steps=[], env_cfg=dict(backend='gloo')
    )
    cfg = Config(dict(model=dict(type='Huge', depth=18), steps=[1, 2]))
    apply_preset(cfg, preset)
    assert cfg.to_dict() == dict(model=dict(type='Huge', depth=18), steps=[1, 2], env_cfg=dict(backend='gloo'))


def test_twice_is_once(preset):
    """Merging leaves the preset's own dicts as they are."""
    cfg = Config(dict(model=dict(type='Big', depth=50, head=dict(type='Large', layers=9)), steps=[1]))
    apply_preset(cfg, preset)
    once = cfg.to_dict()
    apply_preset(cfg, preset)
    assert cfg.to_dict() == once


def test_one_preset_inherits_another(preset, tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'small.py'\noverrides = dict(big=dict(set=dict(model=dict(width=7))))\n"
    )
    cfg = Config(dict(model=dict(type='Big', depth=18, width=64, head=dict(type='Large'))))
    apply_preset(cfg, str(tmp_path / 'mine.py'))
    assert cfg.model.to_dict() == dict(type='Big', depth=18, width=7, head=dict(type='Small'))


def test_what_is_there(tmp_path):
    assert 'cpu' in known_presets()
    with pytest.raises(FileNotFoundError, match="preset 'huge' does not exist; there are cpu, and files of your own"):
        apply_preset(Config(dict()), 'huge')
    with pytest.raises(FileNotFoundError, match='nowhere.py'):
        apply_preset(Config(dict()), str(tmp_path / 'nowhere.py'))


@pytest.mark.parametrize(
    'text, message',
    [
        ('train_cfg = dict(max_iters=1)', r'a preset has overrides = dict\('),
        (
            'overrides = dict(a=dict(train_cfg=dict(max_iters=1)))',
            r'overrides\.a must be a dict of set, and maybe when',
        ),
        ('overrides = dict(a=dict(set=dict(steps=dict(one=1))))', r'overrides\.a does not fit'),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / 'bad.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf'bad\.py: {message}'):
        apply_preset(Config(dict(steps=[dict(type='A')])), str(path))


def test_cpu_size_of_foreign_configs():
    """A config of mmseg with a list pipeline is shortened; what it does not have is not invented."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=(512, 512))]
    cfg = Config(
        dict(
            model=dict(type='EncoderDecoder', backbone=dict(type='MixVisionTransformer')),
            train_dataloader=dict(batch_size=16, dataset=dict(type='ADE20KDataset', pipeline=pipeline)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=80000),
        )
    )
    apply_preset(cfg, 'cpu')
    assert cfg.train_cfg.max_iters == 400 and cfg.train_dataloader.dataset.pipeline == pipeline
    assert 'default_hooks' not in cfg and 'data_preprocessor' not in cfg.model

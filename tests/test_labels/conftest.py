"""A classifier that is quick to run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from bana_mm.labels import engine

CONFIG = dict(
    default_scope='mmdet',
    custom_imports=dict(imports=['bana_mm.registry'], allow_failed_imports=False),
    model=dict(
        type='bana_mm.BoxClassifier',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3),
        backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
        bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
        label_recipe=dict(crf=dict(iterations=2)),
    ),
    instance_recipe=dict(side=32, unary=dict(crf=dict(iterations=2))),
    test_dataloader=dict(num_workers=0),
)


@pytest.fixture(scope='session')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``bap.py`` and ``bap.pth``, a classifier of rings and triangles, and ``gap.py`` for its weights."""
    folder = tmp_path_factory.mktemp('classifier')
    Config(CONFIG).dump(folder / 'bap.py')
    (folder / 'gap.py').write_text("_base_ = 'bap.py'\nmodel = dict(bap_head=dict(pooling='gap'))\n")
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(folder / 'bap.py').model)
        model.init_weights()
    meta = dict(dataset_meta=dict(classes=('ring', 'triangle')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'bap.pth')
    return folder


@pytest.fixture(autouse=True)
def fresh_networks() -> Iterator[None]:
    """Ends every test without the networks that it has built or changed."""
    yield
    engine._engine.cache_clear()

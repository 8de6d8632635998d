"""Every config of a classifier builds, loads images and takes a training step."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope

from bana_mm.datasets import VOC_CLASSES, CocoBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.structures import LabelRecipe
from bana_mm.utils.config import read_config

CONFIG_DIR = Path(__file__).parents[2] / 'configs' / 'bana'
CONFIGS = sorted(path.stem for path in CONFIG_DIR.glob('*ap_vgg16*.py') if '2coco' not in path.stem)
# The small data has two classes of its own; the other names only fill up to VOC's twenty and COCO's eighty.
CLASSES = {
    data: ('ring', 'triangle', *names[2:])
    for data, names in (('voc', VOC_CLASSES), ('coco', CocoBoxDataset.METAINFO['classes']))
}


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    return (
        make_tiny_voc(tmp_path_factory.mktemp('voc')),
        make_tiny_coco(tmp_path_factory.mktemp('coco'), more_categories=CLASSES['coco'][2:]),
    )


@pytest.fixture
def load(roots, tmp_path, monkeypatch):
    """Load a config by name and preset, on small data and with weights of the convolutions."""
    weights = tmp_path / 'vgg16.pth'
    state = MODELS.build(dict(type='bana_mm.VGG16LargeFOV')).features.state_dict(prefix='features.')
    torch.save(state, weights)
    for variable, root in zip(('VOC_ROOT', 'COCO_ROOT'), roots):
        monkeypatch.setenv(variable, str(root))
    monkeypatch.setenv('VGG16_WEIGHTS', str(weights))
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield lambda name, preset: read_config(CONFIG_DIR / f'{name}.py', preset=preset)


def test_there_are_configs():
    assert {f'{pooling}_vgg16_{data}' for pooling in ('bap', 'gap') for data in CLASSES} <= set(CONFIGS)


@pytest.mark.parametrize('preset', [None, 'cpu'])
@pytest.mark.parametrize('name', CONFIGS)
def test_training_step_and_learning_rates(load, name, preset):
    cfg = load(name, preset)
    assert cfg.model.bap_head.pooling == name[:3]
    recipe = dict(bap=dict(recipe='bana_mm'), gap=dict(recipe='paper', background='cam'))[name[:3]]
    assert LabelRecipe.from_cfg(cfg.model.label_recipe) == LabelRecipe.from_cfg(recipe)
    lr = 1e-4 if preset == 'cpu' else 1e-3  # the paper's, and the reference code's
    crop = cfg.train_dataloader.dataset.pipeline.crop
    assert tuple(crop.crop_size) == ((225, 225) if preset == 'cpu' else (321, 321))
    crop.crop_size = (65, 65)
    data = name.split('_')[2]
    metainfo = dict(classes=CLASSES[data])
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'metainfo': metainfo})
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    wrapper.update_params(model.parse_losses(losses)[0])
    assert losses['loss_cls'].isfinite() and all(p.isfinite().all() for p in model.parameters())
    settings = {id(p): (g['lr'], g['weight_decay']) for g in wrapper.param_groups for p in g['params']}
    found = {key: settings[id(parameter)] for key, parameter in model.named_parameters()}
    assert found['backbone.features.28.weight'] == pytest.approx((lr, 5e-4))
    assert found['backbone.features.28.bias'] == pytest.approx((2 * lr, 0))
    assert found['backbone.fc6.weight'] == found['bap_head.classifier.weight'] == pytest.approx((10 * lr, 5e-4))
    test_item = DATASETS.build({**cfg.val_dataloader.dataset, 'metainfo': metainfo})[0]
    assert ('gt_sem_seg' in test_item['data_samples']) == (data == 'voc')  # COCO's boxes come without masks
    assert len(model.bap_head.weight) == 1 + len(CLASSES[data])
    assert all(scheduler.milestones[0] < cfg.train_cfg.max_iters for scheduler in cfg.param_scheduler)

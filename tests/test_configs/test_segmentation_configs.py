"""Every config of a segmentation model builds, loads images and takes a training step."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope

from bana_mm.labels import LabelStore, write_label_png

CONFIG_DIR = Path(__file__).parents[2] / 'configs' / 'bana'
CONFIGS = sorted(path.stem for path in CONFIG_DIR.glob('deeplab*.py'))
BOX = '<bndbox><xmin>21</xmin><ymin>11</ymin><xmax>70</xmax><ymax>60</ymax></bndbox>'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A VOC of two images, each a dog, and its labels in ``labels``."""
    root = tmp_path_factory.mktemp('voc')
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClassAug', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    store = LabelStore(root / 'labels')
    store.begin({})
    label = np.zeros((80, 100), np.uint8)
    label[15:60, 20:65] = 12
    for name in 'ab':
        cv2.imwrite(str(root / 'JPEGImages' / f'{name}.jpg'), np.dstack([label] * 3) * 20)
        size = '<size><width>100</width><height>80</height></size>'
        dog = f'<object><name>dog</name>{BOX}</object>'
        (root / 'Annotations' / f'{name}.xml').write_text(f'<annotation>{size}{dog}</annotation>')
        write_label_png(root / 'SegmentationClassAug' / f'{name}.png', label)
        store.write(name, Y_crf=label, Y_ret=np.roll(label, 3, axis=1))
    for split in ('train_aug', 'val'):
        (root / 'ImageSets' / 'Segmentation' / f'{split}.txt').write_text('a\nb\n')
    return root


@pytest.fixture
def load(root, monkeypatch):
    """Load a config by name, on the small data."""
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield lambda name: Config.fromfile(CONFIG_DIR / f'{name}.py')


def test_there_are_configs():
    assert {'deeplabv1_vgg16_voc', 'deeplabv1_vgg16_voc_cpu', 'deeplabv2_r101_voc',
            'deeplabv2_r101_voc_cpu'} <= set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
def test_training_step(load, name):
    cfg = load(name)
    crop_size = cfg.crop_size
    assert cfg.model.data_preprocessor['size'] == cfg.train_dataloader.dataset.pipeline[3].crop_size == crop_size
    assert cfg.pseudo_labels.dir == cfg.train_dataloader.dataset.pipeline[1].label_dir
    # the network as it is, on crops that take no time
    cfg.model.data_preprocessor['size'] = cfg.train_dataloader.dataset.pipeline[3].crop_size = (65, 65)
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    batch = model.data_preprocessor(batch, training=True)
    losses = model(**batch, mode='loss')
    assert {'decode.loss_ce', 'decode.loss_wce'} < set(losses)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('pipeline', ['test_pipeline', 'tta_pipeline'])
def test_evaluation_data(load, name, pipeline):
    cfg = load(name)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline = cfg[pipeline]
        dataset = DATASETS.build(loader.dataset)
        assert dataset.metainfo['classes'][:2] == ('background', 'aeroplane') and len(dataset.metainfo['classes']) == 21
        item = dataset[0]
        inputs = item['inputs'] if isinstance(item['inputs'], list) else [item['inputs']]
        assert len(inputs) == (1 if pipeline == 'test_pipeline' else 8)


def test_learning_rates_of_deeplab_v1(load, tmp_path, monkeypatch):
    model = MODELS.build(load('deeplabv1_vgg16_voc').model)
    weights = tmp_path / 'vgg16.pth'
    torch.save({k: v for k, v in model.backbone.state_dict().items() if k.startswith('features')}, weights)
    monkeypatch.setenv('VGG16_WEIGHTS', str(weights))
    cfg = load('deeplabv1_vgg16_voc')
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = optimizer.param_groups
    settings = {id(p): (group['lr'], group['weight_decay']) for group in groups for p in group['params']}
    found = {name: settings[id(parameter)] for name, parameter in model.named_parameters()}
    assert found['backbone.features.0.weight'] == pytest.approx((1e-3, 5e-4))
    assert found['backbone.features.0.bias'] == pytest.approx((2e-3, 0))
    assert found['backbone.fc6.weight'] == found['decode_head.conv_seg.weight'] == pytest.approx((1e-2, 5e-4))
    assert found['backbone.fc7.bias'] == pytest.approx((2e-2, 0))

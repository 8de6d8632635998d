"""Every config of the further methods builds, loads images and takes a training step."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope

from bana_mm.datasets import VOC_CLASSES
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.utils.config import read_config

ROOT = Path(__file__).parents[2]
CONFIG_DIR = ROOT / 'configs' / 'addons'
NAMES = sorted(path.stem for path in CONFIG_DIR.glob('*.py'))
OF_IMAGES = [name for name in NAMES if name.split('_')[0] not in ('bap', 'deeplabv1', 'mask-rcnn')]
OF_BOXES = [name for name in NAMES if name.startswith('bap_')]
CLASSES = ('ring', 'triangle', *VOC_CLASSES[2:])  # the small data has two classes; the others fill up
SIZE = (65, 65)


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    return make_tiny_voc(tmp_path_factory.mktemp('voc'))


@pytest.fixture
def load(voc, tmp_path, monkeypatch):
    """Load a config by name, on small data, with small crops and without pre-trained weights."""
    monkeypatch.setenv('VOC_ROOT', str(voc))

    def read(name, preset=None):
        cfg = read_config(CONFIG_DIR / f'{name}.py', preset=preset)
        cfg.train_dataloader.dataset.pipeline.crop.crop_size = SIZE
        cfg.train_dataloader.dataset.metainfo = dict(classes=CLASSES)
        if 'pretrained' in cfg.model.backbone:
            cfg.model.backbone.pretrained = None
        for augment in cfg.model.data_preprocessor.get('batch_augments', ()):
            augment.size = SIZE
        return cfg

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield read


def take_step(cfg):
    """The model, the losses of two images, and the learning rate and decay of every parameter that is trained."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    wrapper.update_params(model.parse_losses(losses)[0])
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    settings = {id(p): (g['lr'], g['weight_decay']) for g in wrapper.param_groups for p in g['params']}
    return model, losses, {name: settings[id(p)] for name, p in model.named_parameters() if p.requires_grad}


def test_names_are_distinct_and_every_published_row_is_there():
    assert not set(NAMES) & {path.stem for path in (ROOT / 'configs' / 'bana').glob('*.py')}
    assert {f'{name}_r50_voc' for name in ('cam', 'vwe', 'hspp', 'vwe-hspp')} <= set(NAMES)
    assert {'vwl-l_r101_voc', 'vwl-m_r101_voc', 'seam_r50_voc', 'seam_r50_voc_isl-fsl'} <= set(NAMES)
    assert {f'cam_r50-s8_voc{losses}' for losses in ('', '_isl', '_fsl', '_isl-fsl')} <= set(NAMES)
    assert {f'bap_vgg16_voc_{part}' for part in ('hspp', 'vwe', 'isl', 'fsl', 'isl-fsl', 'hard-background')} <= set(
        NAMES
    )


EXPECTED = {
    'cam_r50': {'loss_cls'},
    'hspp_r50': {'loss_cls'},
    'vwe_r50': {'loss_cls', 'loss_word', 'loss_word_to_image'},
    'vwe-hspp_r50': {'loss_cls', 'loss_word', 'loss_word_to_image'},
    'vwl-l_r101': {'loss_cls', 'loss_word', 'loss_word_to_image', 'loss_decorrelation'},
    'vwl-m_r101': {'loss_cls', 'loss_word'},
    'cam_r50-s8': {'loss_cls'},
    'seam_r50': {'loss_cls', 'loss_er', 'loss_ecr', 'loss_min'},
}
FURTHER = dict(isl={'loss_isl'}, fsl={'loss_fsl'}, vwe={'loss_word', 'loss_word_to_image'}, hspp=set())
FURTHER['isl-fsl'] = FURTHER['isl'] | FURTHER['fsl']
FURTHER['hard-background'] = {'loss_hard_background'}


@pytest.mark.parametrize('name', OF_IMAGES)
def test_classifier_of_images(load, name):
    cfg = load(name)
    model, losses, settings = take_step(cfg)
    network, _, further = name.partition('_voc')
    assert {key for key in losses if 'loss' in key} == EXPECTED[network] | FURTHER.get(further.strip('_'), set())
    assert model.head.pooling == ('hspp' if 'hspp' in name or 'vwl' in name else 'gap')
    by_003 = '-s8' in name or 'seam' in name
    decay = 5e-4 if by_003 else 1e-4
    assert settings['backbone.layer4.0.conv2.weight'] == pytest.approx((0.01, decay))
    heads = {key: value for key, value in settings.items() if not key.startswith('backbone')}
    assert all(value == pytest.approx((0.1, decay)) for value in heads.values())
    # what lies below layer3 is not trained, but for VWL-M, where only the first convolution is not
    trained = {key.split('.')[1] for key in settings if key.startswith('backbone')}
    assert trained == ({'layer1', 'layer2', 'layer3', 'layer4'} if 'vwl-m' in name else {'layer3', 'layer4'})
    assert not any(module.training for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    stride = 8 if by_003 else 16
    inputs = torch.rand(1, 3, 65, 65)
    assert model.eval().extract_feat(inputs).shape[2:] == (-(-65 // stride),) * 2 and model.stride == stride
    batch, length = (8, 10576) if by_003 else (16, 3966)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == length
    assert cfg.optim_wrapper.optimizer.momentum == 0
    full = read_config(CONFIG_DIR / f'{name}.py')
    padded, crop = full.model.data_preprocessor.batch_augments[0].size, full.train_dataloader.dataset.pipeline.crop
    assert tuple(crop.crop_size) == tuple(padded) == ((448, 448) if by_003 else (512, 512))
    assert ('color' in cfg.train_dataloader.dataset.pipeline) == by_003


def test_validation_of_images(load):
    cfg = load('cam_r50-s8_voc')
    cfg.val_dataloader.dataset.metainfo = dict(classes=CLASSES)
    cfg.model.activations.scales = (1.0,)
    model = MODELS.build(cfg.model).eval()
    item = DATASETS.build(cfg.val_dataloader.dataset)[0]
    batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    with torch.no_grad():
        result = model(**model.data_preprocessor(batch), mode='predict')[0]
    assert result.pred_activations.shape == item['data_samples'].ori_shape
    assert len(cfg.val_evaluator.levels) == 60 and cfg.val_evaluator.contours == 0.008
    assert load('cam_r50_voc').val_evaluator.levels == (0.14,) and load('vwl-m_r101_voc').test_evaluator.levels == (
        0.13,
    )


@pytest.mark.parametrize('name', OF_BOXES)
def test_classifier_of_boxes(load, name):
    cfg = load(name)
    model, losses, settings = take_step(cfg)
    assert {key for key in losses if 'loss' in key} == {'loss_cls'} | FURTHER[name.removeprefix('bap_vgg16_voc_')]
    assert model.bap_head.pooling == ('hspp' if name.endswith('hspp') else 'bap')
    heads = {key: value for key, value in settings.items() if key.startswith(('bap_head', 'dense_losses'))}
    assert all(value == pytest.approx((1e-2, 5e-4)) for value in heads.values())


def test_stage_3(load, voc, tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        cfg = load('deeplabv1_vgg16_voc_fsl')
        dataset = cfg.train_dataloader.dataset
        dataset.pseudo_labels = dict(source='box')
        cfg.model.data_preprocessor.size = SIZE
        _, losses, _ = take_step(cfg)
    assert {'decode.loss_ce', 'decode.loss_wce', 'decode.loss_fsl'} <= set(losses)


@pytest.mark.parametrize('name', ['vwe-hspp_r50_voc', 'seam_r50_voc_isl-fsl', 'bap_vgg16_voc_isl-fsl'])
def test_preset_of_two_cpu_cores(load, name):
    cfg = load(name, 'cpu')
    assert cfg.model.backbone.type == 'bana_mm.VGG16LargeFOV' and cfg.train_dataloader.batch_size == 8
    assert cfg.train_cfg.max_iters == 420 and cfg.env_cfg.dist_cfg.backend == 'gloo'
    _, losses, settings = take_step(cfg)
    assert losses['loss_cls'].isfinite() and settings['backbone.fc7.bias'][1] == 0

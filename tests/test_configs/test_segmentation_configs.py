"""Every config of a segmentation model builds, loads images and takes a training step.

The models are built as they are, in both sizes; all configs, on narrow versions of them, which show what sets them
apart.
"""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from bana_mm.structures import LabelStore
from bana_mm.utils.config import label_splits, read_config, run_name

CONFIG_DIR = Path(__file__).parents[2] / 'configs' / 'bana'
CONFIGS = sorted(path.stem for path in CONFIG_DIR.glob('deeplab*.py'))
BASES = ['deeplabv1_vgg16_voc', 'deeplabv2_r101_voc']
PRESETS = [None, 'cpu']
# What a config's name ends with, and the term of its loss beside loss_ce.
VARIANTS = dict(
    ycrf='loss_wce',
    yret='loss_wce',
    masks='loss_wce',
    semi='loss_wce',
    ignore='loss_wce',
    entropy='loss_entropy',
    bootstrap_soft='loss_bootstrap',
    bootstrap_hard='loss_bootstrap',
    confidence='loss_wce',
)


@pytest.fixture(scope='module')
def root(labelled_voc):
    return labelled_voc


@pytest.fixture
def load(root, monkeypatch):
    """Load a config by name and preset, on the small data."""
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield lambda name, preset=None: read_config(CONFIG_DIR / f'{name}.py', preset=preset)


def training_step(cfg):
    """The losses of one batch of small crops, after the backward pass, and the model."""
    cfg.model.data_preprocessor['size'] = cfg.train_dataloader.dataset.pipeline.crop.crop_size = (65, 65)
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    batch = model.data_preprocessor(batch, training=True)
    losses = model(**batch, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return losses, model


def narrow(cfg):
    """The config with a model that is built in no time."""
    if 'r101' in Path(cfg.filename).stem:
        cfg.model.backbone.update(depth=50, base_channels=2, stem_channels=2, init_cfg=None)
        cfg.model.decode_head.head.update(in_channels=64, channels=8)
    else:
        cfg.model.backbone.update(width_mult=0.0625, out_channels=8, pretrained=None)
        cfg.model.decode_head.head.update(in_channels=8, channels=8)
    return cfg


def variant(name):
    """The base of a config and what sets it apart, '' for the bases themselves."""
    base, _, what = name.partition('_voc')
    return base, what.removeprefix('_')


def test_there_are_configs():
    names = {
        f'{base}_voc{what}'
        for base in ('deeplabv1_vgg16', 'deeplabv2_r101', 'deeplabv2_r101_cocoinit')
        for what in ('', '_ycrf', '_yret', '_masks', '_semi')
    }
    names |= {f'deeplabv1_vgg16_voc_{what}' for what in VARIANTS}
    assert names == set(CONFIGS)


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('name', BASES)
def test_model_as_it_is(load, name, preset):
    losses, _ = training_step(load(name, preset))
    assert {'decode.loss_ce', 'decode.loss_wce'} < set(losses)


@pytest.mark.parametrize('name', CONFIGS)
def test_training_step(load, root, name):
    cfg = narrow(load(name))
    base, what = variant(name)
    dataset = cfg.train_dataloader.dataset
    assert cfg.model.data_preprocessor['size'] == dataset.pipeline.crop.crop_size == (321, 321)
    if what == 'masks':
        assert dataset.pseudo_labels is None and dataset.require_masks
    else:
        assert dataset.pseudo_labels.dir == str(root / 'labels')
        assert dataset.pseudo_labels.config == 'configs/bana/bap_vgg16_voc.py'
        assert label_splits(cfg) == ('train_aug', 'val')
    losses, _ = training_step(cfg)
    term = losses[f'decode.{VARIANTS.get(what, "loss_wce")}']
    assert losses['decode.loss_ce'] > 0
    assert (term > 0) == (what not in ('ycrf', 'yret', 'masks', 'ignore'))


@pytest.mark.parametrize('name', CONFIGS)
def test_cpu_size(load, name):
    """The preset changes crops and lengths of every config, and leaves what sets a variant apart."""
    cfg, full = load(name, 'cpu'), load(name)
    v2, dataset = 'v2' in name, cfg.train_dataloader.dataset
    assert cfg.model.data_preprocessor['size'] == dataset.pipeline.crop.crop_size == (225, 225)
    iterations, batch = (300, 4) if v2 else (400, 8)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == iterations and len(cfg.param_scheduler) == 1
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.work_dir == f'work_dirs/{name}_cpu' and run_name(cfg) == f'{name}_cpu'
    assert cfg.model.decode_head == full.model.decode_head and cfg.test_evaluator == full.test_evaluator
    dataset.pipeline.crop.crop_size = (321, 321)
    assert dataset.pipeline == full.train_dataloader.dataset.pipeline
    if dataset.pseudo_labels is not None:
        assert dataset.pseudo_labels == dict(full.train_dataloader.dataset.pseudo_labels, preset='cpu')


def test_labels_follow_the_preset(load, monkeypatch):
    monkeypatch.delenv('LABEL_DIR')
    labels = load('deeplabv1_vgg16_voc', 'cpu').train_dataloader.dataset.pseudo_labels
    assert labels.dir == 'work_dirs/bap_vgg16_voc_cpu/labels' and labels.config == 'configs/bana/bap_vgg16_voc.py'


@pytest.mark.parametrize('preset', PRESETS)
def test_times_of_confidence_maps(load, preset):
    hook = dict(load('deeplabv1_vgg16_voc_confidence', preset).default_hooks.confidence)
    hook = HOOKS.build(hook)
    assert (hook.iterations, hook.epochs) == (
        (None, (0, 11, 22, 33, 45)) if preset is None else ((0, 100, 200, 300, 400), None)
    )


@pytest.mark.parametrize('name', sorted(set(CONFIGS) - set(BASES)))
def test_what_variants_share(load, name):
    """Data, schedule and evaluation of a variant are its base's."""
    base, _ = variant(name)
    base = f'{base.removesuffix("_cocoinit")}_voc'
    cfg, other = load(name), load(base)
    for key in (
        'val_dataloader',
        'test_dataloader',
        'val_evaluator',
        'test_evaluator',
        'tta_pipeline',
        'tta_model',
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
    ):
        assert cfg[key] == other[key], key
    for key in ('batch_size', 'sampler'):
        assert cfg.train_dataloader[key] == other.train_dataloader[key]
    pipeline, expected = (dict(one.train_dataloader.dataset.pipeline, labels=None) for one in (cfg, other))
    assert pipeline == expected


@pytest.mark.parametrize('name', CONFIGS)
def test_labels(load, root, name):
    """Which map each image learns from, and where it is reliable."""
    cfg = load(name)
    cfg.train_dataloader.dataset.pipeline.update(dict.fromkeys(('resize', 'crop', 'flip', 'color')))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    store = LabelStore(root / 'labels')
    y_crf, y_ret = (torch.from_numpy(store.read(name, 'b')) for name in store.maps)
    mask, everywhere = torch.where(y_crf > 0, 15, 0), torch.ones(80, 100, dtype=torch.bool)
    agreed = (y_crf, y_crf == y_ret)
    expected = dict(
        ycrf=[(y_crf, everywhere)] * 2,
        yret=[(y_ret, everywhere)] * 2,
        masks=[(mask, None)] * 2,
        semi=[(mask, everywhere), agreed],
    )
    for index, (label, reliable) in enumerate(expected.get(variant(name)[1], [agreed] * 2)):
        sample = dataset[index]['data_samples']
        assert torch.equal(sample.gt_sem_seg.data[0], label.long())
        if reliable is None:  # the head takes all of it
            assert 'gt_reliable_map' not in sample
        else:
            assert torch.equal(sample.gt_reliable_map.data[0], reliable)


def test_losses_of_table_3(load):
    losses = {
        what: load(f'deeplabv1_vgg16_voc_{what}').model.decode_head.head.loss_decode
        for what in ('ignore', 'entropy', 'bootstrap_soft', 'bootstrap_hard')
    }
    base = load('deeplabv1_vgg16_voc').model.decode_head.head.loss_decode
    assert base == dict(type='bana_mm.NoiseAwareLoss', balance=0.1)
    assert losses == dict(
        ignore={**base, 'balance': 0.0},
        entropy={**base, 'type': 'bana_mm.EntropyLoss'},
        bootstrap_soft={**base, 'type': 'bana_mm.BootstrappingLoss', 'mode': 'soft'},
        bootstrap_hard={**base, 'type': 'bana_mm.BootstrappingLoss', 'mode': 'hard'},
    )


@pytest.mark.parametrize('name', [name for name in CONFIGS if 'cocoinit' in name])
def test_coco_weights(load, name, tmp_path, monkeypatch):
    monkeypatch.setenv('DEEPLABV2_COCO_WEIGHTS', str(tmp_path / 'coco.pth'))
    cfg = load(name)
    assert cfg.load_from == str(tmp_path / 'coco.pth') and cfg.model.backbone.init_cfg is None
    assert load('deeplabv2_r101_voc').load_from is None
    # as the converter writes them: they fill the backbone and leave the head as it was
    backbone = MODELS.build(narrow(cfg).model).backbone.state_dict()
    torch.save(dict(state_dict={f'backbone.{name}': value for name, value in backbone.items()}), cfg.load_from)
    model = MODELS.build(cfg.model)
    head = model.decode_head.conv_seg.weight.clone()
    load_checkpoint(model, cfg.load_from, strict=False)
    torch.testing.assert_close(model.backbone.state_dict(), backbone)
    assert torch.equal(model.decode_head.conv_seg.weight, head)


@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_bn(load, frozen):
    cfg = narrow(load('deeplabv2_r101_voc'))
    if not frozen:
        cfg.merge_from_dict({'model.backbone.norm_eval': False, 'model.backbone.norm_cfg.requires_grad': True})
    _, model = training_step(cfg)
    bn = model.backbone.layer4[1].bn2
    assert (bn.num_batches_tracked == 0) == frozen and (bn.weight.grad is None) == frozen


@pytest.mark.parametrize('name', BASES)
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

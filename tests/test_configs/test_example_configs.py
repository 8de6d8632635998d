"""Every config of configs/examples builds, loads images and takes a training step, on narrow versions of the models."""

import copy
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope
from mmengine.runner import BaseLoop
from mmseg.models.backbones import timm_backbone
from torch import nn

from bana_mm.structures import ReliableMasks
from bana_mm.utils.config import read_config

REPO = Path(__file__).parents[2]
EXAMPLES = REPO / 'configs/examples'
NAMES = sorted(path.stem for path in EXAMPLES.glob('*.py'))
INSTANCES = [name for name in NAMES if 'coco' in name]
CLASSIFIERS = [name for name in NAMES if name.startswith('bap_')]
SEGMENTATION = [name for name in NAMES if name not in INSTANCES + CLASSIFIERS]
COSINE = [name for name in SEGMENTATION if not name.startswith('mask2former')]
SIZE = (64, 64)
# ResNets, one channel in sixteen of the first stage; Swin, eight channels.
RESNET, SWIN = dict(base_channels=4, stem_channels=8, init_cfg=None), [8, 16, 32, 64]
SWIN_ARGS = dict(embed_dims=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], drop_path_rate=0.0, init_cfg=None)
GN = dict(type='GN', num_groups=4)


@pytest.fixture
def load(labelled_voc, masked_coco, monkeypatch):
    """Load a config by name, on small data."""
    monkeypatch.setenv('VOC_ROOT', str(labelled_voc))
    monkeypatch.setenv('LABEL_DIR', str(labelled_voc / 'labels'))
    monkeypatch.setenv('COCO_ROOT', str(masked_coco))
    monkeypatch.setenv('LABEL_JSON', str(masked_coco / 'labels.json'))
    monkeypatch.setattr(timm_backbone, 'timm', SimpleNamespace(create_model=tiny_timm))

    def read(name, **settings):
        cfg = read_config(EXAMPLES / f'{name}.py', **settings)
        scopes.append(DefaultScope.overwrite_default_scope(cfg.default_scope))
        scopes[-1].__enter__()
        return narrow(cfg)

    scopes: list = []
    yield read
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)


def tiny_timm(model_name, features_only, pretrained, in_chans, checkpoint_path, output_stride, out_indices, **_):
    """What ``timm.create_model`` returns for these arguments, but for its layers."""
    assert model_name.startswith('convnext_tiny') and features_only and out_indices == (3,)
    model = nn.Conv2d(in_chans, 768, output_stride, output_stride)
    model.forward = lambda x: [nn.Conv2d.forward(model, x)]
    return model


def narrow(cfg):
    """The config with a model that is built in no time, and small images."""
    model, name = cfg.model, Path(cfg.filename).stem
    if 'r50' in name:
        model.backbone.update(RESNET)
    if 'swin' in name:
        model.backbone.update(SWIN_ARGS)
    if name.startswith('bap_'):
        model.bap_head.in_channels = dict(r50=128, swin=64, convnext=768)[name.split('_')[1].split('-')[0]]
        cfg.train_dataloader.dataset.pipeline.crop.crop_size = (65, 65)
        return cfg
    narrow_segmentation(cfg, name) if name in SEGMENTATION else narrow_instances(cfg, name)
    return cfg


def narrow_segmentation(cfg, name):
    model = cfg.model
    model.data_preprocessor.size = SIZE
    if 'two-sources' not in name:
        cfg.train_dataloader.dataset.pipeline.crop.crop_size = SIZE
    if name.startswith('mask2former'):
        narrow_queries(model.decode_head, model.decode_head.train_cfg)
        return
    for part in (model.decode_head, model.get('auxiliary_head')):
        if part is not None:
            part.head.update(channels=8, dropout_ratio=0.0)
    head = model.decode_head.head
    if name.startswith('deeplabv3plus'):
        head.update(in_channels=128, c1_in_channels=16, c1_channels=4)
        model.auxiliary_head.head.in_channels = 64
    elif name.startswith('segformer'):
        model.backbone.update(embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4, drop_path_rate=0.0, init_cfg=None)
        head.in_channels = [8] * 4
    else:
        head.in_channels = SWIN
        model.auxiliary_head.head.in_channels = 32


def narrow_queries(head, train_cfg):
    """Mask2Former with 32 channels, ten queries and one layer of each kind."""
    head.update(in_channels=[16, 32, 64, 128], feat_channels=32, out_channels=32, num_queries=10)
    head.pixel_decoder.encoder.num_layers = head.transformer_decoder.num_layers = 1
    for layer in (head.pixel_decoder.encoder.layer_cfg, head.transformer_decoder.layer_cfg):
        layer.ffn_cfg.update(embed_dims=32, feedforward_channels=32)
        for attention in ('self_attn_cfg', 'cross_attn_cfg'):
            if attention in layer:
                layer[attention].embed_dims = 32
    head.pixel_decoder.positional_encoding.num_feats = head.positional_encoding.num_feats = 16
    train_cfg.num_points = 1024


def narrow_instances(cfg, name):
    model, pipeline = cfg.model, cfg.train_dataloader.dataset.pipeline
    pipeline.resize.scale, pipeline.flip.prob = (128, 96), 0.0
    if 'crop' in pipeline:
        pipeline.crop.crop_size, pipeline.resize.ratio_range = (96, 128), (1.0, 1.0)
    if 'pad' in pipeline:
        pipeline.pad.size = (128, 128)
    if name.startswith('mask2former'):
        narrow_queries(model.panoptic_head, model.train_cfg)
    elif name.startswith('rtmdet'):
        model.backbone.update(widen_factor=0.125, init_cfg=None, norm_cfg=GN)
        model.neck.update(in_channels=[32, 64, 128], out_channels=16, norm_cfg=GN)
        model.bbox_head.update(in_channels=16, feat_channels=16)
    elif name.startswith('solov2'):
        model.neck.update(in_channels=[16, 32, 64, 128], out_channels=8)
        model.mask_head.update(in_channels=8, feat_channels=32, stacked_convs=1)
        model.mask_head.mask_feature_head.update(feat_channels=32, out_channels=8, norm_cfg=GN)
    else:
        model.neck.update(in_channels=SWIN, out_channels=8)
        model.rpn_head.update(in_channels=8, feat_channels=8)
        roi = model.roi_head
        for extractor in (roi.bbox_roi_extractor, roi.mask_roi_extractor):
            extractor.out_channels = 8
        roi.bbox_head.update(in_channels=8, fc_out_channels=8)
        roi.mask_head.update(in_channels=8, conv_out_channels=8)


def prepare(cfg):
    """The model and a batch of two images, ready for it."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in (0, len(dataset) - 1)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    return model, model.data_preprocessor(batch, training=True)


def step(cfg, model, batch):
    """The losses, after a step of the config's optimizer; gradients have reached backbone and heads."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    losses = model(**batch, mode='loss')
    total, _ = model.parse_losses(losses)
    wrapper.backward(total)
    assert total.isfinite()
    moved = Counter()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
            moved[name.split('.')[0]] += int(parameter.grad.abs().sum() > 0)
    assert moved['backbone'] > 3 or 'timm' in cfg.model.backbone.type.lower()
    assert all(moved[part] for part, module in model.named_children() if any(True for _ in module.parameters()))
    wrapper.step()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    return losses


def test_names_are_distinct_and_explained():
    everywhere = Counter(path.stem for path in (REPO / 'configs').rglob('*.py') if '_base_' not in path.parts)
    assert set(everywhere.values()) == {1}
    text = (REPO / 'docs/mixing.md').read_text()
    assert [name for name in NAMES if f'{name}.py' not in text] == []
    assert 'mmseg::' not in ''.join(path.read_text() for path in EXAMPLES.glob('*.py'))


@pytest.mark.parametrize('name', [name for name in COSINE if 'two-sources' not in name])
def test_doubtful_pixels_have_the_weight_of_the_noise_aware_loss(load, name):
    """By hand from the logits that the head gave: sigma = (D of the label / largest D) ** 7, Eq. 11 to 14."""
    cfg = load(name)
    model, batch = prepare(cfg)
    given, loss_by_feat = [], type(model.decode_head).loss_by_feat
    model.decode_head.loss_by_feat = lambda logits, samples: (
        given.append(logits.detach()) or loss_by_feat(model.decode_head, logits, samples)
    )
    losses = step(cfg, model, batch)
    logits = F.interpolate(given[0], SIZE, mode='bilinear', align_corners=False)
    label = torch.stack([sample.gt_sem_seg.data[0] for sample in batch['data_samples']])
    reliable = torch.stack([sample.gt_reliable_map.data[0] for sample in batch['data_samples']]).bool()
    seen, doubtful = (label != 255) & reliable, (label != 255) & ~reliable
    assert seen.any() and doubtful.any()
    own = logits.gather(1, label.where(label != 255, 0)[:, None])[:, 0]
    entropy = logits.logsumexp(dim=1) - own
    sigma = ((1 + own / 20) / (1 + logits.amax(dim=1) / 20)) ** 7
    torch.testing.assert_close(losses['decode.loss_ce'], entropy[seen].mean())
    expected = 0.1 * (sigma * entropy)[doubtful].sum() / sigma[doubtful].sum()
    torch.testing.assert_close(losses['decode.loss_wce'], expected, rtol=1e-4, atol=1e-6)


def test_masks_of_some_images(load):
    """The image of the list has its mask, of a person, and no doubtful pixel; the other its label, of a dog."""
    cfg = load('deeplabv3plus_r50_voc_some-masks')
    listed, other = (sample for sample in prepare(cfg)[1]['data_samples'])
    assert 15 in listed.gt_sem_seg.data and 12 not in listed.gt_sem_seg.data
    assert 12 in other.gt_sem_seg.data and 15 not in other.gt_sem_seg.data
    inside = listed.gt_sem_seg.data != 255
    assert listed.gt_reliable_map.data[inside].all() and not other.gt_reliable_map.data.all()


def test_two_sources(load, labelled_voc, tmp_path, monkeypatch):
    """A data set of mmseg's: one image with a mask, five times, and one with labels made of its boxes."""
    root = tmp_path / 'zoo'
    root.mkdir()
    for link, folder in (('JPEGImages', 'JPEGImages'), ('SegmentationClass', 'SegmentationClassAug')):
        (root / link).symlink_to(labelled_voc / folder)
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    for split, img_id in (('masked', 'a'), ('boxed', 'b')):
        (root / f'ImageSets/Segmentation/{split}.txt').write_text(f'{img_id}\n')
    cfg = load('deeplabv3plus_r50_two-sources')
    classes = ('background', *(f'class {n}' for n in range(1, 21)))  # the small data has VOC's classes 12 and 15
    repeated, boxed = cfg.train_dataloader.dataset.datasets
    for dataset in (repeated.dataset, boxed):
        dataset.update(data_root=str(root), metainfo=dict(classes=classes))
        next(one for one in dataset.pipeline if one['type'] == 'RandomCrop').update(crop_size=SIZE)
        next(one for one in dataset.pipeline if one['type'] == 'RandomResize').update(scale=(100, 80))
    labels = next(one for one in boxed.pipeline if one['type'] == 'bana_mm.BoxPseudoLabel')
    assert labels.label_dir == cfg.pseudo_labels.dir
    labels.update(label_dir=str(labelled_voc / 'labels'), num_classes=20)
    cfg.model.decode_head.head.num_classes = cfg.model.auxiliary_head.head.num_classes = 21
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 5 + 1
    check = HOOKS.build(dict(type='bana_mm.LabelCheckHook'))
    runner = SimpleNamespace(_train_loop=_Loop(), train_dataloader=SimpleNamespace(dataset=dataset), cfg=cfg)
    check.before_run(runner)
    model, batch = prepare(cfg)
    with_mask, with_label = batch['data_samples']
    assert 'gt_reliable_map' not in with_mask and 'gt_reliable_map' in with_label
    assert set(with_mask.gt_sem_seg.data.unique().tolist()) <= {0, 15, 255}
    losses = step(cfg, model, batch)
    assert {'decode.loss_ce', 'decode.loss_wce', 'aux.loss_ce', 'aux.loss_wce'} <= set(losses)
    labels.label_dir = str(tmp_path / 'none')
    runner.train_dataloader.dataset = DATASETS.build(cfg.train_dataloader.dataset)
    with pytest.raises(FileNotFoundError, match=r'bap_vgg16_voc.py .*--data configs/own_data/zoo_voc.py') as caught:
        check.before_run(runner)
    assert '--split boxed' in str(caught.value)


def test_mask2former_of_mmseg(load):
    """What the labels say where they are not reliable changes no mask loss; with mmseg's own head it does."""
    cfg = load('mask2former_r50_voc')
    results = []
    for head in ('bana_mm.ReliableMask2FormerDecodeHead', 'Mask2FormerHead'):
        for change in (False, True):
            cfg.model.decode_head.type = head
            model, batch = prepare(cfg)
            labels = torch.stack([sample.gt_sem_seg.data for sample in batch['data_samples']])
            doubtful = ~torch.stack([sample.gt_reliable_map.data for sample in batch['data_samples']]).bool()
            assert doubtful.any() and (labels == 12).any() and not (doubtful | (labels == 255)).all()
            if change:
                for sample, label, where in zip(batch['data_samples'], labels, doubtful & (labels != 255)):
                    sample.gt_sem_seg.data = torch.where(where, 12 - label, label)
            torch.manual_seed(1)
            results.append({key: value for key, value in step(cfg, model, batch).items() if 'loss' in key})
    assert {'decode.loss_cls', 'decode.loss_mask', 'decode.loss_dice'} <= set(results[0])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert results[2]['decode.loss_mask'] != results[3]['decode.loss_mask']


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier(load, name):
    cfg = load(name)
    model, batch = prepare(cfg)
    losses = step(cfg, model, batch)
    assert losses['loss_cls'] > 0
    stride = model.bap_head.stride
    height, width = model.eval().extract_feat(torch.rand(1, 3, 96, 128)).shape[2:]
    assert (height, width) == (96 // stride, 128 // stride)
    item = DATASETS.build(cfg.val_dataloader.dataset)[0]  # 80 x 100 pixels, which no stride divides
    batch = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
    with torch.no_grad():
        result = model(**batch, mode='predict')[0]
    assert result.pred_instances.scores.shape == (1, 21) and result.activation_maps is not None


def with_a_ring(batch, inside, unreliable):
    """The batch with boxes in the middle, whose border is part of the mask or not: the same centre either way."""
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        instances, size = sample.gt_instances, sample.batch_input_shape
        mask, ring = np.zeros((2, *size), np.uint8)
        mask[16:80, 24:104] = ring[16:80, 24:104] = 1
        ring[32:64, 40:88] = 0
        masks = np.stack([mask if inside else mask - ring] * len(instances))
        instances.masks = ReliableMasks(masks, *size, np.stack([ring * unreliable] * len(instances)))
        instances.bboxes = torch.tensor([[24.0, 16, 104, 80]] * len(instances))
    return batch


def with_stock_head(model, cfg):
    """The same model, weights included, with the head of mmdet from which ours derives."""
    cfg = copy.deepcopy(cfg)
    parts = [cfg.model, cfg.model.get('roi_head', {})]
    (head,) = (
        part
        for place in parts
        for part in place.values()
        if isinstance(part, dict) and 'bana_mm.Reliable' in str(part.get('type'))
    )
    ours = MODELS.get(head.type)
    head.type = next(base for base in ours.__mro__ if base.__module__.startswith('mmdet.')).__name__
    stock = MODELS.build(cfg.model).train()
    stock.load_state_dict(model.state_dict())
    return stock


@pytest.mark.parametrize('name', INSTANCES)
def test_unreliable_pixels_change_no_mask_loss(load, name):
    """Nor anything else; in mmdet's own head they do. Where all pixels are reliable both are the same bit for bit."""
    cfg = load(name)
    model, batch = prepare(cfg)
    assert all(sample.gt_instances.masks.unreliable.masks.any() for sample in batch['data_samples'])
    stock = with_stock_head(model, cfg)

    def losses(model, *ring):
        torch.manual_seed(1)
        found = model(**with_a_ring(batch, *ring), mode='loss')
        return {key: torch.as_tensor(sum(value) if isinstance(value, list) else value) for key, value in found.items()}

    masks = [key for key in losses(stock, True, 0) if 'loss_mask' in key or 'loss_dice' in key]
    for one, other in (((model, True, 1), (model, False, 1)), ((model, True, 0), (stock, True, 0))):
        torch.testing.assert_close(losses(*one), losses(*other), rtol=0, atol=0)
    former, latter = losses(stock, True, 1), losses(stock, False, 1)
    assert masks and all(former[key] != latter[key] for key in masks)
    step(cfg, model, with_a_ring(batch, True, 1))


@pytest.mark.parametrize('name', ['mask2former_r50_voc', 'mask2former_r50_coco2coco'])
def test_classes_of_ones_own(load, name):
    """The lists of class weights follow the number of classes, which the heads count in their own ways."""
    cfg = load(name, data=f'configs/own_data/zoo_{name[-4:].strip("_2")}.py')
    head = MODELS.build(cfg.model).get_submodule('decode_head' if 'voc' in name else 'panoptic_head')
    number = 3 if 'voc' in name else 2
    assert head.num_classes == number and head.class_weight == [1.0] * number + [0.1]


class _Loop(BaseLoop):
    """A training loop as far as hooks ask."""

    def __init__(self):
        pass

    def run(self):
        pass

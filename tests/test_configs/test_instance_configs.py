"""Every config of a model of instances builds, loads images with pseudo masks and takes a training step."""

from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import data_preprocessor
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope

from bana_mm.models.mask_heads import ReliableCondInstMaskHead, ReliableMaskHead
from bana_mm.structures import ReliableMasks
from bana_mm.utils.config import find_pseudo_labels, read_config

CONFIG_DIR = Path(__file__).parents[2] / 'configs' / 'bana'
CONFIGS = sorted(path.stem for kind in ('mask-rcnn', 'condinst', 'boxinst') for path in CONFIG_DIR.glob(f'{kind}*.py'))
STOCK = Path(mmdet.__file__).parent / '.mim' / 'configs' / 'mask_rcnn' / 'mask-rcnn_r50_fpn_1x_coco.py'
H, W = 60, 80


@pytest.fixture(scope='module')
def root(masked_coco):
    return masked_coco


@pytest.fixture
def load(root, monkeypatch):
    """Load a config by name and preset, on the small data."""
    monkeypatch.setenv('COCO_ROOT', str(root))
    monkeypatch.setenv('LABEL_JSON', str(root / 'labels.json'))
    if data_preprocessor.skimage is None:  # BoxInst's; OpenCV computes the same
        monkeypatch.setattr(data_preprocessor, 'skimage', _Lab)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield lambda name, preset=None: read_config(CONFIG_DIR / f'{name}.py', preset=preset)


class _Lab:
    class color:
        @staticmethod
        def rgb2lab(image):
            return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def narrow(cfg):
    """The config with a model that is built in no time, and small images."""
    backbone, head = cfg.model.backbone, cfg.model.get('bbox_head')
    wide = backbone.depth > 18
    backbone.update(depth=50 if wide else 18, init_cfg=None, base_channels=4, stem_channels=4)
    if 'GN' in str(backbone.norm_cfg):
        backbone.norm_cfg = cfg.model.neck.norm_cfg = dict(type='BN')
    cfg.model.neck.update(in_channels=[(16 if wide else 4) * 2**i for i in range(4)], out_channels=8)
    if head is None:
        cfg.model.rpn_head.update(in_channels=8, feat_channels=8)
        roi = cfg.model.roi_head
        for extractor in (roi.bbox_roi_extractor, roi.mask_roi_extractor):
            extractor.out_channels = 8
        roi.bbox_head.update(in_channels=8, fc_out_channels=8)
        roi.mask_head.update(in_channels=8, conv_out_channels=8)
    else:
        head.update(in_channels=8, feat_channels=32, stacked_convs=1)  # GN has 32 groups
        cfg.model.mask_head.mask_feature_head.update(in_channels=8, feat_channels=8)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        pipeline = loader.dataset.pipeline
        steps = [pipeline.resize] if isinstance(pipeline, dict) else pipeline
        for step in steps:
            if step['type'] == 'Resize':
                step['scale'] = (128, 96)
    return cfg


def training_step(cfg):
    """The losses of both images, after the backward pass, and the model."""
    model = MODELS.build(cfg.model).train()
    MessageHub.get_current_instance().update_info('iter', 1)  # BoxInst's warm-up asks for it
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return losses, model


def test_there_are_configs():
    assert set(CONFIGS) == {
        'mask-rcnn_r101_fpn_voc2coco',
        'mask-rcnn_r101_fpn_coco2coco',
        'mask-rcnn_r101_fpn_coco2coco_nal',
        'mask-rcnn_r101_fpn_coco_masks',
        'mask-rcnn_r50_fpn_coco2coco',
        'condinst_r50_fpn_coco2coco',
        'boxinst_r101_fpn_coco',
    }


@pytest.mark.parametrize(
    'name, preset',
    [*((name, None) for name in CONFIGS), *((name, 'cpu') for name in CONFIGS if name.endswith(('coco2coco', '_nal')))],
)
def test_training_step(load, name, preset):
    cfg = load(name, preset)
    if preset == 'cpu':
        assert cfg.train_cfg.max_iters == 400 and cfg.work_dir == f'work_dirs/{name}_cpu'
        assert 'mask-rcnn' not in name or cfg.model.backbone.depth == 18
    losses, model = training_step(narrow(cfg))
    assert losses.get('loss_mask', losses.get('loss_mask_project')) > 0
    assert ('loss_mask_unreliable' in losses) == name.endswith('_nal')
    if name.endswith('_nal'):
        assert losses['loss_mask_unreliable'] > 0
    heads = dict(mask=ReliableMaskHead, condinst=ReliableCondInstMaskHead)
    kind = heads.get(name.split('_')[0].split('-')[0])
    assert kind is None or any(isinstance(module, kind) for module in model.modules())
    assert model.data_preprocessor._channel_conversion  # the weights are of RGB


@pytest.mark.parametrize('name', CONFIGS)
def test_labels(load, root, name):
    """What each model learns from, and where it would come from."""
    cfg = load(name)
    labels, dataset = find_pseudo_labels(cfg), cfg.train_dataloader.dataset
    assert (labels is None) == name.endswith('_masks')
    if labels is None:
        assert dataset.ann_file == f'{root}/annotations/instances_train2017.json'
    else:
        classifier = 'bap_vgg16_voc' if 'voc2coco' in name else 'bap_vgg16_coco'
        assert labels.config == f'configs/bana/{classifier}.py' and (CONFIG_DIR / f'{classifier}.py').is_file()
        assert labels.json == str(root / 'labels.json') and 'ann_file' not in dataset
        assert labels.boxes == f'{root}/annotations/instances_train2017.json'
    dataset.pipeline.resize.scale, dataset.pipeline.flip.prob = (W, H), 0.0
    instances = DATASETS.build(dataset)[0]['data_samples'].gt_instances
    assert instances.bboxes.tensor.tolist() == [[15, 10, 60, 50]] and instances.labels.tolist() == [16]
    if 'boxinst' in name:
        assert 'masks' not in instances
        return
    assert isinstance(instances.masks, ReliableMasks)
    rough = not name.endswith('_masks')
    assert instances.masks.areas.tolist() == [1800 - 150 * rough]
    assert instances.masks.unreliable.areas.tolist() == [900 * rough]


@pytest.mark.parametrize('name', ['mask-rcnn_r101_fpn_voc2coco', 'mask-rcnn_r101_fpn_coco2coco'])
@pytest.mark.parametrize('preset', [None, 'cpu'])
def test_missing_labels(load, name, preset, monkeypatch):
    monkeypatch.delenv('LABEL_JSON')
    monkeypatch.chdir(CONFIG_DIR.parents[1])
    with pytest.raises(FileNotFoundError, match='there are no pseudo masks') as caught:
        DATASETS.build(load(name, preset).train_dataloader.dataset)
    classifier = f'bap_vgg16_{name.split("_")[-1][:3].replace("coc", "coco")}'
    end, run = (' --preset cpu', f'{classifier}_cpu') if preset else ('', classifier)
    iterations = 420 if preset else 90000 if 'coco' in classifier else 8000
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert f'python tools/train.py configs/bana/{classifier}.py{end}' in lines
    assert any(f' work_dirs/{run}/iter_{iterations}.pth ' in line and line.endswith(end) for line in lines)
    assert any(f'--out work_dirs/{run}/labels_train2017.json' in line for line in lines)


def test_comments_name_the_files(load):
    """The commands in the headers are those of the configs."""
    for name in ('mask-rcnn_r101_fpn_voc2coco', 'mask-rcnn_r101_fpn_coco2coco'):
        cfg = load(name)
        header = (CONFIG_DIR / f'{name}.py').read_text()
        labels = find_pseudo_labels(cfg)
        classifier = Config.fromfile(CONFIG_DIR.parents[1] / labels.config)
        assert f'/iter_{classifier.train_cfg.max_iters}.pth' in header and labels.config in header


@pytest.mark.parametrize('preset', [None, 'cpu'])
def test_evaluation(load, preset):
    """True masks as predictions have an AP of 1, under the config's data and metric."""
    cfg = narrow(load('mask-rcnn_r101_fpn_coco2coco', preset))
    dataset, metric = DATASETS.build(cfg.val_dataloader.dataset), METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    assert metric.metrics == ['bbox', 'segm'] and cfg.test_evaluator == cfg.val_evaluator
    ground_truth = torch.zeros(1, H, W, dtype=torch.bool)
    ground_truth[0, 10:50, 15:60] = True
    for index in range(2):
        sample = dataset[index]['data_samples'].to_dict()
        sample['pred_instances'] = dict(
            bboxes=torch.tensor([[15.0, 10, 60, 50]]),
            scores=torch.ones(1),
            labels=torch.tensor([16]),
            masks=ground_truth,
        )
        metric.process({}, [sample])
    scores = metric.evaluate(2)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_stock_mask_rcnn(load, root, tmp_path, monkeypatch):
    """As docs/instance_segmentation.md says: of mmdet's own config only ann_file changes."""
    if not STOCK.is_file():
        pytest.skip('this distribution of mmdet comes without its configs')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'coco').symlink_to(root)
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(STOCK)
    cfg.train_dataloader.dataset.ann_file = str(root / 'labels.json')
    losses, model = training_step(narrow(cfg))
    assert losses['loss_mask'] > 0 and not any(isinstance(module, ReliableMaskHead) for module in model.modules())
    masks = DATASETS.build(cfg.train_dataloader.dataset)[0]['data_samples'].gt_instances.masks
    assert not isinstance(masks, ReliableMasks) and len(masks) == 1
    assert masks.areas / (masks.height * masks.width) == pytest.approx((1800 - 150) / (H * W), rel=0.02)

"""What docs/own_data.md says about a data set with classes of its own is true: its configs are read from there."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.mask_boxes import masks_to_xml
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import ClassifierSource, LabelItems, StoreSink, make_labels
from bana_mm.labels.data import build_label_dataset
from bana_mm.structures import LabelStore, decode_mask, read_label_png, write_label_png

REPO = Path(__file__).parents[2]
CLASSES = ('lion', 'zebra')


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """The document's configs, in the working directory."""
    text = (REPO / 'docs/own_data.md').read_text()
    folder = tmp_path / 'configs/zoo'
    folder.mkdir(parents=True)
    for name in ('bap_zoo', 'deeplabv1_zoo', 'bap_zoo_coco', 'deeplabv1_zoo_coco'):
        (code,) = re.findall(rf'`configs/zoo/{name}.py`.*?```python\n(.*?)```', text, re.DOTALL)
        (folder / f'{name}.py').write_text(code)
    (tmp_path / 'configs/bana').symlink_to(REPO / 'configs/bana')
    (tmp_path / 'configs/_base_').symlink_to(REPO / 'configs/_base_')
    (without_masks,) = re.findall(r'```python\n(val_dataloader = val_cfg.*?)```', text, re.DOTALL)
    (folder / 'no_masks.py').write_text(f"_base_ = 'deeplabv1_zoo.py'\n{without_masks}")
    monkeypatch.chdir(tmp_path)
    for variable in ('VOC_ROOT', 'COCO_ROOT', 'LABEL_DIR'):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def zoo(tmp_path, configs):
    """The document's data set in VOC's layout, whose boxes come from masks, and labels."""
    root = make_tiny_voc(tmp_path / 'data/zoo')
    (root / 'SegmentationClassAug').rename(root / 'SegmentationClass')
    for path in (root / 'Annotations').iterdir():
        path.unlink()
    assert masks_to_xml(root, CLASSES, instance_dir=None) == (8, 0)
    store = LabelStore('work_dirs/bap_zoo/labels')
    store.begin({})
    for path in (root / 'SegmentationClass').iterdir():
        label = read_label_png(path)
        store.write(path.stem, Y_crf=label, Y_ret=np.roll(label, 2, axis=1))
    return tmp_path


@pytest.fixture
def coco_zoo(tmp_path, configs):
    """The document's data set in COCO's format, without masks but those for evaluation."""
    root = make_tiny_coco(tmp_path / 'data/zoo')
    (root / 'images').mkdir()
    (root / 'masks').mkdir()
    for split in ('train', 'val'):
        path = root / f'annotations/instances_{split}2017.json'
        content = json.loads(path.read_text())
        for category, name in zip(content['categories'], CLASSES):
            category['name'] = name
        label_of = {category['id']: label for label, category in enumerate(content['categories'], 1)}
        masks = {image['id']: np.zeros((image['height'], image['width']), np.uint8) for image in content['images']}
        for annotation in content['annotations']:
            run_lengths = annotation.pop('segmentation')
            mask = decode_mask(run_lengths, tuple(run_lengths['size']))
            masks[annotation['image_id']][mask] = label_of[annotation['category_id']]
        content['categories'].reverse()  # the labels are in the order of the classes, not of the file
        path.with_name(f'{split}.json').write_text(json.dumps(content))
        for image in content['images']:
            (root / f'{split}2017' / image['file_name']).rename(root / 'images' / image['file_name'])
            if split == 'val':
                write_label_png(root / 'masks' / f'{Path(image["file_name"]).stem}.png', masks[image['id']])
    return root


def narrow(cfg):
    """The config with a network and crops that take no time."""
    crop = next(step for step in cfg.train_dataloader.dataset.pipeline if 'RandomCrop' in step.type)
    crop.crop_size = (33, 33)
    cfg.model.backbone.update(width_mult=0.125, out_channels=16, pretrained=None)
    return cfg


def train_loss(cfg, model):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    return loss


def test_boxes_of_own_classes(zoo):
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/train.txt',
        'data/zoo',
        metainfo=dict(classes=CLASSES),
        data_prefix=dict(seg_map_path='SegmentationClass'),
    )
    assert dataset.metainfo['classes'] == CLASSES and len(dataset) == 3
    for item in dataset:
        mask = read_label_png(item['seg_map_path'])
        covered = {1: np.zeros(mask.shape, bool), 2: np.zeros(mask.shape, bool)}
        for instance in item['instances']:
            x1, y1, x2, y2 = map(int, instance['bbox'])
            covered[instance['bbox_label'] + 1][y1:y2, x1:x2] = True
        assert all((covered[label][mask == label]).all() for label in covered)
        assert {label for label in covered if covered[label].any()} == set(np.unique(mask)) - {0}


def test_classifier(zoo):
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = narrow(Config.fromfile('configs/zoo/bap_zoo.py'))
        cfg.model.bap_head.in_channels = 16
        model = MODELS.build(cfg.model).train()
        assert model.bap_head.weight.shape == (3, 16)  # background, lion, zebra
        assert train_loss(cfg, model).isfinite() and model.bap_head.weight.grad.abs().sum() > 0
        for split, length in (('train', 3), ('val', 2)):
            dataset = build_label_dataset(cfg, split)
            assert dataset.metainfo['classes'] == CLASSES and len(dataset) == length
            assert 'gt_sem_seg' in dataset[0]['data_samples']
        (zoo / 'data/zoo/SegmentationClass').rename(zoo / 'data/zoo/elsewhere')
        assert 'gt_sem_seg' not in DATASETS.build(cfg.val_dataloader.dataset)[0]['data_samples']


def check_segmentation(name):
    """Train a step, and evaluate."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        cfg = narrow(Config.fromfile(f'configs/zoo/{name}.py'))
        cfg.model.data_preprocessor['size'] = (33, 33)
        cfg.model.decode_head.head.update(in_channels=16, channels=16)
        assert Path(cfg.pseudo_labels.config).is_file()
        assert cfg.pseudo_labels.dir == cfg.train_dataloader.dataset.pipeline[1].label_dir
        model = MODELS.build(cfg.model).train()
        assert train_loss(cfg, model).isfinite()
        for loader, evaluator in ((cfg.val_dataloader, cfg.val_evaluator), (cfg.test_dataloader, cfg.test_evaluator)):
            dataset = DATASETS.build(loader.dataset)
            assert dataset.metainfo['classes'] == ('background', *CLASSES) and len(dataset) == 2
            item = dataset[0]
            batch = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
            (prediction,) = model.eval()(**batch, mode='predict')
            assert len(prediction.seg_logits.data) == 3
            metric = METRICS.build(evaluator)
            metric.dataset_meta = dataset.metainfo
            metric.process({}, [prediction.to_dict()])
            assert 0 <= metric.evaluate(1)['mIoU'] <= 100
    return cfg


def test_segmentation(zoo):
    check_segmentation('deeplabv1_zoo')
    without = Config.fromfile('configs/zoo/no_masks.py')
    assert all(
        without[f'{mode}_{part}'] is None for mode in ('val', 'test') for part in ('dataloader', 'cfg', 'evaluator')
    )


def test_all_stages_in_coco_format(coco_zoo):
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = narrow(Config.fromfile('configs/zoo/bap_zoo_coco.py'))
        cfg.model.bap_head.in_channels = 16
        model = MODELS.build(cfg.model).train()
        assert train_loss(cfg, model).isfinite() and model.bap_head.weight.grad.abs().sum() > 0
    dataset = build_label_dataset(cfg, 'train')
    assert len(dataset) == 6 and len(build_label_dataset(cfg, 'val')) == 2
    names = [path.stem for path in sorted((coco_zoo / 'images').iterdir())][:6]
    assert [item['data_samples'].img_id for item in dataset] == names
    store = LabelStore('work_dirs/bap_zoo_coco/labels')
    torch.save(dict(state_dict=model.state_dict()), 'bap.pth')
    items = LabelItems(dataset)
    assert items.classes == CLASSES and items.img_ids == names
    make_labels(ClassifierSource(cfg, 'bap.pth', device='cpu'), items, StoreSink(store, items.img_ids))
    for index, name in enumerate(names):
        instances = dataset.get_data_info(index)['instances']
        label = store.read('Y_crf', name)
        assert set(np.unique(label)) <= {0, *(instance['bbox_label'] + 1 for instance in instances)}
    assert check_segmentation('deeplabv1_zoo_coco').pseudo_labels.split == 'train'

"""What docs/own_data.md says about a data set with classes of its own is true: its configs are read from there."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.mask_boxes import masks_to_xml
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import LabelStore, read_label_png
from bana_mm.labels.building import build_label_dataset

REPO = Path(__file__).parents[2]
CLASSES = ('lion', 'zebra')


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The document's data set, whose boxes come from masks, its configs, and labels."""
    root = make_tiny_voc(tmp_path / 'data/zoo')
    (root / 'SegmentationClassAug').rename(root / 'SegmentationClass')
    for path in (root / 'Annotations').iterdir():
        path.unlink()
    assert masks_to_xml(root, CLASSES, instance_dir=None) == (8, 0)
    text = (REPO / 'docs/own_data.md').read_text()
    folder = tmp_path / 'configs/zoo'
    folder.mkdir(parents=True)
    for name in ('bap_zoo', 'deeplabv1_zoo'):
        code, = re.findall(rf'`configs/zoo/{name}.py`.*?```python\n(.*?)```', text, re.DOTALL)
        (folder / f'{name}.py').write_text(code)
    (tmp_path / 'configs/bana').symlink_to(REPO / 'configs/bana')
    (tmp_path / 'configs/_base_').symlink_to(REPO / 'configs/_base_')
    without_masks, = re.findall(r'```python\n(val_dataloader = .*?)```', text, re.DOTALL)
    (folder / 'no_masks.py').write_text(f"_base_ = 'deeplabv1_zoo.py'\n{without_masks}")
    monkeypatch.chdir(tmp_path)
    for variable in ('VOC_ROOT', 'LABEL_DIR'):
        monkeypatch.delenv(variable, raising=False)
    store = LabelStore('work_dirs/bap_zoo/labels')
    store.begin({})
    for path in (root / 'SegmentationClass').iterdir():
        label = read_label_png(path)
        store.write(path.stem, Y_crf=label, Y_ret=np.roll(label, 2, axis=1))
    return tmp_path


def narrow(cfg):
    """The config with a network and crops that take no time."""
    crop = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop')
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
    dataset = VOCBoxDataset('ImageSets/Segmentation/train.txt', 'data/zoo', metainfo=dict(classes=CLASSES),
                            data_prefix=dict(seg_map_path='SegmentationClass'))
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


def test_segmentation(zoo):
    with DefaultScope.overwrite_default_scope('mmseg'):
        cfg = narrow(Config.fromfile('configs/zoo/deeplabv1_zoo.py'))
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
            prediction, = model.eval()(**batch, mode='predict')
            assert len(prediction.seg_logits.data) == 3
            metric = METRICS.build(evaluator)
            metric.dataset_meta = dataset.metainfo
            metric.process({}, [prediction.to_dict()])
            assert 0 <= metric.evaluate(1)['mIoU'] <= 100
        without = Config.fromfile('configs/zoo/no_masks.py')
        assert all(without[f'{mode}_{part}'] is None for mode in ('val', 'test')
                   for part in ('dataloader', 'cfg', 'evaluator'))

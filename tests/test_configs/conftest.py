"""Small data in the layouts of VOC and COCO, with pseudo labels whose reliable region is known."""

import json

import cv2
import mmdet
import numpy as np
import pycocotools.mask
import pytest

from bana_mm.structures import LabelStore, write_label_png

BOX = '<bndbox><xmin>21</xmin><ymin>11</ymin><xmax>70</xmax><ymax>60</ymax></bndbox>'
COCO_SIZE = (60, 80)


@pytest.fixture(scope='module')
def labelled_voc(tmp_path_factory):
    """A VOC of two images, each a dog, and its labels in ``labels``; train.txt lists the first."""
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
        write_label_png(root / 'SegmentationClassAug' / f'{name}.png', np.where(label, 15, 0).astype(np.uint8))
        store.write(name, Y_crf=label, Y_ret=np.roll(label, 3, axis=1))
    for split, ids in (('train_aug', 'a\nb\n'), ('train', 'a\n'), ('val', 'a\nb\n')):
        (root / 'ImageSets' / 'Segmentation' / f'{split}.txt').write_text(ids)
    return root


def run_lengths(mask):
    counts = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(mask.shape), counts=counts['counts'].decode())


@pytest.fixture(scope='module')
def masked_coco(tmp_path_factory):
    """COCO's layout with two images, and a JSON of pseudo masks, with another mask and unreliable pixels."""
    root = tmp_path_factory.mktemp('coco')
    (root / 'annotations').mkdir()
    images, true, pseudo = [], [], []
    for number in (5, 9):
        name = f'{number:012d}.jpg'
        images.append(dict(id=number, file_name=name, height=COCO_SIZE[0], width=COCO_SIZE[1]))
        mask = np.zeros(COCO_SIZE, np.uint8)
        mask[10:50, 15:60] = 1
        annotation = dict(id=number, image_id=number, category_id=18, bbox=[15, 10, 45, 40], area=1800, iscrowd=0)
        true.append(dict(annotation, segmentation=[[15, 10, 60, 10, 60, 50, 15, 50]]))
        rough, edge = mask.copy(), np.zeros_like(mask)
        rough[10:20, 15:30], edge[10:30, 15:60] = 0, 1
        pseudo.append(dict(annotation, segmentation=run_lengths(rough), unreliable=run_lengths(edge), score=0.7))
        for split in ('train2017', 'val2017'):
            (root / split).mkdir(exist_ok=True)
            cv2.imwrite(str(root / split / name), np.dstack([mask] * 3) * 150 + 20)
    # COCO's ids, which have gaps
    ids = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [dict(id=i, name=name) for i, name in zip(ids, mmdet.datasets.CocoDataset.METAINFO['classes'])]
    content = dict(images=images, categories=categories)
    for split in ('train', 'val'):
        (root / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(dict(content, annotations=true)))
    (root / 'labels.json').write_text(json.dumps(dict(content, annotations=pseudo)))
    return root

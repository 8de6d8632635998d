import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import LabelItem, LabelItems, read_rgb


def test_images_are_read_as_rgb(tmp_path):
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[..., 0] = 200  # blue in OpenCV's order
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    assert read_rgb(str(tmp_path / 'a.png'))[0, 0].tolist() == [0, 0, 200]


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / 'a.jpg').write_text('text')
    with pytest.raises(ValueError, match='a.jpg: image cannot be read'):
        read_rgb(str(tmp_path / 'a.jpg'))
    with pytest.raises(FileNotFoundError, match='b.jpg'):
        read_rgb(str(tmp_path / 'b.jpg'))


def info_of(path, **fields):
    instances = [
        dict(bbox=[1.0, 1, 3, 4], bbox_label=6, ignore_flag=0),
        dict(bbox=[0.0, 0, 9, 9], bbox_label=2, ignore_flag=1),
    ]
    return dict(img_path=str(path), instances=instances, **fields)


def test_from_an_item_of_a_data_set(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((5, 6, 3), 7, np.uint8))
    for fields in (dict(height=5, width=6, img_id=12, coco_id=12), dict(), dict(height=0, width=0, img_id='a')):
        item = LabelItem.from_info(info_of(tmp_path / 'a.png', **fields))
        assert item.layout.size == (5, 6) and item.layout.box_classes == (7,)
        assert item.layout.boxes.tolist() == [[1, 1, 3, 4]] and item.layout.ignored.tolist() == [[0, 0, 6, 5]]
        assert item.img_id == (str(fields['img_id']) if 'img_id' in fields else None)
        assert item.number == fields.get('coco_id') and item.pixels is None
        assert item.image.shape == (5, 6, 3) and item.image is item.image  # read once


def test_an_image_in_memory_is_the_one_that_counts():
    image = np.zeros((3, 4, 3), np.uint8)
    with pytest.raises(ValueError, match='nowhere.png: .*height and width 3 x 4, but its annotation file says 5 x 6'):
        LabelItem.from_info(info_of('nowhere.png', height=5, width=6), image)
    item = LabelItem.from_info(info_of('nowhere.png'), image)
    assert item.image is image and item.layout.size == (3, 4) and item.layout.boxes.tolist() == [[1, 1, 3, 3]]
    item = LabelItem.from_array(image, [[0, 0, 9, 1]], [3], 'x', [[0, 0, 1, 1]])
    assert item.image is image and item.img_id == 'x' and item.layout.boxes.tolist() == [[0, 0, 4, 1]]
    assert item.layout.ignored.tolist() == [[0, 0, 1, 1]]
    for wrong in (image[..., 0], image[..., :2], image.astype(np.float32)):
        with pytest.raises(ValueError, match=r'image must be \(H, W, 3\) uint8'):
            LabelItem.from_array(wrong, [], [])
        with pytest.raises(ValueError, match=r'image must be \(H, W, 3\) uint8'):
            LabelItem.from_info(info_of('nowhere.png'), wrong)


def test_images_of_another_size_than_annotated_are_refused(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (6, 5)).save(path)
    with pytest.raises(ValueError, match='a.jpg: .*height and width 5 x 6, but its annotation file says 6 x 7'):
        _ = LabelItem.from_info(info_of(path, height=6, width=7)).image
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new('RGB', (6, 5)).save(path, exif=exif)
    with pytest.raises(ValueError, match=r'turned by its EXIF orientation \(6\)'):
        _ = LabelItem.from_info(info_of(path, height=5, width=6)).image


def test_travels_without_pixels_until_they_are_read(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((50, 60, 3), 7, np.uint8))
    item = LabelItem.from_info(info_of(tmp_path / 'a.png', height=50, width=60))
    packed = pickle.dumps(item)
    assert len(packed) < 2000
    other = pickle.loads(packed)
    assert np.array_equal(other.image, item.image) and torch.equal(other.layout.boxes, item.layout.boxes)


def test_items_of_a_voc_data_set(tmp_path):
    root = make_tiny_voc(tmp_path / 'voc')
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt',
        data_root=str(root),
        background_class=True,
        metainfo=dict(classes=('ring', 'triangle')),
    )
    items = LabelItems(dataset)
    assert len(items) == 2 and items.img_ids == ['val_00000', 'val_00001']
    assert items.classes == ('ring', 'triangle')  # without the background that mmseg's metrics want
    assert items.category_ids is None and items.ann_file is None
    assert items.size(1) == items[1].layout.size == items[1].image.shape[:2]
    assert items.path(1).endswith('val_00001.jpg')
    assert [item.img_id for item in items] == items.img_ids

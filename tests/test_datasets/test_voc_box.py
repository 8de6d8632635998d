"""The VOC data set: coordinates, degenerate images, and one clear error for each kind of bad input."""

import numpy as np
import pytest
from PIL import Image

from bana_mm.datasets import VOC_CLASSES, VOCBoxDataset


def write_image(root, img_id='one', size=(20, 10), objects='', size_tag=True):
    """A VOC folder with one image of ``size`` (width, height)."""
    for name in ('JPEGImages', 'Annotations', 'SegmentationClassAug', 'ImageSets/Segmentation'):
        (root / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(root / f'JPEGImages/{img_id}.jpg')
    tag = f'<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>' if size_tag else ''
    (root / f'Annotations/{img_id}.xml').write_text(f'<annotation>{tag}{objects}</annotation>')
    with open(root / 'ImageSets/Segmentation/split.txt', 'a') as file:
        file.write(f'{img_id}\n')


def make_object(name='cat', box=(1, 1, 5, 5), extra=''):
    edges = ''.join(f'<{key}>{value}</{key}>' for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box))
    return f'<object><name>{name}</name><bndbox>{edges}</bndbox>{extra}</object>'


def build(root, **kwargs):
    return VOCBoxDataset(ann_file='ImageSets/Segmentation/split.txt', data_root=str(root), **kwargs)


def test_boxes_become_zero_based_and_half_open(tmp_path):
    part = '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>'
    write_image(tmp_path, objects=make_object('cat', (1, 1, 20, 10)) + make_object('person', (3, 4, 3, 4), part))
    item = build(tmp_path)[0]
    assert [i['bbox'] for i in item['instances']] == [[0, 0, 20, 10], [2, 3, 3, 4]]  # whole image, one pixel
    assert [i['bbox_label'] for i in item['instances']] == [VOC_CLASSES.index('cat'), VOC_CLASSES.index('person')]
    assert (item['width'], item['height'], item['img_id']) == (20, 10, 'one')


def test_difficult_objects(tmp_path):
    write_image(tmp_path, objects=make_object() + make_object('dog', extra='<difficult>1</difficult>'))
    assert [i['ignore_flag'] for i in build(tmp_path)[0]['instances']] == [0, 1]
    assert [i['ignore_flag'] for i in build(tmp_path, difficult='keep')[0]['instances']] == [0, 0]
    with pytest.raises(ValueError, match="'ignore' or 'keep'"):
        build(tmp_path, difficult='drop')


def test_images_without_boxes_or_size_are_kept(tmp_path):
    write_image(tmp_path, size_tag=False)
    item = build(tmp_path)[0]
    assert item['instances'] == [] and (item['width'], item['height']) == (20, 10)


def test_images_without_xml(tmp_path):
    write_image(tmp_path)
    (tmp_path / 'Annotations/one.xml').unlink()
    item = build(tmp_path, require_boxes=False)[0]
    assert item['instances'] == [] and (item['width'], item['height']) == (20, 10)
    with pytest.raises(FileNotFoundError, match='one.xml does not exist'):
        build(tmp_path)
    write_image(tmp_path, 'two', objects=make_object())
    assert len(build(tmp_path, require_boxes=False)[1]['instances']) == 1


def test_boxes_over_the_edge_are_clipped(tmp_path):
    write_image(tmp_path, objects=make_object(box=(-3, 0, 25, 11)))
    assert build(tmp_path)[0]['instances'][0]['bbox'] == [0, 0, 20, 10]


def test_masks_are_named_where_they_exist(tmp_path):
    write_image(tmp_path)
    assert 'seg_map_path' not in build(tmp_path)[0]
    with pytest.raises(FileNotFoundError, match='SegmentationClassAug/one.png does not exist'):
        build(tmp_path, require_masks=True)
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / 'SegmentationClassAug/one.png')
    assert build(tmp_path)[0]['seg_map_path'] == str(tmp_path / 'SegmentationClassAug/one.png')
    assert 'seg_map_path' not in build(tmp_path, data_prefix=dict(seg_map_path='SegmentationClass'))[0]


def test_metainfo_with_own_classes_and_with_background(tmp_path):
    write_image(tmp_path, objects=make_object('zebra'))
    own = build(tmp_path, metainfo=dict(classes=('lion', 'zebra')))
    assert own.metainfo['classes'] == ('lion', 'zebra') and len(own.metainfo['palette']) == 2
    assert own[0]['instances'][0]['bbox_label'] == 1 and list(own.get_cat_ids(0)) == [1]
    with_background = build(tmp_path, metainfo=dict(classes=('lion', 'zebra')), background_class=True)
    assert with_background.metainfo['classes'] == ('background', 'lion', 'zebra')
    assert with_background.metainfo['palette'] == [[0, 0, 0], *own.metainfo['palette']]
    assert with_background[0]['instances'][0]['bbox_label'] == 1  # still the object's label
    with pytest.raises(ValueError, match='1 colours in palette'):
        build(tmp_path, metainfo=dict(classes=('lion', 'zebra'), palette=[[1, 2, 3]]))


@pytest.mark.parametrize(
    'objects, message',
    [
        (make_object('unicorn'), r"one.xml: object 0 has the unknown class 'unicorn'"),
        (make_object() + make_object(box=(5, 5, 4, 8)), r'one.xml: object 1: bndbox xmin=5 .* empty'),
        (make_object(box=(30, 1, 40, 5)), r'one.xml: object 0: bndbox xmin=30 .* outside the 20 x 10 image'),
        (make_object(box=('nan', 1, 4, 5)), r'one.xml: object 0: bndbox xmin=nan .* not finite'),
        (make_object(box=('left', 1, 4, 5)), r'one.xml: object 0: bndbox must hold the numbers'),
        ('<object><name>cat</name></object>', r'one.xml: object 0: bndbox must hold the numbers'),
        ('<object>', r'one.xml is not valid XML'),
    ],
)
def test_bad_annotations_name_file_and_field(tmp_path, objects, message):
    write_image(tmp_path, objects=objects)
    with pytest.raises(ValueError, match=message):
        build(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='data_root .*nowhere'):
        build(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='split.txt: list of images is missing'):
        build(tmp_path)
    write_image(tmp_path)
    (tmp_path / 'Annotations/one.xml').unlink()
    with pytest.raises(FileNotFoundError, match='one.xml does not exist .*box_path'):
        build(tmp_path)
    (tmp_path / 'JPEGImages/one.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='one.jpg does not exist .*img_path'):
        build(tmp_path)
    (tmp_path / 'ImageSets/Segmentation/split.txt').write_text('\n')
    with pytest.raises(ValueError, match='lists no image'):
        build(tmp_path)

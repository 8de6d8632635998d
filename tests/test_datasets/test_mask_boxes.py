"""Boxes from masks: values by hand, round trip through the data set, and bad masks."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.mask_boxes import component_boxes, instance_boxes, masks_to_xml
from bana_mm.structures import write_label_png

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/voc_from_masks.py'
CLASSES = np.array(
    [
        [255, 255, 255, 0, 0, 2],
        [255, 1, 1, 0, 0, 2],
        [255, 1, 255, 255, 2, 0],
        [0, 0, 255, 1, 0, 0],
        [2, 0, 255, 1, 0, 0],
    ],
    np.uint8,
)
INSTANCES = np.array(
    [
        [255, 255, 255, 0, 0, 7],
        [255, 1, 1, 0, 0, 7],
        [255, 1, 255, 255, 7, 0],
        [0, 0, 255, 3, 0, 0],
        [2, 0, 255, 3, 0, 0],
    ],
    np.uint8,
)


def test_boxes_of_instances_by_hand():
    expected = [(1, (1, 1, 3, 3)), (2, (0, 4, 1, 5)), (1, (3, 3, 4, 5)), (2, (4, 0, 6, 3))]
    assert instance_boxes(CLASSES, INSTANCES) == expected
    assert instance_boxes(CLASSES, INSTANCES, min_area=2) == [expected[0], *expected[2:]]
    assert instance_boxes(CLASSES, INSTANCES, min_area=3) == [expected[0], expected[3]]


def test_boxes_of_components_by_hand():
    # the region of class 2 on the right hangs together at a corner only; those of class 1 are apart
    expected = [(1, (1, 1, 3, 3)), (1, (3, 3, 4, 5)), (2, (4, 0, 6, 3)), (2, (0, 4, 1, 5))]
    assert component_boxes(CLASSES) == expected
    assert component_boxes(CLASSES, min_area=3) == [expected[0], expected[2]]


def test_parts_of_an_instance_share_a_box_and_components_do_not():
    mask = np.zeros((4, 9), np.uint8)
    mask[1:3, 1:3] = mask[2:4, 6:9] = 1
    assert instance_boxes(mask, mask) == [(1, (1, 1, 9, 4))]
    assert component_boxes(mask) == [(1, (1, 1, 3, 3)), (1, (6, 2, 9, 4))]


@pytest.mark.parametrize('boxes', [component_boxes, lambda mask: instance_boxes(mask, mask)])
def test_no_object(boxes):
    assert boxes(np.zeros((3, 3), np.uint8)) == boxes(np.full((3, 3), 255, np.uint8)) == []


def test_an_instance_has_the_class_of_most_of_its_pixels():
    classes = np.array([[1, 2, 2, 255, 255, 255]], np.uint8)
    instances = np.array([[4, 4, 4, 4, 4, 4]], np.uint8)
    with pytest.raises(ValueError, match='no instance of class 1, which has 1 pixels'):
        instance_boxes(classes, instances)
    assert instance_boxes(classes, instances, min_area=2) == [(2, (0, 0, 6, 1))]


def test_an_instance_without_class():
    for value in (0, 255):
        with pytest.raises(ValueError, match='instance 9 lies on no class'):
            instance_boxes(np.full((2, 2), value, np.uint8), np.full((2, 2), 9, np.uint8))


@pytest.fixture
def root(tmp_path):
    """Two images, the second without objects."""
    for folder in ('JPEGImages', 'SegmentationClass', 'SegmentationObject', 'ImageSets/Segmentation'):
        (tmp_path / folder).mkdir(parents=True)
    for name, classes, instances in (('a', CLASSES, INSTANCES), ('b', CLASSES[3:, 4:], INSTANCES[3:, 4:])):
        Image.fromarray(np.zeros((*classes.shape, 3), np.uint8)).save(tmp_path / f'JPEGImages/{name}.jpg')
        write_label_png(tmp_path / f'SegmentationClass/{name}.png', classes)
        write_label_png(tmp_path / f'SegmentationObject/{name}.png', instances)
    (tmp_path / 'ImageSets/Segmentation/split.txt').write_text('a\nb\n')
    return tmp_path


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['voc_from_masks.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_the_dataset_reads_tight_boxes(root, monkeypatch, capsys):
    run_tool(monkeypatch, root, '--classes', 'lion', 'zebra')
    assert '2 files written' in capsys.readouterr().out
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/split.txt',
        str(root),
        metainfo=dict(classes=('lion', 'zebra')),
        data_prefix=dict(seg_map_path='SegmentationClass'),
        require_masks=True,
    )
    first, second = dataset[0], dataset[1]
    assert (first['width'], first['height'], second['instances']) == (6, 5, [])
    assert [instance['bbox_label'] + 1 for instance in first['instances']] == [1, 2, 1, 2]
    for number, instance in zip((1, 2, 3, 7), first['instances']):
        x1, y1, x2, y2 = map(int, instance['bbox'])
        mask = INSTANCES == number
        assert mask[y1:y2, x1:x2].sum() == mask.sum()  # nothing outside
        inside = mask[y1:y2, x1:x2]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_written_xml_is_kept_until_overwrite(root, monkeypatch, capsys):
    (root / 'Annotations').mkdir()
    (root / 'Annotations/a.xml').write_text('mine')
    run_tool(monkeypatch, root, '--classes', 'lion', 'zebra', '--components', '--split', 'split')
    assert '1 files written' in (output := capsys.readouterr().out) and '1 were there and kept' in output
    assert (root / 'Annotations/a.xml').read_text() == 'mine'
    run_tool(monkeypatch, root, '--classes', 'lion', 'zebra', '--components', '--overwrite', '--min-area', '3')
    assert (root / 'Annotations/a.xml').read_text().count('<object>') == 2


def test_bad_input_is_named(root):
    two = ('lion', 'zebra')
    with pytest.raises(ValueError, match='SegmentationClass/a.png: label map holds class 2'):
        masks_to_xml(root, ('lion',))
    write_label_png(root / 'SegmentationObject/a.png', INSTANCES[:, ::-1])
    with pytest.raises(ValueError, match='SegmentationObject/a.png: instance .* lies on no class'):
        masks_to_xml(root, two)
    write_label_png(root / 'SegmentationObject/a.png', INSTANCES[:4])
    with pytest.raises(ValueError, match='SegmentationObject/a.png: label map is 4 x 6 .* image is 5 x 6'):
        masks_to_xml(root, two)
    (root / 'SegmentationObject/a.png').unlink()
    with pytest.raises(FileNotFoundError, match='SegmentationObject/a.png: label map is missing'):
        masks_to_xml(root, two)
    with pytest.raises(FileNotFoundError, match='nowhere: folder of the instance masks .*--components'):
        masks_to_xml(root, two, instance_dir='nowhere')
    with pytest.raises(FileNotFoundError, match='nowhere: folder of the class masks'):
        masks_to_xml(root, two, class_dir='nowhere')
    with pytest.raises(FileNotFoundError, match='JPEGImages: holds no mask'):
        masks_to_xml(root, two, class_dir='JPEGImages')
    with pytest.raises(FileNotFoundError, match='none.txt: list of images is missing'):
        masks_to_xml(root, two, split='none')
    (root / 'JPEGImages/a.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='JPEGImages/a.jpg: image is missing'):
        masks_to_xml(root, two)
    assert not list((root / 'Annotations').iterdir())


def test_masks_of_0_and_255_hold_no_class(root):
    for name in 'ab':
        path = root / f'SegmentationClass/{name}.png'
        write_label_png(path, np.where(np.array(Image.open(path)) > 0, 255, 0).astype(np.uint8))
    with pytest.raises(ValueError, match='SegmentationClass: none of these masks holds a class'):
        masks_to_xml(root, ('lion', 'zebra'), instance_dir=None)


def test_the_background_is_no_class(root):
    with pytest.raises(ValueError, match="'background' is no object class"):
        masks_to_xml(root, ('background', 'lion', 'zebra'))

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from bana_mm import BoxLabeler
from bana_mm.labeler.polygons import join_rings, mask_polygons
from bana_mm.structures import read_label_png

RECTANGLE = [16, 6, 48, 30]  # of an image of 80 x 60 pixels: 0.2, 0.1, 0.6, 0.5


@pytest.fixture
def rectangle(folder):
    return BoxLabeler('box', classes=('cat', 'dog'))(folder / 'disc.png', [RECTANGLE], ['dog'])


def drawn(ring, size):
    """The pixels in a ring, as pycocotools draws it."""
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects([ring.ravel().astype(float).tolist()], *size))) == 1


def area(ring):
    """By the shoelace formula; holes are negative."""
    (x, y), (next_x, next_y) = ring.T, np.roll(ring, -1, axis=0).T
    return (x * next_y - next_x * y).sum() / 2


def test_polygon_of_a_rectangle_with_a_hole_and_a_pixel_apart():
    mask = np.zeros((8, 9), bool)
    mask[1:5, 2:7] = True
    mask[2, 3:5] = False
    mask[5, 7] = True  # touches the rectangle by a corner
    first, second = mask_polygons(mask)
    assert [sorted(map(tuple, ring.tolist())) for ring in first] == [
        [(2, 1), (2, 5), (7, 1), (7, 5)],
        [(3, 2), (3, 3), (5, 2), (5, 3)],
    ]
    assert first[0].tolist() == [[2, 1], [7, 1], [7, 5], [2, 5]]  # clockwise as it is seen
    assert [sorted(map(tuple, ring.tolist())) for ring in second] == [[(7, 5), (7, 6), (8, 5), (8, 6)]]
    assert mask_polygons(np.zeros((3, 3), bool)) == []


@pytest.mark.parametrize('seed', range(4))
def test_polygons_enclose_just_the_mask(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((13, 17)) < (0.2, 0.5, 0.8, 1.0)[seed]
    rings = [ring for rings in mask_polygons(mask) for ring in rings]
    assert sum(area(ring) for ring in rings) == mask.sum()
    even_odd = np.zeros_like(mask)
    for ring in rings:
        even_odd ^= drawn(ring, mask.shape)
    assert np.array_equal(even_odd, mask)
    for ring in rings:
        assert not (np.diff(ring, 2, axis=0) == 0).all(axis=1).any()  # corners only
        sides = np.roll(ring, -1, axis=0) - ring
        assert ((sides == 0).sum(axis=1) == 1).all()  # along the pixels
    joined = join_rings(rings)
    assert area(joined) == mask.sum()  # bridges enclose nothing
    assert np.array_equal(drawn(joined, mask.shape), mask)


def test_yolo_by_hand(rectangle, folder):
    line = '1 0.200000 0.100000 0.600000 0.100000 0.600000 0.500000 0.200000 0.500000\n'
    assert rectangle.to_yolo() == line == rectangle.to_yolo(folder / 'a.txt') == (folder / 'a.txt').read_text()


def test_labelme_by_hand(rectangle, folder):
    (folder / 'labels').mkdir()
    content = rectangle.to_labelme(folder / 'labels/disc.json')
    assert json.loads((folder / 'labels/disc.json').read_text()) == content
    assert content['shapes'] == [
        dict(
            label='dog',
            points=[[16.0, 6.0], [48.0, 6.0], [48.0, 30.0], [16.0, 30.0]],
            group_id=0,
            description='',
            shape_type='polygon',
            flags={},
        )
    ]
    assert (content['imagePath'], content['imageHeight'], content['imageWidth']) == ('../disc.png', 60, 80)
    assert content['imageData'] is None and rectangle.to_labelme()['imagePath'] == 'disc.png'


def test_coco_holds_the_masks(folder):
    boxes = [[24, 14, 57, 47], [30, 20, 79, 58]]
    results = BoxLabeler('trusted:grabcut', progress=False)(
        [folder / 'disc.png', folder / 'sub/half.png'], [boxes, []], [['dog', 'cat'], []]
    )
    content = results.to_coco(folder / 'masks.json')
    assert json.loads((folder / 'masks.json').read_text()) == content
    assert [(one['file_name'], one['height'], one['width']) for one in content['images']] == [
        ('disc.png', 60, 80),
        ('half.png', 60, 40),
    ]
    assert [one['name'] for one in content['categories']] == ['dog', 'cat']
    assert len(content['annotations']) == 2
    for number, one in enumerate(content['annotations']):
        for field, expected in (('segmentation', results[0].masks), ('unreliable', results[0].unreliable)):
            assert np.array_equal(mask_api.decode(one[field]) == 1, expected[number])
        assert one['area'] == results[0].masks[number].sum() and one['image_id'] == 1
        assert one['category_id'] == number + 1 and one['score'] == pytest.approx(results[0].scores[number], abs=1e-6)
    assert content['annotations'][1]['bbox'] == [30, 20, 49, 38]


def test_png_and_pictures(folder):
    result = BoxLabeler('grabcut+box')(folder / 'disc.png', [[24, 14, 57, 47]], [1])
    assert np.array_equal(read_label_png(result.to_png(folder / 'a.png')), result.label_map)
    sure = read_label_png(result.to_png(folder / 'b.png', reliable_only=True))
    assert (sure == 255).sum() == (~result.reliable).sum() > 0
    assert np.array_equal(sure[result.reliable], result.label_map[result.reliable])
    assert result.overlay().shape == (60, 80, 3)
    result.show(folder / 'shown.png')
    assert np.array_equal(np.asarray(Image.open(folder / 'shown.png')), result.draw())
    assert result._repr_png_().startswith(b'\x89PNG')


def test_batch_to_files(folder):
    labeler = BoxLabeler('box', classes=('cat', 'dog'), progress=False)
    results = labeler([folder / 'disc.png', folder / 'sub/half.png'], [[RECTANGLE], [[0, 0, 1, 1]]], [['dog'], [1]])
    assert results.to_yolo(folder / 'yolo') == [folder / 'yolo/disc.txt', folder / 'yolo/half.txt']
    assert (folder / 'yolo/classes.txt').read_text() == 'cat\ndog\n'
    assert (folder / 'yolo/half.txt').read_text().startswith('0 0.000000 0.000000 0.025000 ')
    assert results.to_labelme(folder / 'json') == [folder / 'json/disc.json', folder / 'json/half.json']
    twice = labeler([folder / 'disc.png'] * 2, [[], []], [[], []])
    with pytest.raises(ValueError, match="'disc' is the name of several images"):
        twice.to_png(folder / 'png')

import json

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from bana_mm.labels.sinks.mask_json import RECORD_FIELD, read_record, write_pseudo_masks
from bana_mm.labels.sinks.parts import LabelParts
from bana_mm.structures import encode_mask

RECORD = dict(recipe=dict(margin=0.2), classes=['cat'])


def label(number, mask, corner):
    rle = encode_mask(mask, (6, 8), corner)
    return dict(id=number, segmentation=rle, unreliable=rle, area=int(mask.sum()), score=0.5)


@pytest.fixture
def parts(tmp_path):
    parts = LabelParts(tmp_path / 'masks.json.parts')
    parts.begin(RECORD)
    return parts


def write(parts, rank, *images):
    with parts.writer(rank) as writer:
        for image_id, labels in images:
            writer.write(image_id, labels)


@pytest.fixture
def boxes(tmp_path):
    """Two images and annotations in mixed order: labelled ones, crowds and others without a label."""
    annotations = [
        dict(
            id=5, image_id=20, category_id=3, bbox=[1, 1, 3, 2], iscrowd=0, area=6.0, segmentation=[[0, 0, 9, 9, 0, 9]]
        ),
        dict(id=1, image_id=10, category_id=3, bbox=[2, 2, 2, 2], segmentation=None, note='kept'),
        dict(
            id=8,
            image_id=20,
            category_id=3,
            bbox=[0, 0, 8, 6],
            iscrowd=1,
            area=40,
            segmentation=dict(size=[6, 8], counts=[0, 40, 8]),
        ),
        dict(id=9, image_id=20, category_id=90, bbox=[0, 0, 2, 2], iscrowd=1, segmentation=[]),
        dict(id=2, image_id=10, category_id=3, bbox=[9, 0, 4, 4], iscrowd=0, area=16),
    ]
    content = dict(
        info=dict(year=2017),
        licenses=[],
        images=[
            dict(id=20, file_name='b.jpg', height=6, width=8, url='u'),
            dict(id=10, file_name='a.jpg', height=6, width=8),
        ],
        annotations=annotations,
        categories=[dict(id=3, name='cat'), dict(id=90, name='dog')],
    )
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(content))
    return path, content


def test_writes_all_that_was_there_with_the_masks(parts, boxes, tmp_path):
    path, content = boxes
    first, second = label(5, np.ones((2, 3), bool), (1, 1)), label(1, np.eye(2, dtype=bool), (2, 2))
    write(parts, 0, (10, [second]))
    write(parts, 1, (20, [first]))
    write_pseudo_masks(tmp_path / 'masks.json', path, parts, [20, 10], RECORD)
    found = json.loads((tmp_path / 'masks.json').read_text())
    assert next(iter(found)) == RECORD_FIELD and found[RECORD_FIELD] == read_record(tmp_path / 'masks.json') == RECORD
    assert {name: found[name] for name in ('info', 'licenses', 'images', 'categories')} == {
        name: content[name] for name in ('info', 'licenses', 'images', 'categories')
    }
    assert [annotation['id'] for annotation in found['annotations']] == [5, 1, 8, 9, 2]
    labelled = {annotation['id']: annotation for annotation in found['annotations']}
    assert labelled[5] == {**content['annotations'][0], **first}
    assert labelled[1] == {**content['annotations'][1], **second, 'iscrowd': 0}  # note kept, iscrowd added
    assert labelled[8] == content['annotations'][2]  # a crowd as it was
    # Those without a mask of their own: the box, nothing of it reliable.
    assert np.array_equal(mask_api.decode(labelled[9]['segmentation'])[:3, :3], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert labelled[9]['unreliable'] == labelled[9]['segmentation'] and labelled[9]['area'] == 4
    assert mask_api.area(labelled[2]['segmentation']) == 0 and labelled[2]['area'] == 16  # outside the image
    assert not [one for one in tmp_path.iterdir() if one.name.endswith('.part')]


def test_pycocotools_reads_every_mask(parts, boxes, tmp_path):
    path, _ = boxes
    write(parts, 0, (10, [label(1, np.eye(2, dtype=bool), (2, 2))]), (20, [label(5, np.ones((2, 3), bool), (1, 1))]))
    write_pseudo_masks(tmp_path / 'masks.json', path, parts, [20, 10], RECORD)
    coco = COCO(tmp_path / 'masks.json')
    areas = {number: int(coco.annToMask(annotation).sum()) for number, annotation in coco.anns.items()}
    assert areas == {5: 6, 1: 2, 8: 40, 9: 4, 2: 0}


def test_nothing_is_written_while_images_lack_their_labels(parts, boxes, tmp_path):
    write(parts, 0, (10, []))
    with pytest.raises(ValueError, match='1 images of .*boxes.json have no labels yet, such as image_id 20'):
        write_pseudo_masks(tmp_path / 'masks.json', boxes[0], parts, [20, 10], RECORD)
    assert not (tmp_path / 'masks.json').exists()


def test_a_file_of_masks_can_be_the_source_of_another(parts, boxes, tmp_path):
    write(parts, 0, (10, []), (20, []))
    write_pseudo_masks(tmp_path / 'masks.json', boxes[0], parts, [20, 10], RECORD)
    write_pseudo_masks(tmp_path / 'again.json', tmp_path / 'masks.json', parts, [20, 10], dict(RECORD, more=1))
    again = json.loads((tmp_path / 'again.json').read_text())
    assert again[RECORD_FIELD] == dict(RECORD, more=1) and len(again['annotations']) == 5


@pytest.mark.parametrize(
    'mask, area',
    [
        (dict(size=[6, 8], counts=[0, 13, 30, 5]), 18),
        (encode_mask(np.ones((2, 3), bool), (6, 8), (1, 1)), 6),
        ([[0, 0, 4, 0, 4, 3, 0, 3], [1, 1, 2, 2]], 12),  # the second has two points, and is not drawn
        ([[4, 0, 8, 0, 8, 6, 4, 6], [2, 0, 8, 0, 8, 6, 2, 6]], 36),  # both together
        (dict(size=[6, 8], counts=[0, 13, 30]), 20),  # too few runs: the box's
        ([], 20),
    ],
)
@pytest.mark.parametrize('given', [{}, dict(area=None), dict(area=7.5)])
def test_every_annotation_gets_an_area(parts, tmp_path, mask, area, given):
    crowd = dict(id=3, image_id=20, category_id=3, bbox=[0, 0, 5, 4], iscrowd=1, segmentation=mask, **given)
    images, categories = [dict(id=20, file_name='b.jpg', height=6, width=8)], [dict(id=3, name='cat')]
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(dict(images=images, annotations=[crowd], categories=categories)))
    write(parts, 0, (20, []))
    write_pseudo_masks(tmp_path / 'masks.json', path, parts, [20], RECORD)
    (found,) = json.loads((tmp_path / 'masks.json').read_text())['annotations']
    assert found['area'] == (given.get('area') or area) and found['iscrowd'] == 1
    assert not mask or found['segmentation'] == mask


def test_a_file_without_record(boxes):
    assert read_record(boxes[0]) is None

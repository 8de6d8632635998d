"""Instance labels against true masks, with figures worked out by hand."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bana_mm.evaluation.instance_evaluation import evaluate_instances, instance_table, rank
from bana_mm.evaluation.instance_masks import (
    LabelMasks,
    TrueMasks,
    make_label_masks,
    read_label_masks,
    read_true_masks,
)
from bana_mm.labels import build_label_source
from bana_mm.structures import encode_mask, write_label_png


def rectangle(x1, y1, x2, y2, size=(200, 200)):
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return encode_mask(mask, size)


def entry(number, box, image=1, category=3, **fields):
    """An annotation whose mask is its box; ``fields`` may replace it."""
    x1, y1, x2, y2 = box
    return dict(
        dict(
            id=number,
            image_id=image,
            category_id=category,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            segmentation=rectangle(*box),
        ),
        **fields,
    )


@pytest.fixture
def write(tmp_path):
    def writer(name, annotations, images=(1,), size=(200, 200), categories=(3, 8)):
        content = dict(
            images=[dict(id=number, file_name=f'{number}.png', height=size[0], width=size[1]) for number in images],
            categories=[dict(id=number, name=str(number)) for number in categories],
            annotations=annotations,
        )
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return writer


def compare(write, true, labels, by='area', **kwargs):
    ground_truth = read_true_masks(write('true.json', true, **kwargs))
    return evaluate_instances(ground_truth, read_label_masks(write('labels.json', labels, **kwargs), ground_truth), by)


def test_average_precision_depends_on_the_order(write):
    boxes = [(0, 0, 20, 40), (50, 0, 70, 30), (100, 0, 120, 20), (150, 0, 170, 10)]
    true = [entry(number, box) for number, box in enumerate(boxes, 1)]
    scores = [0.1, 0.9, 0.2, 0.8]
    # Nos. 2 and 4 are right; 1 and 3 reach IoU 0.25 only.
    labels = [
        entry(
            number,
            box,
            score=score,
            segmentation=rectangle(*(box if number in (2, 4) else (box[0], box[1], box[0] + 5, box[3]))),
        )
        for number, box, score in zip((1, 2, 3, 4), boxes, scores)
    ]
    # By area the order is wrong, right, wrong, right: precision 1/2 up to recall 1/4, again 1/2 up to 2/4, then none.
    # pycocotools takes the precision at the recalls 0, 0.01, ..., 1: at 51 of 101 of them.
    figures = compare(write, true, labels)
    assert figures['AP'] == figures['AP50'] == figures['AP75'] == pytest.approx(100 * 51 / 101 / 2, abs=1e-3)
    # By score: right, right, wrong, wrong.
    assert compare(write, true, labels, 'score')['AP'] == pytest.approx(100 * 51 / 101, abs=1e-3)
    assert figures['mIoU'] == pytest.approx(100 * 2.5 / 4) and (figures['instances'], figures['without_mask']) == (4, 0)
    # The order is the annotations' own, whatever that of the file.
    assert compare(write, true, labels[::-1]) == compare(write, true[::-1], labels) == figures


def test_rank():
    ground_truth = read_like(areas={7: 4, 3: 4, 5: 9, 2: 1})
    labels = LabelMasks(dict.fromkeys((2, 3, 5, 7)), {}, {2: 0.5, 3: 0.1, 5: 0.1, 7: 0.1})
    assert rank(ground_truth, labels) == {5: 0, 3: 1, 7: 2, 2: 3}
    assert rank(ground_truth, labels, 'score') == {2: 0, 5: 1, 3: 2, 7: 3}
    del labels.scores[3]
    with pytest.raises(ValueError, match='1 of 4 labels have no score; rank them by area'):
        rank(ground_truth, labels, 'score')
    with pytest.raises(ValueError, match="by area or score, got 'size'"):
        rank(ground_truth, labels, 'size')


def read_like(areas):
    """Stands for true masks of which only the boxes matter."""

    class Boxes:
        annotations = {number: dict(bbox=[0, 0, 1, area]) for number, area in areas.items()}

    return Boxes()


def test_thresholds_sizes_and_objects_without_a_mask(write):
    boxes = dict(S=(0, 0, 10, 10), M=(20, 20, 70, 70), L=(40, 40, 190, 190))
    true = [entry(number, box) for number, box in enumerate(boxes.values())]  # pycocotools takes id 0 for no object
    # The small one is exact, of the middle one half (IoU 0.5) is found, of the large one nothing.
    labels = [
        entry(0, boxes['S']),
        entry(1, boxes['M'], segmentation=rectangle(20, 20, 45, 70)),
        entry(2, boxes['L'], segmentation=None),
    ]
    figures = compare(write, true, labels)
    assert (figures['AP_S'], figures['AP_M'], figures['AP_L']) == (100, 10, 0)  # 0.5 passes one of ten thresholds
    assert [figures[f'mIoU_{size}'] for size in boxes] == [100, 50, 0] and figures['mIoU'] == 50
    # At IoU 0.5 both labels are right: recall 2/3, precision 1. Above, the middle one is wrong and comes first.
    assert figures['AP50'] == pytest.approx(100 * 67 / 101, abs=1e-3)
    assert figures['AP75'] == pytest.approx(100 * 34 / 101 / 2, abs=1e-3)
    assert figures['AP'] == pytest.approx(10 * 67 / 101 + 90 * 34 / 101 / 2, abs=1e-3)
    assert figures['without_mask'] == 1 and 'unreliable' not in figures
    table = instance_table(dict(mine=figures, again=dict(figures, AP_L=None))).splitlines()
    for cells in (['mine', 'again'], ['AP', 'L', '0.0', '-'], ['mean', 'IoU', 'M', '50.0', '50.0']):
        assert cells in [line.split() for line in table]
    # No label at all, and no object at all.
    nothing = compare(write, true, [])
    assert (nothing['AP'], nothing['mIoU'], nothing['without_mask']) == (0, 0, 3)
    empty = compare(write, [], [])
    assert empty['AP'] is None and empty['mIoU'] is None and empty['instances'] == 0


def test_classes_and_images_are_told_apart(write):
    # The same box in two images and two classes; three labels are exact, one lies in the wrong place.
    true = [
        entry(number, (0, 0, 40, 40), image, category)
        for number, (image, category) in enumerate(((1, 3), (1, 8), (2, 3), (2, 8)), 1)
    ]
    labels = [*true[:3], dict(true[3], segmentation=rectangle(100, 100, 140, 140))]
    figures = compare(write, true, labels, images=(1, 2))
    # Class 3: all found. Class 8: the first in order is right, recall 1/2.
    assert figures['AP'] == pytest.approx((100 + 100 * 51 / 101) / 2, abs=1e-3) and figures['mIoU'] == 75


def test_average_precision_is_that_of_one_run_over_all_classes(write):
    """Random rectangles of three classes in four images, one class without labels and some crowds."""
    chance = np.random.default_rng(3)
    true, labels = [], []
    for number in range(1, 61):
        x, y, w, h = chance.integers((0, 0, 4, 4), (90, 90, 110, 110)).tolist()
        one = entry(
            number,
            (x, y, x + w, y + h),
            int(chance.integers(1, 5)),
            int(chance.choice([3, 8, 9])),
            iscrowd=int(number % 15 == 0),
        )
        true.append(one)
        shift = int(chance.integers(0, 5))
        if one['category_id'] != 9:
            labels.append(dict(one, segmentation=rectangle(x + shift, y, x + w, y + h), score=float(chance.random())))
    images = dict(images=(1, 2, 3, 4), categories=(3, 8, 9))
    figures = compare(write, true, labels, by='score', **images)

    api = COCO(
        write('areas.json', [dict(one, area=float(mask_api.area(one['segmentation']))) for one in true], **images)
    )
    results = [
        dict(
            image_id=one['image_id'],
            category_id=one['category_id'],
            segmentation=one['segmentation'],
            score=one['score'],
        )
        for one in labels
        if not one['iscrowd']
    ]
    whole = COCOeval(api, api.loadRes(results), 'segm')
    whole.evaluate()
    whole.accumulate()
    whole.summarize()
    names = ('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')
    assert [figures[name] for name in names] == pytest.approx([100 * value for value in whole.stats[:6]], abs=1e-3)
    assert 0 < figures['AP'] < figures['AP50'] < 67  # of the third class nothing is found


def test_two_hundred_objects_in_an_image(write):
    true = [
        entry(number, (x, y, x + 6, y + 6))
        for number, (x, y) in enumerate(((x, y) for x in range(0, 190, 10) for y in range(0, 110, 10)), 5)
    ]
    assert len(true) == 209
    assert compare(write, true, true)['AP'] == 100  # pycocotools by itself stops at 100


def test_crowds_and_ignored_objects_count_nowhere(write):
    crowd = [entry(2, (100, 100, 200, 200), iscrowd=1), entry(3, (0, 100, 50, 200), ignore=1, segmentation=None)]
    figures = compare(write, [entry(1, (0, 0, 40, 40)), *crowd], [entry(1, (0, 0, 40, 40)), *crowd])
    assert (figures['AP'], figures['mIoU'], figures['instances'], figures['without_mask']) == (100, 100, 1, 0)


def test_unreliable_pixels(write):
    # Truth columns 0..3, label columns 2..5, unreliable are columns 4..5 and one row of column 0: the rows are 4.
    label = entry(1, (0, 0, 8, 4), segmentation=rectangle(2, 0, 6, 4))
    mask = np.zeros((200, 200), bool)
    mask[:4, 4:6] = mask[0, 0] = True
    true = entry(1, (0, 0, 8, 4), segmentation=rectangle(0, 0, 4, 4))
    figures = compare(write, [true], [dict(label, unreliable=encode_mask(mask, mask.shape))])
    assert figures['mIoU'] == pytest.approx(100 * 8 / 24, abs=1e-3)
    assert figures['mIoU_reliable'] == pytest.approx(100 * 8 / 15, abs=1e-3)
    assert figures['unreliable'] == pytest.approx(100 * 9 / 32, abs=1e-3)
    everything = compare(write, [true], [dict(label, unreliable=rectangle(0, 0, 200, 200))])
    assert everything['mIoU_reliable'] is None and everything['mIoU'] == figures['mIoU']


@pytest.mark.parametrize(
    'labels, message',
    [
        ([entry(9, (0, 0, 4, 4))], 'annotation 9 is not there in .*true.json'),
        ([entry(1, (0, 0, 4, 4), category=8)], 'annotation 1 has category_id 3, not 8 in'),
        (
            [entry(1, (0, 0, 4, 4), segmentation=rectangle(0, 0, 4, 4, (9, 9)))],
            r'annotation 1: segmentation is no mask of its image .*\[9, 9\].*\[200, 200\]',
        ),
        ([entry(1, (0, 0, 4, 4), unreliable=[[1, 2]])], 'annotation 1: unreliable is no mask of its image'),
        (
            [entry(1, (0, 0, 4, 4), segmentation=dict(size=[200, 200], counts=[3, 4]))],
            r'annotation 1: segmentation is no mask .*sum to 7, but the mask has 200 x 200 pixels',
        ),
        (
            [entry(1, (0, 0, 4, 4), unreliable=dict(size=[200, 200], counts=[3, 50000]))],
            r'annotation 1: unreliable is no mask .*sum to 50003, but the mask has 200 x 200 pixels',
        ),
    ],
)
def test_labels_of_other_data_are_named(write, labels, message):
    ground_truth = read_true_masks(write('true.json', [entry(1, (0, 0, 4, 4))]))
    with pytest.raises(ValueError, match=f'labels.json: {message}'):
        read_label_masks(write('labels.json', labels), ground_truth)
    for images, size in (((1, 2), (200, 200)), ((1,), (100, 200))):
        with pytest.raises(ValueError, match=r'labels.json: image [12] is not in .*true.json'):
            read_label_masks(write('labels.json', [], images, size), ground_truth)


def test_some_of_the_images(write):
    true = [entry(1, (0, 0, 40, 40), 1), entry(2, (0, 0, 40, 40), 2)]
    ground_truth = read_true_masks(write('true.json', true, (1, 2)))
    labels = read_label_masks(write('labels.json', true[1:], (2,)), ground_truth)
    assert labels.img_ids == (2,)
    assert evaluate_instances(ground_truth.only(labels.img_ids), labels)['mIoU'] == 100
    assert evaluate_instances(ground_truth, labels)['mIoU'] == 50
    with pytest.raises(ValueError, match='true.json: annotation 1: segmentation is missing'):
        read_true_masks(write('true.json', [entry(1, (0, 0, 4, 4), segmentation=[])]))


def test_masks_made_from_boxes(write, tmp_path):
    # A green disc on grey: GrabCut finds it, the whole box does not.
    y, x = np.mgrid[:60, :80]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 18**2
    image = np.where(disc[..., None], (30, 200, 60), (120, 120, 120)).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 9, image.shape, dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / '1.png')
    fields = dict(bbox=[22.3, 12.1, 35.9, 36.2], segmentation=encode_mask(disc, disc.shape))
    true = [
        entry(4, (0, 0, 1, 1), **fields),
        entry(5, (0, 0, 1, 1), **dict(fields, bbox=[3, 3, 0, 5])),
        entry(6, (0, 0, 1, 1), **dict(fields, iscrowd=1)),
    ]
    path = write('true.json', true, size=(60, 80))
    ground_truth = read_true_masks(path)
    whole = make_label_masks(build_label_source('box'), ground_truth, tmp_path)
    assert list(whole.masks) == [4]  # neither the one without area nor the crowd
    expected = np.zeros((60, 80), bool)
    expected[12:48, 22:58] = True
    assert (mask_api.decode(whole.masks[4]) == expected).all()
    found = make_label_masks(build_label_source('grabcut'), ground_truth, tmp_path)
    box, cut = (evaluate_instances(ground_truth, labels)['mIoU'] for labels in (whole, found))
    assert box == pytest.approx(50 * disc.sum() / 36**2, abs=1e-3) and cut > 49  # of two objects, one has no mask
    merged = make_label_masks(build_label_source('grabcut+box'), ground_truth, tmp_path)
    assert merged.masks == found.masks and merged.scores[4] == 1  # where GrabCut sees the object, so does the box
    assert mask_api.area(merged.unreliable[4]) == 36**2 - mask_api.area(found.masks[4])
    assert not found.unreliable and found.scores == {4: 1.0}
    only = ground_truth.only([2])
    assert make_label_masks(build_label_source('box'), only, tmp_path) == LabelMasks({}, {}, {})
    Image.fromarray(image[:50]).save(tmp_path / '1.png')
    with pytest.raises(RuntimeError, match='1.png: .*50 x 80, but .* says 60 x 80'):
        make_label_masks(build_label_source('box'), ground_truth, tmp_path)
    (tmp_path / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match='1.png'):
        make_label_masks(build_label_source('box'), ground_truth, tmp_path)


def test_masks_from_stored_label_maps(write, tmp_path):
    """They are found by the names of the images, masks of single boxes by number or name; categories by their ids."""
    Image.new('RGB', (9, 6)).save(tmp_path / '1.png')
    true = [entry(1, (0, 0, 4, 6)), entry(2, (4, 0, 9, 6), category=8)]
    for one in true:
        del one['segmentation']
    path = write('boxes.json', true, size=(6, 9))
    ground_truth = TrueMasks(path, {1: dict(id=1, height=6, width=9)}, [], {one['id']: one for one in true})
    label = np.zeros((6, 9), np.uint8)
    label[1:3, 1:3], label[:, 5:7], label[0, 0] = 1, 2, 255
    (tmp_path / 'maps').mkdir()
    write_label_png(tmp_path / 'maps/1.png', label)
    results = [
        dict(image_id=1, category_id=3, bbox=[0, 0, 4, 6], segmentation=encode_mask(label == 1, (6, 9)), score=0.25),
        dict(image_id=1, category_id=8, bbox=[4, 0, 5, 6], segmentation=encode_mask(label == 2, (6, 9))),
    ]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    for name, score, ignored in (('maps', 1.0, 1), ('results.json', 0.25, 0)):
        found = make_label_masks(build_label_source(f'files:{tmp_path / name}'), ground_truth, tmp_path)
        assert np.array_equal(mask_api.decode(found.masks[1]), label == 1) and found.scores == {1: score, 2: 1.0}
        assert np.array_equal(mask_api.decode(found.masks[2]), label == 2)
        assert [mask_api.area(one) for one in found.unreliable.values()] == [1] * ignored

import cv2
import numpy as np
import pytest

from bana_mm.evaluation.filling_rates import FillingRates, box_filling_rates, measure_filling_rates
from bana_mm.labels import BoxSource, FilesSource
from bana_mm.structures import write_label_png

LABEL = np.array(
    [
        [0, 1, 1, 255],
        [0, 1, 2, 2],
        [0, 0, 2, 2],
    ],
    dtype=np.uint8,
)
BOXES = np.array([[1, 0, 4, 2], [2, 1, 4, 3], [0, 0, 4, 3]], dtype=float)


def test_values_by_hand():
    # box 0, class 1: 1 1 (255) / 1 2 2: three of five; box 1, class 2: all four; box 2, class 1: three of eleven
    assert box_filling_rates(LABEL, BOXES, [1, 2, 1]) == pytest.approx([3 / 5, 1, 3 / 11])
    assert box_filling_rates(LABEL, BOXES, [2, 1, 3]) == pytest.approx([2 / 5, 0, 0])
    valid = np.ones_like(LABEL, dtype=bool)
    valid[0, 1] = valid[1, 2] = False
    assert box_filling_rates(LABEL, BOXES, [1, 2, 1], valid) == pytest.approx([2 / 3, 1, 2 / 9])


def test_boxes_are_rounded_and_clipped():
    assert box_filling_rates(LABEL, [[1.6, 0.7, 9.0, 2.6]], [2]) == [1.0]  # columns 2 and 3, rows 1 and 2
    assert box_filling_rates(LABEL, [[1.2, 0.3, 1.3, 0.4]], [1]) == [1.0]  # the pixel in column 1 and row 0


def test_box_without_a_pixel_that_counts():
    rates = FillingRates()
    rates.update(LABEL, [[3, 0, 4, 1], [1, 0, 3, 1]], [1, 1])
    assert np.isnan(rates.rates[0]) and rates.of_class(1).tolist() == [1.0]
    assert rates.mean() == rates.mean(1) == 1
    assert np.isnan(rates.mean(2)) and np.isnan(FillingRates().mean())
    none = FillingRates()
    none.update(LABEL, [[3, 0, 4, 1]], [1])
    assert np.isnan(none.mean()) and np.isnan(none.difference(none)) and np.isnan(none.distance(none))


def test_means_weigh_classes_alike():
    rates = FillingRates()
    rates.update(LABEL, BOXES, [1, 2, 1])
    rates.update(LABEL, np.empty((0, 4)), [])
    assert rates.classes.tolist() == [1, 2, 1]
    assert rates.mean(1) == pytest.approx((3 / 5 + 3 / 11) / 2)
    assert rates.mean() == pytest.approx((rates.mean(1) + 1) / 2)


def test_difference_and_distance():
    first, second = FillingRates(), FillingRates()
    first.extend(np.array([0.2, 0.6, np.nan, 0.5]), [1, 1, 2, 2])
    second.extend(np.array([0.6, 0.1, 0.5, 0.5]), [1, 1, 2, 2])
    assert first.difference(second) == pytest.approx((0.4 + 0.5 + 0) / 3)
    assert first.distance(second) == pytest.approx((0.1 + 0.0 + 0.0) / 3)  # .2 .5 .6 against .1 .5 .6
    assert first.difference(first) == first.distance(first) == 0


def test_bad_input():
    with pytest.raises(ValueError, match='3 boxes but 2 classes'):
        box_filling_rates(LABEL, BOXES, [1, 2])
    with pytest.raises(ValueError, match=r'label map has shape \(3, 4\), valid \(4, 3\)'):
        box_filling_rates(LABEL, BOXES, [1, 2, 1], np.ones((4, 3), bool))
    first, second = FillingRates(), FillingRates()
    first.extend(np.array([0.5]), [1])
    second.extend(np.array([0.5]), [2])
    with pytest.raises(ValueError, match=r'different boxes \(1 and 1\)'):
        first.difference(second)


@pytest.fixture
def dataset(tmp_path):
    """An image with an object and an ignored box, and one without boxes."""
    items = []
    instances = [
        dict(bbox=[0, 0, 4, 3], bbox_label=1, ignore_flag=0),
        dict(bbox=[2, 1, 4, 3], bbox_label=0, ignore_flag=1),
    ]
    for img_id, boxes in (('a', instances), ('b', [])):
        cv2.imwrite(str(tmp_path / f'{img_id}.jpg'), np.zeros((3, 4, 3), np.uint8))
        write_label_png(tmp_path / f'{img_id}.png', LABEL)
        items.append(
            dict(
                img_id=img_id,
                img_path=str(tmp_path / f'{img_id}.jpg'),
                instances=boxes,
                seg_map_path=str(tmp_path / f'{img_id}.png'),
            )
        )
    return Items(items)


class Items(list):
    metainfo = dict(classes=('cat', 'cow'))

    def get_data_info(self, index):
        return self[index]


def test_measures_sources_and_ground_truth(dataset, tmp_path):
    sources = dict(box=BoxSource(), files=FilesSource(tmp_path))
    rates = measure_filling_rates(sources, dataset)
    # the box holds four pixels of its class (2) among eleven with a ground truth; the ignored box has no rate
    assert {name: total.rates.tolist() for name, total in rates.items()} == {
        'ground truth': [4 / 11],
        'box': [1.0],
        'files': [4 / 11],
    }
    assert list(rates) == ['ground truth', 'box', 'files'] and rates['box'].classes.tolist() == [2]


def test_without_ground_truth(dataset):
    del dataset[0]['seg_map_path']
    assert measure_filling_rates(dict(box=BoxSource()), dataset, with_ground_truth=False)['box'].rates.tolist() == [1.0]
    with pytest.raises(FileNotFoundError, match=r'ground truth: 1 of 2 images have no label map: a$'):
        measure_filling_rates({}, dataset)


def test_what_is_wrong_is_named(dataset, tmp_path):
    (tmp_path / 'labels').mkdir()
    with pytest.raises(FileNotFoundError, match=r'other: 2 of 2 images have no label map: a, b$'):
        measure_filling_rates(dict(other=FilesSource(tmp_path / 'labels')), dataset)
    for img_id in 'ab':
        write_label_png(tmp_path / f'labels/{img_id}.png', np.full((3, 4), 7, np.uint8))
    with pytest.raises(RuntimeError, match=r'a\.jpg: ValueError: other: label map holds class 7'):
        measure_filling_rates(dict(other=FilesSource(tmp_path / 'labels')), dataset)
    (tmp_path / 'a.jpg').write_bytes(b'not an image')
    with pytest.raises(RuntimeError, match=r'a\.jpg: '):
        measure_filling_rates({}, dataset)

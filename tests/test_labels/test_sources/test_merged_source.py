import numpy as np
import pytest

from bana_mm.labels import (
    BoxSource,
    GrabCutSource,
    LabelItem,
    LabelSource,
    MergedSource,
    answers,
    build_label_source,
    reliable_label,
)
from bana_mm.structures import InstanceMask, write_label_png

IMAGE = np.zeros((2, 5, 3), np.uint8)
STORED = np.array([[0, 1, 1, 255, 0], [2, 2, 0, 0, 0]], np.uint8)
INSTANCES = [
    dict(bbox=[1, 0, 4, 1], bbox_label=0, ignore_flag=0),
    dict(bbox=[0, 1, 1, 2], bbox_label=1, ignore_flag=0),
    dict(bbox=[4, 0, 5, 2], bbox_label=1, ignore_flag=1),
]
ITEM = LabelItem.from_info(dict(img_id='a', instances=INSTANCES), IMAGE)


@pytest.fixture
def folder(tmp_path):
    write_label_png(tmp_path / 'a.png', STORED)
    return tmp_path


def test_agreement_by_hand(folder):
    # the boxes alone: 0 1 1 1 0 / 2 0 0 0 0
    source = build_label_source(['box', f'files:{folder}'])
    boxes, labels = np.array([[1.0, 0, 4, 1], [0, 1, 1, 2]]), np.array([1, 2])
    assert source(IMAGE, boxes, labels, 'a').tolist() == [[0, 1, 1, 255, 0], [2, 255, 0, 0, 0]]


@pytest.mark.parametrize(
    ('first', 'label'),
    [
        ('box', [[0, 1, 1, 1, 255], [2, 0, 0, 0, 255]]),
        ('files', [[0, 1, 1, 255, 255], [2, 2, 0, 0, 255]]),
    ],
)
def test_label_of_the_first_and_where_both_agree(folder, first, label):
    names = dict(box='box', files=f'files:{folder}')
    source = build_label_source([names.pop(first), *names.values()])
    result, reliable = reliable_label(source, ITEM)
    assert result.tolist() == label
    assert reliable.tolist() == [[True, True, True, False, False], [True, False, True, True, False]]


def test_a_map_for_each_part(folder):
    source = build_label_source(['box', f'files:{folder}', 'box', 'box'])
    assert source.map_names == ('box', 'files', 'box_2', 'box_3') and not source.has_network
    (maps,) = answers(source, [ITEM], 'maps')
    assert tuple(maps) == source.map_names
    for name in ('box', 'box_2', 'box_3'):
        assert maps[name].tolist() == [[0, 1, 1, 1, 255], [2, 0, 0, 0, 255]]
    assert maps['files'].tolist() == [[0, 1, 1, 255, 255], [2, 2, 0, 0, 255]]


class Fixed(LabelSource):
    """Given masks of two boxes of a row of four pixels."""

    name = 'fixed'

    def __init__(self, *masks):
        self.fixed = masks

    def masks(self, item):
        return list(self.fixed)


def mask_of(mask, unreliable, score=1.0):
    return InstanceMask(np.array([mask], bool), np.array([unreliable], bool), score)


def test_masks_are_those_of_the_first():
    """Unreliable where one says so or they differ; the score goes with the share of the mask that stays reliable."""
    source = MergedSource(['box', 'box'])
    source.sources = (
        Fixed(mask_of([1, 1, 1, 1, 0], [1, 0, 0, 0, 0], 0.9), mask_of([1], [1], 0.5)),
        Fixed(mask_of([1, 0, 1, 1, 1], [0, 0, 0, 1, 0], 0.1), mask_of([1], [0], 0.5)),
    )
    item = LabelItem.from_array(IMAGE, [[0, 0, 5, 1], [0, 1, 1, 2]], [1, 2])
    ((first, second),) = answers(source, [item], 'masks')
    assert first.mask.tolist() == [[True, True, True, True, False]]
    assert first.unreliable.tolist() == [[True, True, False, True, True]]
    assert first.score == pytest.approx(0.9 / 3)  # of three reliable pixels one is left
    assert second.unreliable.all() and second.score == 0
    assert source.sources[0].fixed[0].unreliable.sum() == 1  # as it was


def test_label_maps_become_masks_before_they_are_merged(folder):
    ((first, second),) = answers(build_label_source(['box', f'files:{folder}']), [ITEM], 'masks')
    assert first.mask.all() and first.unreliable.tolist() == [[False, False, True]]  # 1 1 255
    assert first.score == pytest.approx(2 / 3)
    assert second.mask.all() and not second.unreliable.any()


def test_single_source_is_reliable_where_not_ignored():
    result, reliable = reliable_label(BoxSource(), ITEM)
    assert np.array_equal(reliable, result != 255) and not reliable[0, 4]


def test_three_ways_to_name_it():
    for config in ('box+grabcut', ['box', 'grabcut'], dict(type='merged', sources=['box', dict(type='grabcut')])):
        source = build_label_source(config)
        assert [type(part) for part in source.sources] == [BoxSource, GrabCutSource]


def test_missing_in_either(folder, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    write_label_png(other / 'b.png', STORED)
    source = MergedSource([f'files:{folder}', f'files:{other}', 'box'])
    assert source.missing(iter('cab')) == ['c', 'a', 'b'] and MergedSource(['box', 'box']).missing('ab') == []


@pytest.mark.parametrize('sources', ['box', ['box'], dict(type='box'), []])
def test_too_few(sources):
    with pytest.raises(ValueError, match='at least two label sources'):
        MergedSource(sources)


def test_unknown_part():
    with pytest.raises(KeyError, match="no label source is called 'lasso'"):
        build_label_source('box+lasso')

"""Judged masks and fall-backs, with sources whose answers are known."""

import pickle

import numpy as np
import pytest

from bana_mm.labels import (
    FallbackSource,
    FilesSource,
    LabelItem,
    LabelSource,
    MergedSource,
    ObjectSource,
    TrustedSource,
    VoteSource,
    answers,
    build_label_source,
    label_map,
)
from bana_mm.structures import InstanceMask, write_label_png

RULE = dict(bias=2.0, weights=dict.fromkeys(('jitter', 'extent', 'fill_gap', 'agreement', 'doubts'), 0.0))


class Bright(ObjectSource):
    """Bright pixels are objects, whatever the box."""

    name = 'bright'

    def object_mask(self, item, k):
        x1, y1, x2, y2 = item.layout.boxes[k].tolist()
        return InstanceMask(item.image[y1:y2, x1:x2, 0] > 100)


class Half(ObjectSource):
    """The left half of a box, wherever it is: as unstable as can be."""

    name = 'half'

    def object_mask(self, item, k):
        x1, y1, x2, y2 = item.layout.boxes[k].tolist()
        mask = np.zeros((y2 - y1, x2 - x1), bool)
        mask[:, : (x2 - x1) // 2] = True
        return InstanceMask(mask)


class Network(LabelSource):
    """Answers in its first step, or leaves all to a task; counts what it is asked."""

    has_network = True

    def __init__(self, name, inner, ready=True):
        self.name, self.inner, self.ready, self.asked = name, inner, ready, []

    def prepare(self, items, kind):
        self.asked.append(len(items))
        if self.ready:
            return [(None, self.inner.masks(item)) for item in items]
        return [(task, None) for task, _ in self.inner.prepare(items, kind)]

    def finish(self, item, kind, context, result):
        assert kind == 'masks'
        return context if self.ready else result


def discs(*centres, size=(40, 60), radius=8):
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    image = np.zeros((*size, 3), np.uint8)
    for cy, cx in centres:
        image[np.hypot(y - cy, x - cx) < radius] = 200
    return image


def item(boxes=((12, 12, 28, 28), (32, 12, 48, 28)), image=None):
    image = discs((20, 20), (20, 40)) if image is None else image
    return LabelItem.from_array(image, np.array(boxes), [1] * len(boxes), 'one')


def trusted(source, **options):
    return TrustedSource(source, **{'rule': RULE, **options})


def test_a_stable_source():
    (masks,) = answers(trusted(Bright()), [item()], 'masks')
    for one in masks:
        assert one.evidence.jitter == 1.0 and one.evidence.touched == 4 and one.evidence.extent == 1.0
        assert one.evidence.fill == pytest.approx(np.pi / 4, abs=0.03)
        assert not one.unreliable.any() and one.passes


def test_an_unstable_source_by_hand():
    (masks,) = answers(trusted(Half(), rule=dict(RULE, shift=0.25)), [item()], 'masks')
    # boxes of 16 pixels: columns 12..20 are the mask, 8..16 from the box moved by 4, 16..24 from the other one
    expected = np.zeros((16, 16), bool)
    expected[4:, 4:8] = True  # to the left and down: what was columns 16..20 is no object
    expected[:12, 8:12] = True  # to the right and up: columns 20..24 are
    assert np.array_equal(masks[0].unreliable, expected)
    # down: mask columns 12..20 against 12..16 in columns 12..24; up: 16..20 against 16..24 in columns 16..28
    assert masks[0].evidence.jitter == pytest.approx((4 / 8 + 4 / 8) / 2)


def test_label_maps():
    source = trusted(Half(), second=Bright())
    assert source.map_names == ('half', 'half_sure')
    (maps,) = answers(source, [item()], 'maps')
    assert list(maps) == ['half', 'half_sure']
    assert set(np.unique(maps['half'])) == {0, 1}
    changed = maps['half'] != maps['half_sure']
    assert changed.any() and (maps['half_sure'][changed] == 255).all()
    assert np.array_equal(label_map(source, item()), maps['half_sure'])


def test_what_is_left_to_do_is_picklable():
    for kind in ('masks', 'maps'):
        for source in (trusted(Half(), second=Bright()), FallbackSource([Half(), Bright()], RULE)):
            ((task, context),) = source.prepare([item()], kind)
            found = source.finish(item(), kind, context, pickle.loads(pickle.dumps(task)).run())
            (expected,) = answers(source, [item()], kind)
            if kind == 'maps':
                assert all(np.array_equal(found[name], expected[name]) for name in expected)
            else:
                assert [one.score for one in found] == [one.score for one in expected]


@pytest.mark.parametrize('ready', [True, False])
def test_networks_are_asked_for_all_images_at_once(ready):
    network = Network('net', Half(), ready)
    source = trusted(network, second=Bright())
    items = [item(), item(((0, 0, 9, 7),))]
    found = answers(source, items, 'masks')
    assert network.asked == [2, 2, 2]
    for masks, expected in zip(found, answers(trusted(Half(), second=Bright()), items, 'masks')):
        for one, other in zip(masks, expected):
            assert one.evidence == other.evidence and np.array_equal(one.unreliable, other.unreliable)


def test_labels_that_are_looked_up_are_not_asked_for_other_boxes(tmp_path):
    write_label_png(tmp_path / 'one.png', (discs((20, 20), (20, 40))[..., 0] > 100).astype(np.uint8))
    (masks,) = answers(trusted(f'files:{tmp_path}'), [item()], 'masks')
    assert masks[0].evidence.jitter is None and masks[0].mask.sum() > 150


def test_the_usual_share_of_a_class_is_found_by_its_name():
    source = trusted(Bright(), rule=dict(RULE, fills=dict(ball=np.pi / 4), usual_fill=0.1))
    source.bind(['ball'])
    assert answers(source, [item()], 'masks')[0][0].evidence.fill_gap < 0.03
    source.bind(['cube'])
    assert answers(source, [item()], 'masks')[0][0].evidence.fill_gap > 0.6


def test_fall_back_box_by_box():
    image = discs((20, 20))
    image[12:28, 32:48] = 200  # a bright square fills the second box: no object was found
    source = FallbackSource([Bright(), Half()], dict(RULE, min_touched=3))
    (masks,) = answers(source, [item(image=image)], 'masks')
    assert masks[0].mask.sum() == (discs((20, 20)) > 0)[..., 0].sum()  # of the first
    assert masks[1].mask.sum() == 16 * 8  # of the second, though it is less sure
    # where none passes, the more certain one; of equals the first
    source = FallbackSource([Bright(), Half()], dict(RULE, min_touched=4))
    assert answers(source, [item(image=image)], 'masks')[0][1].mask.all()


def test_later_sources_are_asked_where_an_earlier_one_fails():
    good, bad = item(), item(((12, 12, 28, 28), (28, 12, 32, 28)))  # nothing in the second
    first, second, third = Network('a', Bright()), Network('b', Bright(), ready=False), Network('c', Bright())
    source = FallbackSource([first, second, third], RULE)
    found = answers(source, [good, bad, good], 'masks')
    # three times each: with the boxes as they are, and moved; what waits for a task is not known to pass
    assert (first.asked, second.asked, third.asked) == ([3] * 3, [1] * 3, [1] * 3)
    assert [len(masks) for masks in found] == [2, 2, 2]


def test_fall_back_of_sources_without_a_network_stops_early():
    class Never(ObjectSource):
        name = 'never'

        def object_mask(self, item, k):
            raise AssertionError('asked')

    answers(FallbackSource([Bright(), Never()], RULE), [item()], 'masks')


def test_built_by_text():
    source = build_label_source('box|grabcut+box_crf|vote:box+grabcut+box_crf')
    assert type(source) is FallbackSource
    inner = [one.source for one in source.sources]
    assert [type(one) for one in inner[1:]] == [MergedSource, VoteSource]
    assert [one.name for one in inner[2].sources] == ['box', 'grabcut', 'box_crf']
    source = build_label_source('trusted:grabcut', second='box', rule=dict(shift=0.1))
    assert (source.source.name, source.second.name, source.rule.shift) == ('grabcut', 'box', 0.1)
    assert build_label_source('trusted:files:.').source.path.name == FilesSource('.').path.name
    assert build_label_source(source) is source
    description = source.describe()
    assert description['source']['type'] == 'grabcut' and description['rule']['shift'] == 0.1
    with pytest.raises(ValueError, match='at least two'):
        FallbackSource(['box'])


class Fixed(ObjectSource):
    def __init__(self, name, mask, unreliable=None):
        self.name, self.mask, self.unreliable = name, np.array(mask, bool), unreliable

    def object_mask(self, item, k):
        return InstanceMask(self.mask, self.unreliable)


def test_vote_on_masks_by_hand():
    one = item(((0, 0, 4, 1),))
    sources = [Fixed('a', [[1, 1, 0, 0]]), Fixed('b', [[1, 0, 1, 0]]), Fixed('c', [[1, 0, 1, 1]])]
    ((mask,),) = answers(VoteSource(sources), [one], 'masks')
    assert mask.mask.tolist() == [[True, False, True, False]] and not mask.unreliable.any()
    assert mask.score == pytest.approx((1 / 3 + 1 + 2 / 3) / 3)
    ((mask,),) = answers(VoteSource(sources[:2]), [one], 'masks')
    assert mask.mask.tolist() == [[True, True, False, False]]  # ties as in the first
    assert mask.unreliable.tolist() == [[False, True, True, False]]
    ((mask,),) = answers(VoteSource([Fixed('a', [[1, 0, 0, 0]]), *[Fixed('b', [[0, 0, 0, 0]])] * 2]), [one], 'masks')
    assert mask.is_stand_in


def test_vote_on_maps():
    one = item(((0, 0, 4, 1),))
    sources = [Fixed('a', [[1, 1, 0, 0]]), Fixed('b', [[1, 0, 1, 0]])]
    (maps,) = answers(VoteSource(sources), [one], 'maps')
    assert list(maps) == ['vote'] and maps['vote'][0, :4].tolist() == [1, 255, 255, 0]
    (maps,) = answers(VoteSource(sources, undecided='first'), [one], 'maps')
    assert maps['vote'][0, :4].tolist() == [1, 1, 0, 0]
    assert maps['vote_sure'][0, :4].tolist() == [1, 255, 255, 0]
    with pytest.raises(ValueError, match="undecided must be one of ignore, first, got 'no'"):
        VoteSource(sources, undecided='no')
    assert VoteSource(sources).describe()['undecided'] == 'ignore'

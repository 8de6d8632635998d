"""Sources work on smaller copies of large images, and their labels are those of the images."""

import json

import numpy as np
import pytest

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import (
    LabelItem,
    LabelItems,
    LabelSource,
    MaskSink,
    MemorySink,
    StoreSink,
    answers,
    build_label_source,
    make_labels,
    reliable_label,
    runner,
)
from bana_mm.labels.sources.base import WORKING_PIXELS
from bana_mm.structures import InstanceMask, LabelStore, paint_masks
from bana_mm.utils.run_options import RunOptions

CLASSES = ('ring', 'triangle')
PIXELS = 1500  # of images with several thousand
CLASSIFIER = dict(config='{tiny}/bap.py', checkpoint='{tiny}/bap.pth')
GRABCUT = dict(type='grabcut', iterations=1)
SOURCES = {
    'grabcut': GRABCUT,
    'box_crf': dict(type='box_crf', iterations=2),
    'classifier': dict(type='classifier', **CLASSIFIER),
    'one for all': [dict(type='bana_crf', **CLASSIFIER), dict(type='bana_ret', **CLASSIFIER)],
    'each its own': [dict(type='bana_crf', **CLASSIFIER), 'box', GRABCUT],
    'vote': dict(type='vote', sources=[GRABCUT, 'box', 'box']),
    'trusted': dict(type='trusted', source=GRABCUT, second='box'),
    'trusted with a network': dict(type='trusted', source=dict(type='bana_crf', **CLASSIFIER)),
    'fallback': dict(type='fallback', sources=[GRABCUT, dict(type='bana_crf', **CLASSIFIER)]),
}


@pytest.fixture(scope='module')
def items(tmp_path_factory):
    root = make_tiny_voc(tmp_path_factory.mktemp('voc'))
    annotation = root / 'Annotations/val_00000.xml'
    annotation.write_text(annotation.read_text().replace('<difficult>0', '<difficult>1', 1))
    found = LabelItems(
        VOCBoxDataset(
            'ImageSets/Segmentation/val.txt', data_root=str(root), metainfo=dict(classes=CLASSES), test_mode=True
        )
    )
    assert min(np.prod(item.layout.size) for item in found) > PIXELS
    return found


def build(name, tiny, pixels=PIXELS):
    config = json.loads(json.dumps(SOURCES[name]).replace('{tiny}', str(tiny)))
    return build_label_source(config, working_pixels=pixels)


@pytest.mark.parametrize('name', SOURCES)
def test_every_source(name, items, tiny, tmp_path):
    """Stored and online, as maps and as masks: of the image's size, in the boxes, no box without a label."""
    source, workers = build(name, tiny), RunOptions(batch_size=2)
    store, masks = LabelStore(tmp_path / 'maps', source.map_names), MemorySink(len(items), 'masks')
    make_labels(source, items, StoreSink(store, items.img_ids), workers)
    make_labels(source, items, masks, workers)
    make_labels(source, items, MaskSink(tmp_path / 'masks.json', items))
    assert store.meta['working_pixels'] == PIXELS
    assert json.loads((tmp_path / 'masks.json').read_text())['pseudo_masks']['working_pixels'] == PIXELS
    for index, item in enumerate(items):
        (maps,) = answers(source, [item], 'maps')
        for map_name in source.map_names:
            label = store.read(map_name, items.img_ids[index], item.layout.size)
            assert (label == maps[map_name]).all()
            inside = [np.zeros(item.layout.size, bool) for _ in range(3)]
            for (x1, y1, x2, y2), box_class in zip(item.layout.boxes.tolist(), item.layout.box_classes):
                inside[box_class][y1:y2, x1:x2] = True
            for box_class in (1, 2):
                assert not (label == box_class)[~inside[box_class]].any()
            unknown = item.layout.unknown().numpy()
            assert (label[unknown] == 255).all() and not label[~(inside[1] | inside[2] | unknown)].any()
        for one, (x1, y1, x2, y2) in zip(masks.answers[index], item.layout.boxes.tolist(), strict=True):
            assert one.mask.shape == one.unreliable.shape == (y2 - y1, x2 - x1) and one.mask.any()


class Seen(LabelSource):
    """Whole boxes, and the sizes of the images that it was asked for."""

    name = 'seen'

    def __init__(self):
        self._sizes = []

    def masks(self, item):
        assert item.image.shape[:2] == item.layout.size
        self._sizes.append(item.layout.size)
        return [InstanceMask(np.ones((y2 - y1, x2 - x1), bool)) for x1, y1, x2, y2 in item.layout.boxes.tolist()]

    def label_maps(self, item):
        return {self.name: paint_masks(item.layout, [one.mask for one in self.masks(item)])}


def image_of(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return LabelItem.from_array(image, np.array([[3.0, 5, width - 7, height - 2]]), [1])


def test_only_larger_images_are_made_smaller():
    source = Seen()
    assert source.working_pixels == WORKING_PIXELS
    source.work_at(1200)
    for size, seen in [((30, 40), (30, 40)), ((30, 41), (29, 40)), ((120, 160), (30, 40)), ((2, 40000), (1, 4898))]:
        (maps,) = answers(source, [image_of(*size)], 'maps')
        assert source._sizes.pop() == seen and maps['seen'].shape == size
    source.work_at(None)
    answers(source, [image_of(120, 160)], 'maps')
    assert source._sizes == [(120, 160)]


def test_sources_that_are_exact_see_every_image_as_it_is():
    item = image_of(120, 160)
    expected = np.zeros((120, 160), np.uint8)
    expected[5:118, 3:153] = 1
    source = build_label_source('box', working_pixels=100)
    assert source.working_pixels is None and (reliable_label(source, item)[0] == expected).all()


def test_one_number_for_sources_of_sources():
    source = build_label_source('trusted:grabcut', working_pixels=500)
    assert source.working_pixels == 500 and source.source.working_pixels == 500
    source = build_label_source('grabcut+box_crf')
    assert source.working_pixels == WORKING_PIXELS and source.working_sizes() == [WORKING_PIXELS] * 2
    source.sources[0].work_at(70)
    assert source.working_pixels is None and source.working_sizes() == [70, WORKING_PIXELS]
    for wrong in (0, 1.5, True, '5'):
        with pytest.raises(ValueError, match='working_pixels must be None or an int of at least 1'):
            source.work_at(wrong)


def test_the_record_tells_where_it_makes_a_difference(items, tmp_path):
    """Labels of small images go on whatever it is, and so do those that were made before there was such a number."""

    def make(source):
        make_labels(source, items, StoreSink(LabelStore(tmp_path, source.map_names), items.img_ids))
        return LabelStore(tmp_path, source.map_names).meta

    grabcut = build_label_source(GRABCUT)
    plain = make(grabcut)
    assert 'working_pixels' not in plain
    grabcut.work_at(None)
    assert make(grabcut) == plain
    grabcut.work_at(items.most_pixels)
    assert make(grabcut) == plain
    grabcut.work_at(items.most_pixels - 1)
    with pytest.raises(ValueError, match="working_pixels = 'nothing', this run has"):
        make(grabcut)


@pytest.mark.parametrize(
    ('name', 'whole', 'number'), [('classifier', False, 1), ('one for all', False, 1), ('each its own', True, 1)]
)
def test_what_is_read(items, tiny, name, whole, number):
    """From a reading process comes what sources look at, and no large image where they don't."""
    item = items[0]
    pixels, copies = runner._pixels(item, build(name, tiny).sizes_seen())
    assert (pixels is not None) == whole and len(copies) == number
    size = item.at_working_size(PIXELS).layout.size
    assert copies[size].shape == (*size, 3)
    pixels, copies = runner._pixels(items[1], build(name, tiny, None).sizes_seen())
    assert pixels.shape[:2] == items[1].layout.size and not copies

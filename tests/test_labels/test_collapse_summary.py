"""A run of label generation says which classes got whole boxes, or nothing."""

import pytest

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.synthetic_images import SYNTHETIC_CLASSES
from bana_mm.labels import LabelItems, LabelRun, MemorySink, ObjectSource, build_label_source, make_labels
from bana_mm.structures import InstanceMask
from bana_mm.structures.collapse import CollapseCounts


@pytest.fixture(scope='module')
def items(tmp_path_factory):
    root = make_synthetic_voc(tmp_path_factory.mktemp('voc') / 'voc', num_train=16, num_val=1, image_size=(48, 64))
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/train_aug.txt',
        data_root=str(root),
        metainfo=dict(classes=SYNTHETIC_CLASSES),
        test_mode=True,
    )
    return LabelItems(dataset)


class Nothing(ObjectSource):
    name = 'nothing'

    def object_mask(self, item, k):
        x1, y1, x2, y2 = item.layout.boxes[k].tolist()
        return InstanceMask.stand_in((y2 - y1, x2 - x1))


def counted(items):
    """Boxes by class that show at least 64 pixels."""
    counts = CollapseCounts(len(items.classes))
    for item in items:
        masks = [InstanceMask.stand_in((y2 - y1, x2 - x1)) for x1, y1, x2, y2 in item.layout.boxes.tolist()]
        counts.add_masks(item.layout, masks)
    return counts.counts[:, 0]


@pytest.mark.parametrize('kind', ['maps', 'masks'])
def test_whole_boxes(items, kind):
    run = make_labels(build_label_source('box'), items, MemorySink(len(items), kind))
    boxes = counted(items)
    frequent = {name: number for name, number in zip(items.classes, boxes[1:]) if number >= 10}
    assert frequent and len(run.warnings) == len(frequent)
    for line, (name, number) in zip(run.warnings, frequent.items()):
        assert line.startswith(f'{name}: {number} of {number} masks are whole rectangles; they tell no more')
        assert f'\nwarning: {line}' in str(run)


def test_nothing_found(items):
    run = make_labels(Nothing(), items, MemorySink(len(items), 'masks'))
    assert run.warnings and all(' masks are empty; nothing was found in their boxes' in line for line in run.warnings)


def test_runs_of_several_ranks_are_added_up():
    first, second = CollapseCounts(1), CollapseCounts(1)
    for _ in range(6):
        first.add(1, whole=True)
        second.add(1, empty=True)
    second.add(1, whole=True)
    runs = [LabelRun(1, 1.0, 0.0, 0, classes=('cat',), collapse=one) for one in (first, second)]
    assert runs[0].warnings == [] == LabelRun(1, 1.0, 0.0, 0).warnings
    total = LabelRun.total(runs, 0)
    assert total.collapse.counts[1].tolist() == [13, 7, 6]
    assert total.warnings[0].startswith('cat: 7 of 13 masks are whole rectangles')
    assert LabelRun.total([LabelRun(1, 1.0, 0.0, 0)], 0).collapse is None

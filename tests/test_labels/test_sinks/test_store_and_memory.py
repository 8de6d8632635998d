import numpy as np
import pytest

from bana_mm.labels import LabelItem, MemorySink, StoreSink
from bana_mm.structures import InstanceMask, LabelStore

LABEL = np.array([[0, 1], [2, 255]], np.uint8)
ITEM = LabelItem.from_array(np.zeros((2, 2, 3), np.uint8), [], [])


def test_memory():
    sink = MemorySink(3)
    assert (sink.kind, sink.where, sink.describe()) == ('maps', 'memory', {})
    sink.begin({})
    with sink.writer(0) as write:
        write(1, ITEM, dict(box=LABEL))
    assert sink.missing() == [0, 2] and sink.answers[1]['box'] is LABEL and not sink.is_done({})
    sink.begin({})
    assert sink.missing() == [0, 2]
    sink.begin({}, overwrite=True)
    assert sink.missing() == [0, 1, 2]
    masks = MemorySink(1, 'masks')
    one = InstanceMask(np.ones((1, 1), bool))
    with masks.writer(0) as write:
        write(0, ITEM, [one])
    assert masks.answers == {0: [one]} and masks.missing() == []


def test_store(tmp_path):
    store = LabelStore(tmp_path, ['box', 'grabcut'])
    sink = StoreSink(store, ['a', 'b', 'sub/c'])
    record = dict(source=dict(type='merged'), classes=['cat'])
    sink.begin(record)
    assert sink.kind == 'maps' and sink.where == str(tmp_path) and sink.missing() == [0, 1, 2]
    with sink.writer(1) as write:
        write(2, ITEM, dict(box=LABEL, grabcut=LABEL * 0))
    assert sink.missing() == [0, 1] and np.array_equal(store.read('box', 'sub/c'), LABEL)
    assert LabelStore(tmp_path).maps == ('box', 'grabcut')  # stored with the record
    with pytest.raises(ValueError, match=r"its labels were made with classes = \['cat'\], this run has \['cow'\]"):
        sink.begin(dict(record, classes=['cow']))
    sink.begin(dict(record, classes=['cow']), overwrite=True)
    assert sink.missing() == [0, 1, 2]

import json

import numpy as np
import pytest

from bana_mm.structures import LabelStore

META = dict(recipe=dict(threshold=0.99, crf=dict(bilateral=(4, 55, 3))), checkpoint=dict(name='a.pth', sha256='0123'))
LABEL = np.array([[0, 1], [2, 255]], dtype=np.uint8)


def test_write_read_has_missing(tmp_path):
    store = LabelStore(tmp_path / 'labels')
    assert not store.has('a')
    store.begin(META)
    store.write('a', Y_crf=LABEL)
    assert not store.has('a')  # one map of two
    store.write('a', Y_ret=LABEL * 0)
    assert store.has('a')
    assert store.missing(['b', 'a', 'c']) == ['b', 'c']
    assert store.path('Y_ret', 'a') == tmp_path / 'labels/Y_ret/a.png'
    assert np.array_equal(store.read('Y_crf', 'a', size=(2, 2), num_classes=2), LABEL)
    assert store.read('Y_ret', 'a').max() == 0


def test_ids_with_folders(tmp_path):
    store = LabelStore(tmp_path)
    store.begin(META)
    store.write('train2017/000001', Y_crf=LABEL, Y_ret=LABEL)
    assert store.has('train2017/000001')
    store.begin(META, overwrite=True)
    assert not store.has('train2017/000001')


def test_read_passes_the_checks_on(tmp_path):
    store = LabelStore(tmp_path)
    store.begin(META)
    store.write('a', Y_crf=LABEL)
    with pytest.raises(ValueError, match='Y_crf/a.png.*class 2; allowed are 0..1'):
        store.read('Y_crf', 'a', num_classes=1)
    with pytest.raises(FileNotFoundError, match='Y_ret/a.png'):
        store.read('Y_ret', 'a')
    with pytest.raises(ValueError, match="no map is called 'Y_cfr'; this store holds Y_crf, Y_ret"):
        store.write('a', Y_cfr=LABEL)


def test_goes_on_with_the_same_settings(tmp_path):
    LabelStore(tmp_path).begin(META)
    LabelStore(tmp_path).write('a', Y_crf=LABEL, Y_ret=LABEL)
    store = LabelStore(tmp_path)
    store.begin(META)  # the tuple in it comes back from JSON as a list
    assert store.has('a')
    assert store.meta['recipe']['crf']['bilateral'] == [4, 55, 3]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(META, recipe=dict(threshold=0.5, crf=META['recipe']['crf'])),
            r'recipe\.threshold = 0\.99, this run has 0\.5',
        ),
        (
            dict(META, recipe=dict(threshold=0.99, crf=dict(bilateral=(4, 50, 3)))),
            r'recipe\.crf\.bilateral = \[4, 55, 3\]',
        ),
        (dict(META, checkpoint=dict(name='a.pth', sha256='4567')), r"checkpoint\.sha256 = '0123', this run has '4567'"),
        (dict(META, classes=['cat']), r"classes = 'nothing', this run has \['cat'\]"),
    ],
)
def test_other_settings_are_refused_until_overwritten(tmp_path, change, message):
    store = LabelStore(tmp_path)
    store.begin(META)
    store.write('a', Y_crf=LABEL, Y_ret=LABEL)
    with pytest.raises(ValueError, match=message):
        store.begin(change)
    assert store.has('a')
    store.begin(change, overwrite=True)
    assert not store.has('a')
    assert store.meta == json.loads(json.dumps(change))


def test_labels_of_unknown_origin_are_refused(tmp_path):
    store = LabelStore(tmp_path)
    store.write('a', Y_crf=LABEL)
    with pytest.raises(ValueError, match='holds 1 label maps but no meta.json'):
        store.begin(META)


def test_leftovers_of_a_killed_run_go(tmp_path):
    store = LabelStore(tmp_path)
    store.begin(META)
    leftover = tmp_path / 'Y_crf/.a.png.123.part'
    leftover.write_bytes(b'half')
    store.begin(META)
    assert not leftover.exists()


def test_broken_meta_names_the_file(tmp_path):
    (tmp_path / 'meta.json').write_text('{')
    with pytest.raises(ValueError, match='meta.json: not valid JSON'):
        LabelStore(tmp_path).begin(META)

import hashlib
import json

import pytest

from bana_mm.utils.record import as_stored, check_record, differences, file_digest, keep_record, read_json


def test_digest_does_not_depend_on_the_blocks(tmp_path):
    path = tmp_path / 'weights.pth'
    for content in (b'', b'a', b'weights' * 300_000):  # the last is larger than a block
        path.write_bytes(content)
        assert file_digest(path) == hashlib.sha256(content).hexdigest()[:16]


def test_json_that_is_not_valid_is_named(tmp_path):
    path = tmp_path / 'scores.json'
    path.write_text('{"sum": "\u2211"}', encoding='utf-8')
    assert read_json(path) == dict(sum='\u2211')
    path.write_text('{"sum": ')
    with pytest.raises(ValueError, match=r'scores\.json: not valid JSON \(Expecting value'):
        read_json(path)


def test_check_says_what_differs_and_what_to_do():
    stored = as_stored(dict(crf=dict(bilateral=(4, 55, 3))))
    assert stored == dict(crf=dict(bilateral=[4, 55, 3]))
    check_record('labels', stored, dict(crf=dict(bilateral=(4, 55, 3))))
    with pytest.raises(
        ValueError, match=r'^labels: its labels were made with crf\.bilateral = \[4, 55, 3\], this run has 5; go away$'
    ):
        check_record('labels', stored, dict(crf=dict(bilateral=5)), 'its labels were made', 'go away')


def test_networks_are_compared_only_with_records_that_name_them():
    check_record('labels', dict(ids=1), dict(ids=1, networks=dict(a=1)))
    for stored, new in ((dict(networks=dict(a=2)), dict(networks=dict(a=1))), (dict(networks=dict(a=2)), {})):
        with pytest.raises(ValueError, match='made with networks'):
            check_record('labels', stored, new)
    with pytest.raises(ValueError, match='made with ids = 1, this run has 2'):
        check_record('labels', dict(ids=1), dict(ids=2, networks=dict(a=1)))


def test_record_is_written_once_and_compared(tmp_path):
    path = tmp_path / 'record.json'
    content = dict(ids=('a', 'b'), recipe=dict(crf=dict(iterations=10)))
    keep_record(path, content)
    keep_record(path, content)  # a tuple is what JSON makes of it
    assert json.loads(path.read_text()) == dict(ids=['a', 'b'], recipe=dict(crf=dict(iterations=10)))
    with pytest.raises(ValueError, match=r'record\.json: .* made with recipe\.crf\.iterations = 10, this run has 5'):
        keep_record(path, dict(content, recipe=dict(crf=dict(iterations=5))))
    path.write_text('{"ids": ')
    with pytest.raises(ValueError, match=r'record\.json: not valid JSON'):
        keep_record(path, content)


def test_differences():
    old, new = dict(a=1, b=dict(c=2, d=3), e=dict(f=4)), dict(a=1, b=dict(c=5, d=3), e=None, g=6)
    assert list(differences(old, new)) == [('b.c', 2, 5), ('e', dict(f=4), None), ('g', 'nothing', 6)]
    assert list(differences(old, old)) == []


def test_a_record_from_before_masks_were_counted_has_none():
    check_record('labels', dict(ids=1), dict(ids=1, masks_used=0))
    check_record('labels', dict(ids=1, masks_used=3), dict(ids=1, masks_used=3))
    for old in (dict(ids=1), dict(ids=1, masks_used=0)):
        with pytest.raises(ValueError, match='masks_used = 0, this run has 3'):
            check_record('labels', old, dict(ids=1, masks_used=3))

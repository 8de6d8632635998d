import json

import pytest

from bana_mm.utils.record import differences, keep_record


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

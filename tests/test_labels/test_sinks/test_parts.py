import pytest

from bana_mm.labels.sinks.parts import LabelParts

RECORD = dict(recipe=dict(margin=0.2), classes=['cat'])


@pytest.fixture
def parts(tmp_path):
    parts = LabelParts(tmp_path / 'masks.json.parts')
    parts.begin(RECORD)
    return parts


def write(parts, rank, *images):
    with parts.writer(rank) as writer:
        for image_id, labels in images:
            writer.write(image_id, labels)


def test_a_torn_last_line_is_dropped_and_the_rest_goes_on(parts):
    write(parts, 0, (7, []), (9, [dict(id=3, area=1)]))
    path = parts.root / '0.jsonl'
    with open(path, 'a') as file:
        file.write('{"image_id": 11, "labels": [{"id": 4, "ar')
    again = LabelParts(parts.root)
    again.begin(RECORD)
    assert [again.has(number) for number in (7, 9, 11)] == [True, True, False]
    assert path.read_text().endswith('}]}\n')
    write(again, 0, (11, [dict(id=4)]))
    write(again, 3, (2, []))  # more ranks than before
    assert again.missing([2, 7, 9, 11, 13]) == [13]
    index = again.index()
    assert again.labels(index[11]) == {4: dict(id=4)}
    assert again.labels(index[9]) == {3: dict(id=3, area=1)}


def test_a_file_of_nothing_but_a_torn_line(parts):
    (parts.root / '0.jsonl').write_text('x' * 100000)
    again = LabelParts(parts.root)
    again.begin(RECORD)
    assert (parts.root / '0.jsonl').read_text() == ''


def test_broken_line_in_the_middle_is_named(parts):
    (parts.root / '2.jsonl').write_text('{"image_id": 1, "labels": []}\n{"image_id"\n{"image_id": 2, "labels": []}\n')
    with pytest.raises(ValueError, match=r'2\.jsonl: line 2 is not what this tool writes'):
        parts.index()


def test_other_inputs_are_refused_unless_overwritten(parts):
    write(parts, 0, (7, []))
    with pytest.raises(ValueError, match=r'recipe\.margin = 0\.2, this run has 0\.3'):
        LabelParts(parts.root).begin(dict(RECORD, recipe=dict(margin=0.3)))
    again = LabelParts(parts.root)
    again.begin(dict(RECORD, recipe=dict(margin=0.3)), overwrite=True)
    assert not again.has(7)
    again.remove()
    assert not parts.root.exists()

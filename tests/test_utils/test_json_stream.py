import io
import json

import pytest

from bana_mm.utils.json_stream import JSONReader, JSONWriter

CONTENT = {
    'number': 12,
    'list': [1, 22, -3.5e2, {'x': [1, {'y': 2}]}, 'é"\\]', None, True, [[]]],
    'empty': [],
    'object': {},
    'last': 1234,
}


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 1000])
@pytest.mark.parametrize('layout', [dict(), dict(indent=2), dict(separators=(',', ':'), ensure_ascii=False)])
def test_reads_what_was_written_at_any_chunk_size(tmp_path, chunk, layout):
    (tmp_path / 'a.json').write_text(json.dumps(CONTENT, **layout) + '\n', encoding='utf-8')
    with JSONReader(tmp_path / 'a.json', chunk) as reader:
        found = {name: list(reader.elements()) if reader.is_array() else reader.value() for name in reader.names()}
    assert found == CONTENT
    with JSONReader(tmp_path / 'a.json', chunk) as reader:  # fields that are not asked for
        assert [reader.value() if name == 'last' else name for name in reader.names()] == [*list(CONTENT)[:-1], 1234]


def test_holds_one_element_at_a_time(tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(dict(a=['x' * 90] * 1000)))
    with JSONReader(tmp_path / 'a.json', chunk=100) as reader:
        for _ in reader.names():
            for _ in reader.elements():
                assert len(reader._text) < 500


@pytest.mark.parametrize(
    'text', ['', '[1]', '{"a": 1', '{"a" 1}', '{"a": [1, 2}', '{"a": 1} 2', '{1: 2}', '{"a": nul}', '{"a": [1 2]}']
)
def test_broken_files_are_named(tmp_path, text):
    (tmp_path / 'bad.json').write_text(text)
    with (
        pytest.raises(ValueError, match=r'bad\.json: not a valid JSON object \('),
        JSONReader(tmp_path / 'bad.json') as reader,
    ):
        list(reader.names())


def test_empty_object(tmp_path):
    (tmp_path / 'a.json').write_text(' {\n} ')
    with JSONReader(tmp_path / 'a.json') as reader:
        assert list(reader.names()) == []


def test_writer_makes_the_same_content():
    file = io.StringIO()
    writer = JSONWriter(file)
    for name, value in CONTENT.items():
        if isinstance(value, list):
            writer.elements(name, iter(value))
        else:
            writer.value(name, value)
    writer.close()
    assert json.loads(file.getvalue()) == CONTENT
    assert list(json.loads(file.getvalue())) == list(CONTENT)

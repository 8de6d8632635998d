"""How tools begin and end."""

import pytest

from bana_mm.utils.command_line import duration, say_done, tool_name, tool_parser


def test_help_has_the_examples_as_they_are_typed(tmp_path, monkeypatch):
    parser = tool_parser('/home/tools/x/tools/analysis/curves.py', 'Draw.\n\nTwo lines,\nkept.', ['A.json', '--all'])
    call = 'python -m bana_mm analysis/curves'
    monkeypatch.chdir(tmp_path)
    assert parser.format_help().endswith(f'examples:\n  {call} A.json\n  {call} --all\n')
    assert 'Two lines,\nkept.' in parser.format_help()
    (tmp_path / 'tools/analysis').mkdir(parents=True)
    (tmp_path / 'tools/analysis/curves.py').touch()
    parser = tool_parser('tools/analysis/curves.py', 'Draw.', ['A.json'])
    assert parser.format_help().endswith('  python tools/analysis/curves.py A.json\n')
    with pytest.raises(ValueError, match='has an example'):
        tool_parser('tools/analysis/curves.py', 'Draw.', [])


def test_names():
    assert tool_name('/a/tools/b/tools/train.py') == 'train.py' and tool_name('/a/tools/b/c.py') == 'b/c.py'
    with pytest.raises(ValueError, match='below a folder tools'):
        tool_name('/a/b/c.py')


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0.04, '0.0 s'),
        (9.9, '9.9 s'),
        (9.96, '10 s'),
        (59.4, '59 s'),
        (59.6, '1 min 0 s'),
        (200, '3 min 20 s'),
        (3599.6, '1 h 0 min'),
        (7530, '2 h 6 min'),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_last_line(capsys, monkeypatch):
    print('a result')
    say_done('3 label maps', 'LABELS', 'python tools/x.py')
    say_done('nothing')
    seen = capsys.readouterr()
    assert seen.out == 'a result\n'
    first, second = (line.partition(': ')[2] for line in seen.err.splitlines())
    assert first == '3 label maps -> LABELS; next: python tools/x.py' and second == 'nothing'
    monkeypatch.setenv('SLURM_PROCID', '1')
    say_done('3 label maps')
    assert capsys.readouterr().err == ''

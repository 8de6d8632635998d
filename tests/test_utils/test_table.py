from bana_mm.utils.table import format_table, markdown_table


def test_columns_are_aligned():
    assert format_table(['', 'Y_crf', 'b'], [['cat', '7.50', '100.0'], ['background', '-', '3']]).splitlines() == [
        '              Y_crf      b',
        '----------  -------  -----',
        'cat            7.50  100.0',
        'background        -      3',
    ]


def test_no_rows():
    assert format_table(['a', 'bc'], []).splitlines() == ['a    bc', '---  ----']


def test_wide_tables_are_not_cut():
    header = [f'a long title, number {index}' for index in range(40)]
    assert all(name in format_table(header, [['1'] * 40]) for name in header)


def test_markdown():
    assert markdown_table(['', 'a'], [['x', '1'], ['', '']]).splitlines() == [
        '| | a |',
        '| --- | --- |',
        '| x | 1 |',
        '| | |',
    ]

from bana_mm.utils.table import format_table


def test_columns_are_aligned():
    assert format_table(['', 'Y_crf', 'b'], [['cat', '7.5', '100.0'], ['background', '-', '3']]).splitlines() == [
        '            Y_crf      b',
        '------------------------',
        'cat           7.5  100.0',
        'background      -      3',
    ]


def test_no_rows():
    assert format_table(['a', 'bc'], []) == 'a  bc\n-----'

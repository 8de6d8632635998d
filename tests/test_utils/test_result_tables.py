import pytest

from bana_mm.utils.result_tables import BEGIN, END, SIX, metric_name, read_experiments, read_yaml, render_tables, splice

EXPERIMENTS = dict(
    Datasets=dict(val=10, part=3),
    Tables=[
        dict(
            Title='T',
            Note='N.',
            Subset=dict(Dataset='part', Preset='cpu'),
            Figures=[
                dict(Name='one', Dataset='val', Metric='mIoU', Score='mIoU'),
                dict(Name='two', Dataset='val', Metric='AP', Score='ap', Scale=100),
            ],
            Rows=[
                dict(Method='A', Config='a', Paper=[1, None], Reproduction=[None, 2.25]),
                dict(Method='B', Config='a', Run='`x`', Suffix='box'),
            ],
        )
    ],
)
METAFILE = dict(
    Models=[
        dict(
            Name='a',
            Config='configs/x/a.py',
            Results=[
                dict(Dataset='val', Metrics={'mIoU': 5, 'AP': 6.06, 'mIoU box': 7}),
                dict(Dataset='part', Metrics={'mIoU': 3.14, f'mIoU{SIX}': 4}),
            ],
        ),
        dict(Name='b', Config='configs/x/b.py'),
    ]
)


def test_tables():
    assert render_tables(EXPERIMENTS, METAFILE, dict(b='another')).splitlines() == [
        '### T',
        '',
        'Figures: one / two. N.',
        '',
        '| | config | paper | [Re] | ours | ours, animals |',
        '| --- | --- | --- | --- | --- | --- |',
        '| A | [a](a.py) | 1.0 / – | – / 2.2 | 5.0 / 6.1 | 4.0 / 3.1 |',
        '| B | `x` | | | 7.0 / – | |',
        '',
        '### Further configs',
        '',
        '| config | |',
        '| --- | --- |',
        '| [b](b.py) | another |',
    ]


def test_siblings(tmp_path):
    """Another recipe of each row at the table's end, and a column that names them."""
    (tmp_path / 'experiments.yml').write_text(
        'Tables: [{Title: T, Sibling: ours, Figures: [{Name: n, Dataset: val, Metric: mIoU, Score: mIoU}], Rows: ['
        '{Method: A, Config: a, Paper: [1], Suffix: box, Recipe: {recipe: published, background: cam}}, '
        '{Method: B, Config: a, Paper: [2], Recipe: {recipe: published}, Sibling: false}, {Method: C, Config: a}]}]'
    )
    experiments = read_experiments(tmp_path / 'experiments.yml', ['a'])
    rows = experiments['Tables'][0]['Rows']
    assert [row['Method'] for row in rows] == ['A', 'B', 'C', 'A']
    assert rows[3] == dict(Method='A', Config='a', Suffix='box recipe ours', Recipe=dict(recipe='ours'))
    metafile = dict(
        Models=[
            dict(
                Name='a',
                Config='x/a.py',
                Results=[dict(Dataset='val', Metrics={'mIoU box': 5, 'mIoU box recipe ours': 6, 'mIoU': 7})],
            )
        ]
    )
    assert render_tables(experiments, metafile, {}).splitlines()[4:] == [
        '| | config | recipe | paper | ours |',  # nobody has reproduced it
        '| --- | --- | --- | --- | --- |',
        '| A | [a](a.py) | published, background=cam | 1.0 | 5.0 |',
        '| B | [a](a.py) | published | 2.0 | 7.0 |',
        '| C | [a](a.py) | | | 7.0 |',
        '| A | [a](a.py) | ours | | 6.0 |',
    ]


def test_metric_name():
    assert metric_name(dict(Metric='mIoU'), {}) == 'mIoU'
    assert metric_name(dict(Metric='mIoU'), dict(Suffix='Y_crf')) == 'mIoU Y_crf'


def test_splice():
    text = f'before\n{BEGIN}\nold\n{END}\nafter\n'
    once = splice(text, '| new |', 'README.md')
    assert once == f'before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n'
    assert splice(once, '| new |', 'README.md') == once
    for bad in ('none', f'{END}\n{BEGIN}', text + text):
        with pytest.raises(ValueError, match='README.md: must hold the lines'):
            splice(bad, '', 'README.md')


def test_bad_files(tmp_path):
    file = tmp_path / 'experiments.yml'
    file.write_text('a: [1')
    with pytest.raises(ValueError, match='experiments.yml: not valid YAML'):
        read_yaml(file)
    file.write_text('- 1')
    with pytest.raises(ValueError, match='experiments.yml: must hold a mapping'):
        read_yaml(file)
    table = 'Tables: [{Title: T, Figures: [{}, {}], Rows: [{Method: A, Config: a, Paper: [1]}]}]'
    file.write_text(table)
    with pytest.raises(ValueError, match="T: row 'A': there is no config 'a'"):
        read_experiments(file, ['b'])
    with pytest.raises(ValueError, match="T: row 'A': Paper has 1 figures, its table 2"):
        read_experiments(file, ['a'])
    file.write_text(table.replace('[1]', '[1, null]'))
    assert read_experiments(file, ['a'])['Tables'][0]['Rows'][0]['Paper'] == [1, None]

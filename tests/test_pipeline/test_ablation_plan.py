import math
import re
from pathlib import Path

import pytest

from bana_mm.pipeline.ablation_plan import Table, Training, compare, comparison_table, make_schedule, read_plan
from bana_mm.utils.result_tables import markdown_table

PLAN = """
classifiers: {a: {config: a.py}}
labels:
  good: {title: good labels, classifier: a, recipe: {}}
  bad: {title: bad labels, of: good, change: grow, amount: 2}
trainings:
  ce: {title: cross entropy, config: ce.py}
  nal: {config: nal.py}
tables:
  - {title: maps, kind: labels, seeds: 2, rows: {good: , bad: good}}
  - {title: losses, kind: trainings, seeds: 3, rows: {nal@bad: ce@bad, ce@good*3: ce@good}}
"""


@pytest.fixture
def plan(tmp_path: Path):
    (tmp_path / 'plan.yml').write_text(PLAN)
    return read_plan(tmp_path / 'plan.yml')


def test_trainings_by_name():
    assert Training.parse('nal@bana_mm*3') == Training('nal', 'bana_mm', 3.0)
    assert Training.parse('box') == Training('box')
    for key in ('nal@bana_mm*3', 'ce@a-b', 'box', 'nal@x*0.5', 'masks*2'):
        assert Training.parse(key).key == key
    for text in ('nal@', 'nal*', 'nal*0', 'a b', '@x', 'nal@x*3@y'):
        with pytest.raises(ValueError, match='a training is given as'):
            Training.parse(text)


def test_rows_and_their_titles(plan):
    maps, losses = plan.tables
    assert losses.keys() == ['nal@bad', 'ce@bad', 'ce@good*3', 'ce@good']
    assert (maps.figure, losses.figure) == ('Y_crf', 'mIoU')
    titles = [plan.row_title(losses, key) for key in losses.keys()]
    assert titles == [
        'nal, bad labels, 1 x iterations',
        'cross entropy, bad labels, 1 x iterations',
        'cross entropy, good labels, 3 x iterations',
        'cross entropy, good labels, 1 x iterations',
    ]
    same = Table('', 'trainings', 1, {'nal@bad': 'ce@bad'}, 'mIoU')
    assert [plan.row_title(same, key) for key in same.keys()] == ['nal', 'cross entropy']


def test_schedule(plan):
    order = make_schedule(plan, plan.tables, range(3))
    data, labels = ('data', ''), [('classifier', 'a'), ('labels', 'good'), ('labels', 'bad')]
    # the rows of a table, and in front of each what it needs and is not there yet
    losses = ['nal@bad', 'ce@bad', 'ce@good*3', 'ce@good']
    assert order == [
        *((0, *item) for item in [data, *labels, *(('training', key) for key in losses)]),
        *((1, *item) for item in [data, *labels, *(('training', key) for key in losses)]),
        *((2, *item) for item in [data, *labels, *(('training', key) for key in losses)]),
    ]
    assert make_schedule(plan, plan.tables[:1], [1, 2]) == [(1, *item) for item in [data, *labels]]


def test_comparison_by_hand(plan):
    figures = {
        'nal@bad': {0: dict(mIoU=71.0), 1: dict(mIoU=84.0), 2: dict(mIoU=60.0)},
        'ce@bad': {0: dict(mIoU=70.0), 1: dict(mIoU=80.0)},
        'ce@good*3': {1: {}},
    }
    first, second = compare(plan, plan.tables[1], figures)
    assert first.figures == {0: 71.0, 1: 84.0, 2: 60.0} and first.differences == {0: 1.0, 1: 4.0}
    assert second.figures == {} == second.differences
    content = first.to_dict()
    # 71, 84 and 60: mean 71.67, squares 0.44 + 152.11 + 136.11, over 2; 1 and 4: mean 2.5, squares 4.5, over 1
    assert content['mean'] == pytest.approx(71.6667, abs=1e-4)
    assert content['deviation'] == pytest.approx(12.0139, abs=1e-4)
    assert content['difference']['mean'] == 2.5 and content['difference']['error'] == pytest.approx(1.5)
    assert second.to_dict()['mean'] is None
    lines = comparison_table([first, second]).splitlines()
    assert re.split('  +', lines[2])[1:6] == ['3', '71.67', '12.01', '+2.50', '1.50']
    assert re.split('  +', lines[3])[1:] == ['0', 'cross entropy, good labels, 1 x iterations']
    cells = comparison_table([first], markdown_table).splitlines()[2].split(' | ')
    assert cells[1:6] == ['3', '71.67', '12.01', '+2.50', '1.50']


def test_one_seed_has_no_spread(plan):
    row = compare(plan, plan.tables[0], {'good': {4: dict(Y_crf=50.0, Y_ret=1.0)}})[0]
    assert row.figures == {4: 50.0} and row.to_dict()['deviation'] is None and 'difference' not in row.to_dict()
    assert 'nan' not in comparison_table([row]) and not math.isnan(row.to_dict()['mean'])


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('nal@bad: ce@bad', 'nal@ugly: ce@bad', "table 'losses', row 'nal@ugly': there are no labels 'ugly'"),
        ('nal@bad: ce@bad', 'nal@bad: mae@bad', "row 'mae@bad': there are no trainings 'mae'"),
        ('bad: good}', 'fine: good}', "row 'fine': there are no labels 'fine'"),
        ('classifier: a', 'classifier: b', "labels 'good' are made from 'b', which is not among the classifiers"),
        ('of: good', 'of: bad', "labels 'bad' change 'bad', which are changed labels themselves"),
    ],
)
def test_what_a_plan_gets_wrong(tmp_path, old, new, message):
    (tmp_path / 'plan.yml').write_text(PLAN.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_plan(tmp_path / 'plan.yml')

from pathlib import Path

import pytest

from bana_mm.report.survey import ImageFigures, MapFolder, Survey


def survey(scores, kinds=('labels', 'prediction')):
    images = [
        ImageFigures({}, name, dict(Y_crf=None if score is None else score / 2, nal=score))
        for name, score in scores.items()
    ]
    maps = [MapFolder('Y_crf', Path('x'), kinds[0]), MapFolder('nal', Path('y'), kinds[1])]
    return Survey(('cat',), 'val', len(images), images, maps)


@pytest.mark.parametrize(
    ('number', 'expected'),
    [
        (3, ['best i', 'median e', 'worst a']),
        (1, ['best i']),
        (2, ['best i', 'worst a']),
        (4, ['best i', 'best h', 'median e', 'worst a']),
        (5, ['best i', 'best h', 'median e', 'worst b', 'worst a']),
        (9, ['best i', 'best h', 'best g', 'median f', 'median e', 'median d', 'worst c', 'worst b', 'worst a']),
        (99, ['best i', 'best h', 'best g', 'median f', 'median e', 'median d', 'worst c', 'worst b', 'worst a']),
        (0, []),
    ],
)
def test_best_median_and_worst(number, expected):
    scores = {name: (0.1 * place) for place, name in enumerate('abcdefghi', start=1)} | {'no objects': None}
    assert [f'{group} {one.img_id}' for group, one in survey(scores).choose(number)] == expected


def test_without_scores_evenly():
    chosen = survey(dict.fromkeys('abcde')).choose(3)
    assert [(group, one.img_id) for group, one in chosen] == [('evenly chosen', name) for name in 'ace']


def test_what_orders_them():
    assert survey(dict(a=0.3)).ranked_by.caption == 'nal'
    assert survey(dict(a=0.3), ('labels', 'labels')).ranked_by.caption == 'Y_crf'
    assert survey(dict(a=None)).ranked_by is None

import csv
import json

import numpy as np
import pytest

from bana_mm.structures import LabelRecipe


def test_recipes_are_evaluated_once_on_maps_made_once(run, work, capsys):
    recipes = [dict(crf=dict(iterations=2)), dict(crf=dict(iterations=2), score='mean', flip=True)]
    arguments = (
        work / 'bap.py',
        work / 'bap.pth',
        '--work-dir',
        work / 'search',
        '--images',
        3,
        '--classes',
        'ring',
        '--workers',
        0,
        '--only',
    )
    run('analysis/search_recipe', *arguments, json.dumps(recipes[:1]))
    maps = sorted(work.glob('search/*/maps/*.npz'))
    assert len(maps) == 3 and all(set(np.load(path).files) == {'attention 1', 'responses 1'} for path in maps)
    capsys.readouterr()
    run('analysis/search_recipe', *arguments, json.dumps(recipes))
    assert all('attention 1 flipped' in np.load(path).files for path in maps)
    made = [path.stat().st_mtime_ns for path in maps]
    run('analysis/search_recipe', *arguments, json.dumps(recipes[::-1]))
    assert [path.stat().st_mtime_ns for path in maps] == made

    (table,) = work.glob('search/*/train_aug_3_0_1.csv')
    with open(table, newline='') as file:
        header, *rows = csv.reader(file)
    assert [LabelRecipe.from_cfg(json.loads(row[0])) for row in rows] == [LabelRecipe(**r) for r in recipes]
    chosen = float(rows[1][header.index('mIoU_chosen')])
    assert chosen == pytest.approx((float(rows[1][3]) + float(rows[1][4])) / 2, abs=1e-3) and chosen > 0
    assert f'chosen classes {chosen:.2f}' in capsys.readouterr().out
    for path in (work / 'voc/SegmentationClassAug').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match='has no mask'):
        run('analysis/search_recipe', *arguments, '[]')

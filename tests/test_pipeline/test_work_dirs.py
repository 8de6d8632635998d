"""Scores are found in work directories, and go to the rows that they are about."""

import json
import os

import pytest

from bana_mm.pipeline.work_dirs import find_scores, match
from bana_mm.structures import LabelRecipe
from bana_mm.utils.result_tables import SIX

VOC, COCO, PART = 'voc val', 'coco val', 'part of voc'
EXPERIMENTS = dict(
    Datasets={VOC: 4, COCO: 2, PART: 3},
    Tables=[
        dict(
            Subset=dict(Dataset=PART, Preset='cpu'),
            Figures=[dict(Dataset=VOC, Metric='mIoU', Score='mIoU')],
            Rows=[
                dict(Config='clf', Labels='Y_crf', Suffix='Y_crf', Recipe=dict(background='attention')),
                dict(Config='clf', Labels='Y_crf', Suffix='cam', Recipe=dict(background='cam')),
                dict(Config='clf', Labels='box', Suffix='box'),
            ],
        ),
        dict(
            Subset=dict(Dataset=PART, Preset='cpu'),
            Figures=[
                dict(Dataset=VOC, Metric='mIoU', Score='mIoU'),
                dict(Dataset=VOC, Metric='all', Score='mIoU_tta_crf'),
                dict(Dataset='server', Metric='mIoU'),
            ],
            Rows=[dict(Config='seg')],
        ),
        dict(Figures=[dict(Dataset=COCO, Metric='AP', Score='coco/segm_mAP', Scale=100)], Rows=[dict(Config='det')]),
    ],
)
AGE = iter(range(1000))


def write(path, content):
    """A JSON file that is newer than those written before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    os.utime(path, (10**9 + next(AGE),) * 2)


def write_test(root, folder, config, scores, ann_file, model='EncoderDecoder', indices=None, applied=None):
    stamp = f'20260101_{next(AGE):06d}'
    write(root / folder / stamp / f'{stamp}.json', scores)
    (root / folder / f'{config}.py').write_text(
        f'model = dict(type={model!r})\napplied = {applied}\n'
        f'test_dataloader = dict(dataset=dict(data_root={str(root)!r}, ann_file={ann_file!r}, indices={indices}))\n'
    )


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'val.txt').write_text('a\nb\nc\nd\n')
    (tmp_path / 'coco.ann').mkdir()
    write(tmp_path / 'coco.ann' / 'val.json', dict(images=[1, 2]))
    return tmp_path


def figures_of(root):
    figures, left_out = match(EXPERIMENTS, find_scores(root))
    return {key: value for key, (value, _) in figures.items()}, left_out


def test_tests(root):
    write_test(root, 'seg/test', 'seg', dict(mIoU=50.0, mIoU_tta_crf=60.0, aAcc=90.0), 'val.txt')
    write_test(root, 'det', 'det', {'coco/segm_mAP': 0.321}, 'coco.ann/val.json')
    assert figures_of(root) == ({('seg', VOC, 'mIoU'): 50.0, ('seg', VOC, 'all'): 60.0, ('det', COCO, 'AP'): 32.1}, [])
    write_test(root, 'seg', 'seg', dict(mIoU=51.0), 'val.txt')  # newer; what it does not measure stays
    assert figures_of(root)[0]['seg', VOC, 'mIoU'] == 51.0 and figures_of(root)[0]['seg', VOC, 'all'] == 60.0


def test_augmented_views_alone_are_no_single_scale(root):
    write_test(root, 'seg', 'seg', dict(mIoU=55.0, mIoU_crf=57.0), 'val.txt', model='bana_mm.LogitTTAModel')
    assert figures_of(root)[0] == {('seg', VOC, 'all'): 57.0}


def test_labels_by_recipe_and_subset(root):
    rows = dict(Y_crf=dict(mIoU=70.0), Y_ret=dict(mIoU=1.0), box=dict(mIoU=60.0))
    for name, images, config, recipe in (
        ('one', 4, 'clf', dict(background='attention', grid_size=1)),
        ('two', 4, 'clf', dict(background='cam')),
    ):
        write(root / name / 'meta.json', dict(config=f'{config}.py', recipe=recipe))
        write(root / name / 'val.json', dict(images=images, rows=rows))
        rows = dict(Y_crf=dict(mIoU=77.0))
    write(root / 'three' / 'meta.json', dict(config='clf_cpu.py', recipe=dict(background='cam')))
    write(
        root / 'three' / 'val.json',
        dict(splits=[dict(images=4, rows={}), dict(images=3, rows=dict(Y_crf=dict(mIoU=20.0, mIoU_chosen=40.0)))]),
    )
    write(root / 'clf' / 'unknown_recipe.json', dict(images=4, rows=dict(Y_crf=dict(mIoU=33.0))))
    figures, left_out = figures_of(root)
    assert figures == {
        ('clf', VOC, 'mIoU Y_crf'): 70.0,
        ('clf', VOC, 'mIoU box'): 60.0,
        ('clf', VOC, 'mIoU cam'): 77.0,
        ('clf', PART, 'mIoU cam'): 20.0,
        ('clf', PART, f'mIoU cam{SIX}'): 40.0,
    }
    assert len(left_out) == 2 and 'one/val.json (Y_ret): no row' in left_out[0]
    assert 'unknown_recipe.json (Y_crf): no row' in left_out[1]


def test_trainings_by_the_recipe_of_their_labels(root):
    rows = [
        dict(Config='seg', Recipe=dict(recipe='paper')),
        dict(Config='seg', Recipe=dict(recipe='bana_mm'), Suffix='x'),
    ]
    experiments = dict(
        Datasets={VOC: 4}, Tables=[dict(Figures=[dict(Dataset=VOC, Metric='mIoU', Score='mIoU')], Rows=rows)]
    )
    write_test(root, 'paper/seg/test', 'seg', dict(mIoU=50.0), 'val.txt')
    _, (left_out,) = match(experiments, find_scores(root))
    assert left_out.endswith('no row of the tables is about seg on voc val with labels of an unknown recipe')
    paper = LabelRecipe.from_cfg(dict(recipe='paper', amp=True, crf=dict(backend='torch')))  # the same but for rounding
    write(root / 'paper/seg/labels.json', dict(recipe=paper.to_dict()))
    write_test(root, 'seg', 'seg', dict(mIoU=60.0), 'val.txt')  # by tools/train.py
    with open(root / 'seg/seg.py', 'a') as file:
        file.write(f'pseudo_labels = dict(dir={str(root / "labels")!r})')
    write(root / 'labels/meta.json', dict(recipe=LabelRecipe.from_cfg(dict(recipe='bana_mm')).to_dict()))
    figures, left_out = match(experiments, find_scores(root))
    assert {key: value for key, (value, _) in figures.items()} == {('seg', VOC, 'mIoU'): 50, ('seg', VOC, 'mIoU x'): 60}
    assert left_out == []
    write(root / 'labels/meta.json', dict(recipe=dict(unary={}, margin=1)))  # of instances
    assert len(match(experiments, find_scores(root))[0]) == 1


def test_what_is_left_out(root):
    write_test(root, 'seg', 'seg', dict(mIoU=50.0), 'val.txt', indices=1)
    write_test(root, 'seg_other', 'seg', dict(mIoU=50.0), 'val.txt')
    write_test(root, 'gone', 'gone', dict(mIoU=50.0), 'nowhere.txt')
    write(root / 'seg' / 'scalars.json', dict(loss=1))
    figures, left_out = figures_of(root)
    assert figures == {} and len(left_out) == 3
    assert 'of seg on 1 images, which is none of the data sets' in left_out[0]
    assert 'does not have the name of its run' in left_out[1]
    assert 'of gone on an unknown number of images' in left_out[2]
    # a subset counts for runs with its preset only
    write_test(root, 'seg2/seg', 'seg', dict(mIoU=50.0), 'val.txt', indices=3)
    assert figures_of(root)[0] == {}


@pytest.mark.parametrize('folder', ['seg_cpu', 'seg_cpu/test'])
def test_runs_with_a_preset(root, folder):
    write_test(root, folder, 'seg', dict(mIoU=50.0), 'val.txt', indices=3, applied=dict(preset='cpu'))
    assert figures_of(root)[0] == {('seg', PART, 'mIoU'): 50.0}
    write_test(root, 'seg', 'seg', dict(mIoU=60.0), 'val.txt', applied=dict(preset='cpu'))  # a folder of another name
    write_test(root, 'old/seg_cpu', 'seg_cpu', dict(mIoU=51.0), 'val.txt', indices=3)  # of before there were presets
    assert figures_of(root)[0] == {('seg', PART, 'mIoU'): 51.0}


def test_bad_json(root):
    write(root / 'labels' / 'val.json', '{')
    with pytest.raises(ValueError, match='val.json: not valid JSON'):
        find_scores(root)

"""The commands that run the paper's tables: they parse, their configs resolve, and rows share what they can."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bana_mm.pipeline import reproduction
from bana_mm.pipeline.plan import plan_stages
from bana_mm.pipeline.reproduction import Reproduction
from bana_mm.utils.run_options import RunOptions

ROOT = Path(__file__).parents[2]
XML = (
    '<annotation><size><width>40</width><height>30</height><depth>3</depth></size><object><name>cat</name>'
    '<difficult>0</difficult><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object>'
    '</annotation>'
)


@pytest.fixture
def voc(tmp_path, monkeypatch):
    """An image for each list; the working directory is empty."""
    root = tmp_path / 'VOC2012'
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClassAug', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    for split in ('train', 'train_aug', 'val'):
        (root / f'ImageSets/Segmentation/{split}.txt').write_text(f'{split}\n')
        (root / f'Annotations/{split}.xml').write_text(XML)
        cv2.imwrite(str(root / f'JPEGImages/{split}.jpg'), np.zeros((30, 40, 3), np.uint8))
        cv2.imwrite(str(root / f'SegmentationClassAug/{split}.png'), np.zeros((30, 40), np.uint8))
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('COCO_ROOT', str(tmp_path / 'coco'))
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    return root


@pytest.fixture
def parse(monkeypatch):
    """The arguments of a command, as its tool reads them."""
    tools = {}

    def call(command):
        name, *arguments = command
        if name not in tools:
            spec = importlib.util.spec_from_file_location('a_tool', ROOT / 'tools' / name)
            tools[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(tools[name])
        monkeypatch.setattr(sys, 'argv', [name, *arguments])
        return tools[name].parse_args()

    return call


def commands(rows):
    return [step.command for row in rows for step in row.steps]


def test_tables_on_voc(voc, parse):
    run = Reproduction('voc', options=RunOptions(workers=3))
    rows = {row.title: row for row in run.rows}
    made = commands(run.rows)
    arguments = [parse(command) for command in [*made, run.tables_step().command]]
    assert sum(command[0] == 'train.py' for command in made) == 2  # a classifier each
    stores = {args.out_dir for args in arguments if hasattr(args, 'out_dir')}
    names = ('box', 'grabcut', 'box_crf', 'labels', 'labels_paper', 'labels_paper_cam')
    expected = {f'work_dirs/bap_vgg16_voc/{name}' for name in names}
    assert stores == expected | {f'work_dirs/gap_vgg16_voc/{name}' for name in ('labels', 'labels_bana_mm')}
    assert all(args.workers == 3 for args in arguments if hasattr(args, 'out_dir'))

    assert [step.command[0] for step in rows['Table 1: BAP: Y_crf, paper'].steps] == [
        *['generate_labels.py'] * 2,
        *['evaluate_labels.py'] * 2,
    ]
    assert rows['Table 1: BAP: Y_ret, paper'].steps == [] and 'nothing more' in str(rows['Table 1: BAP: Y_ret, paper'])
    assert rows['Table 4: NAL, paper'].steps == []  # as in Table 3
    gap = str(rows['Table 1: GAP, paper, background=cam'])
    assert gap.endswith(": 1.9 h, 0.5 GB (the authors' log, Titan RTX; estimated in docs/scaling.md)")
    (paper,), (ours,) = (rows[f'Table 3: L_wce (NAL), {name}'].steps for name in ('paper', 'bana_mm'))
    assert paper.command[:5] == ['pipeline.py', 'configs/bana/deeplabv1_vgg16_voc.py', '--recipe', 'paper', '--all']
    assert '--recipe' not in ours.command and not ours.is_done()
    for row in run.rows:
        assert all(cost['From'] and cost['Hours'] > 0 and cost['GB'] > 0 for cost in row.costs)


@pytest.mark.parametrize(
    'name, recipe, labels, work_dir',
    [
        ('deeplabv1_vgg16_voc', 'paper', 'labels_paper', 'paper/deeplabv1_vgg16_voc'),
        ('deeplabv2_r101_cocoinit_voc_semi', 'bana_mm', 'labels', 'deeplabv2_r101_cocoinit_voc_semi'),
    ],
)
def test_a_training_finds_the_labels_of_table_1(voc, parse, name, recipe, labels, work_dir):
    run = Reproduction('voc')
    steps = [step for row in run.rows for step in row.steps]
    (command,) = (
        step.command
        for step in steps
        if step.command[:2] == ['pipeline.py', f'configs/bana/{name}.py']
        and ('--recipe' in step.command) == (recipe == 'paper')
    )
    args = parse(command)
    plan = plan_stages(args.config, args.cfg_options, args.classifier_options, recipe=args.recipe, all_scores=args.all)
    assert [step.title for step in plan.steps] == [
        'classifier',
        'labels of train_aug',
        'labels of val',
        'evaluation of train_aug',
        'evaluation of val',
        'segmentation',
        'test',
    ]
    parsed = [parse(step.command) for step in plan.steps]
    assert parsed[1].out_dir == f'work_dirs/bap_vgg16_voc/{labels}'
    known = [step.command for step in steps]
    assert plan.steps[0].command in known
    assert parsed[5].work_dir == f'work_dirs/{work_dir}' and parsed[6].all
    if recipe == 'paper':
        assert parsed[1].cfg_options == {'model.label_recipe.recipe': 'paper'}
        assert parsed[5].cfg_options == {'pseudo_labels.dir': f'work_dirs/bap_vgg16_voc/{labels}'}


def test_tables_on_coco(voc, parse, tmp_path):
    run = Reproduction('coco')
    made = commands(run.rows)
    arguments = [parse(command) for command in made]
    assert sum(command[0] == 'train.py' for command in made) == 2
    masks = {args.out: args for args in arguments if getattr(args, 'out', None)}
    names = ('labels_train2017', 'labels_train2017_centre0', 'labels_train2017_ret')
    configs = ('bap_vgg16_voc', 'bap_vgg16_coco')
    assert set(masks) == {f'work_dirs/{config}/{name}.json' for config in configs for name in names}
    ret = masks['work_dirs/bap_vgg16_coco/labels_train2017_ret.json']
    assert ret.source == 'bana_ret' and ret.coco == str(tmp_path / 'coco/annotations/instances_train2017.json')
    centre = masks['work_dirs/bap_vgg16_voc/labels_train2017_centre0.json']
    assert centre.source is None and centre.cfg_options == {'instance_recipe.centre': 0}
    args = parse(['pipeline.py', 'configs/bana/mask-rcnn_r101_fpn_voc2coco.py', *made[-2][2:]])
    assert args.cfg_options == ['auto_scale_lr.enable=True'] and not args.all
    plan = plan_stages(args.config, args.cfg_options)
    assert parse(plan.steps[1].command).out == 'work_dirs/bap_vgg16_voc/labels_train2017.json'


def test_some_tables(voc):
    rows = Reproduction('voc', [3]).rows
    assert len(rows) == 10 and all(row.title.startswith('Table 3') for row in rows)
    assert len(Reproduction('voc', [3], siblings=False).rows) == 5
    with pytest.raises(ValueError, match='table 2 is not on voc, which has tables 1, 3, 4, 5'):
        Reproduction('voc', [2])


def test_dry_run_without_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('VOC_ROOT', 'nowhere')
    monkeypatch.setattr(sys, 'argv', ['reproduction', 'voc', '--tables', '4', '--dry-run', '--device', 'cuda'])
    reproduction.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# Table 4: Y_crf, paper: 4.5 h, 0.4 GB (the authors' log, Titan RTX)"
    assert lines[1].endswith('--device cuda') and 'deeplabv1_vgg16_voc_ycrf.py --recipe paper --all' in lines[1]
    assert lines[-2] == '# all of it: 40.5 h, 3.6 GB' and lines[-1].endswith('--work-dirs work_dirs --write')
    assert not list(tmp_path.iterdir())


def test_the_script_hands_everything_on(tmp_path):
    script = [ROOT / 'scripts/reproduce.sh', 'coco', '--tables', '2']
    call = subprocess.run(
        ['bash', *map(str, script)], env={**os.environ, 'PYTHON': 'echo'}, cwd=tmp_path, capture_output=True, text=True
    )
    assert call.stdout == '-m bana_mm.pipeline.reproduction coco --tables 2\n'

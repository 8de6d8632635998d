"""Which steps a config needs; tests/test_tools runs them."""

import pytest

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.pipeline.plan import plan_stages
from bana_mm.utils.run_options import RunOptions

CLASSIFIER = """
default_scope = 'mmdet'
work_dir = 'stage1'
train_cfg = dict(max_iters=5)
test_dataloader = dict(
    dataset=dict(
        type='bana_mm.VOCBoxDataset',
        data_root='voc',
        ann_file='ImageSets/Segmentation/val.txt',
        metainfo=dict(classes=('ring', 'triangle', 'cross', 'star', 'animal')),
    )
)
"""
SEGMENTATION = """
work_dir = 'stage3'
train_cfg = dict(max_iters=9)
pseudo_labels = dict(config='stage1.py', dir='labels', split='train_aug', val_split='val')
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_synthetic_voc(tmp_path / 'voc', 1, 1, image_size=(48, 48))
    (tmp_path / 'stage1.py').write_text(CLASSIFIER)
    (tmp_path / 'stage3.py').write_text(SEGMENTATION)
    return 'stage3.py'


def calls(plan):
    return [(step.title, step.command) for step in plan.steps]


def test_options_reach_the_steps_that_they_are_for(config, tmp_path):
    plan = plan_stages(
        config, ['a=1'], ['b=2'], 'other', amp=True, options=RunOptions(3, 2, batch_size=4, device='cuda')
    )
    assert plan.work_dir == 'other'
    classifier, *labels, box, val_box, segmentation, test = calls(plan)
    own, stage1 = 'stage3.py', 'stage1.py'
    assert classifier[1] == ['train.py', stage1, '--work-dir', 'stage1', '--resume', '--amp', '--cfg-options', 'b=2']
    machine = ['--workers', '3', '--loading-workers', '2', '--batch-size', '4', '--device', 'cuda']
    for (title, command), split in zip(labels, ('train_aug', 'val'), strict=True):
        assert title == f'labels of {split}'
        assert command[:3] == ['generate_labels.py', stage1, 'stage1/iter_5.pth']
        assert command[3:] == ['--out-dir', 'labels', '--split', split, *machine, '--cfg-options', 'b=2']
    assert box[0] == 'evaluation of train_aug' and val_box[0] == 'evaluation of val'
    assert segmentation[1] == ['train.py', own, '--work-dir', 'other', '--resume', '--amp', '--cfg-options', 'a=1']
    assert test[1][:3] == ['test.py', own, 'other/iter_9.pth']


def test_given_checkpoint_takes_the_place_of_the_training(config, tmp_path):
    (tmp_path / 'bap.pth').touch()
    plan = plan_stages(config, ['pseudo_labels.checkpoint=bap.pth', 'pseudo_labels.val_split=None'])
    assert [title for title, _ in calls(plan)] == [
        'labels of train_aug',
        'evaluation of train_aug',
        'segmentation',
        'test',
    ]
    assert plan.steps[0].command[2] == 'bap.pth' and '--workers' not in plan.steps[0].command


def test_without_masks_only_what_training_needs(config, tmp_path):
    for mask in (tmp_path / 'voc/SegmentationClassAug').glob('*.png'):
        mask.unlink()
    plan = plan_stages(config)
    assert [title for title, _ in calls(plan)] == ['classifier', 'labels of train_aug', 'segmentation', 'test']
    assert plan.evaluations == {}


def test_training_on_masks_needs_no_labels(config, tmp_path):
    (tmp_path / 'masks.py').write_text('work_dir = "masks"\ntrain_cfg = dict(max_iters=9)\npseudo_labels = None')
    assert [title for title, _ in calls(plan_stages('masks.py'))] == ['segmentation', 'test']


def test_a_recipe_has_labels_and_a_model_of_its_own(config):
    plan = plan_stages(config, ['a=1'], ['b=2'], recipe='paper', all_scores=True)
    classifier, labels, *_, segmentation, test = [command for _, command in calls(plan)]
    assert classifier[-1] == 'b=2'  # the same for all recipes
    assert labels[labels.index('--out-dir') + 1] == 'labels_paper'
    assert labels[-2:] == ['b=2', 'model.label_recipe.recipe=paper']
    assert segmentation[3] == 'paper/stage3' and segmentation[-2:] == ['a=1', 'pseudo_labels.dir=labels_paper']
    assert '--all' in test and test[-1] == 'pseudo_labels.dir=labels_paper'
    assert plan.work_dir == 'paper/stage3' and list(plan.evaluations.values())[0].parts[0] == 'labels_paper'
    assert plan_stages(config, work_dir='other', recipe='bana_mm').work_dir == 'other'
    with pytest.raises(ValueError, match="no label recipe 'papre'; there are paper, bana_mm"):
        plan_stages(config, recipe='papre')
    with pytest.raises(ValueError, match='stage3.py: trains on no folder of label maps'):
        plan_stages(config, ['pseudo_labels=None'], recipe='paper')


def test_commands_are_shown(config, tmp_path, capsys):
    plan = plan_stages(config)
    (tmp_path / 'stage1').mkdir()
    (tmp_path / 'stage1/iter_5.pth').touch()
    (tmp_path / 'stage1/last_checkpoint').write_text('iter_5.pth')
    plan.show()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(plan.steps)
    assert lines[0].startswith('[classifier] python ') and lines[0].endswith('--resume  (done already)')
    assert 'done' not in lines[1]

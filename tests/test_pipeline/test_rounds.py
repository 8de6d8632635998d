"""Rounds on stubbed tools: what each is told, what is kept apart, when they stop and go on."""

import json
import re
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.pipeline.rounds import held_out, plan_rounds
from bana_mm.pipeline.stages import Teacher
from bana_mm.pipeline.step import Step
from bana_mm.structures import LabelStore

CLASSIFIER = """
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
LABELS = "config='stage1.py', dir='labels', maps=('Y_crf', 'Y_ret'), split='train_aug', val_split='val'"
SEGMENTATION = f"work_dir = 'stage3'\ntrain_cfg = dict(max_iters=9)\npseudo_labels = dict({LABELS})\n"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_synthetic_voc(tmp_path / 'voc', 1, 1, image_size=(48, 48))
    (tmp_path / 'stage1.py').write_text("default_scope = 'mmdet'" + CLASSIFIER)
    (tmp_path / 'stage3.py').write_text(SEGMENTATION)
    return 'stage3.py'


@pytest.fixture
def stubbed(monkeypatch):
    """Tools that only leave what theirs would: names of the calls, the test's mIoU in each round, calls that fail."""
    calls, scores, fail_at = [], [], []

    def value(arguments, option):
        return Path(arguments[arguments.index(option) + 1])

    def call(arguments, output, env):
        tool, *rest = [Path(arguments[0]).stem, *arguments[1:]]
        if fail_at == [len(calls)]:
            fail_at.clear()
            raise KeyboardInterrupt
        calls.append(tool)
        if tool == 'train':
            folder = value(rest, '--work-dir')
            folder.mkdir(parents=True, exist_ok=True)
            final = 'iter_5.pth' if rest[0] == 'stage1.py' else 'iter_9.pth'
            (folder / final).touch()
            (folder / 'last_checkpoint').write_text(final)
        elif tool == 'generate_labels':
            source = re.fullmatch(r'segmentor:(.*):(.*)', rest[2]) if rest[1] == '--source' else None
            store = LabelStore(value(rest, '--out-dir'), ('segmentor',) if source else None)
            store.begin(dict(made_by=source[2] if source else rest[1]))
            split = Path('voc/ImageSets/Segmentation', value(rest, '--split')).with_suffix('.txt')
            for img_id in split.read_text().split():
                for name in store.maps:
                    store.path(name, img_id).touch()
        elif tool == 'evaluate_labels':
            rows = dict(box=dict(mIoU=50.0, ignored=0.0))
            value(rest, '--json').write_text(json.dumps(dict(rows=rows)))
        elif tool == 'test':
            path = value(rest, '--work-dir') / '1/1.json'
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(dict(aAcc=99.0, mIoU=scores[calls.count('test') - 1])))
        return 0

    monkeypatch.setattr(Step, '_call', staticmethod(call))
    return calls, scores, fail_at


FIRST = ['train', *['generate_labels'] * 2, *['evaluate_labels'] * 2, 'train', 'test']
LATER = FIRST[1:]


def test_each_round_has_its_own_labels_and_model(config):
    first, second, third = plan_rounds(3, config, ['a=1'], work_dir='own').plans
    assert [plan.work_dir for plan in (first, second, third)] == ['own', 'own_round2', 'own_round3']
    commands = [[step.command for step in plan.steps] for plan in (first, second, third)]
    assert [[command[0].removesuffix('.py') for command in part] for part in commands] == [FIRST, LATER, LATER]
    assert '--source' not in commands[0][1] and '--merge' in commands[0][3]
    for number, before, part in ((2, 'own', commands[1]), (3, 'own_round2', commands[2])):
        labels = f'labels_round{number}'
        made_by = ['--source', f'segmentor:{before}/stage3.py:{before}/iter_9.pth']
        assert part[0] == ['generate_labels.py', 'stage1.py', *made_by, '--out-dir', labels, '--split', 'train_aug']
        assert part[2][1] == labels and '--merge' not in part[2]  # of a single map
        changes = ['--cfg-options', 'a=1', f'pseudo_labels.dir={labels}', 'pseudo_labels.maps=None']
        assert part[4] == ['train.py', config, '--work-dir', f'own_round{number}', '--resume', *changes]
        assert part[5][2] == f'own_round{number}/iter_9.pth' and part[5][-4:] == changes
    recipe = plan_rounds(2, config, recipe='paper').plans[1]
    assert recipe.work_dir == 'paper/stage3_round2' and 'labels_round2_paper' in recipe.steps[0].command


def test_one_round_is_the_plan_itself(config):
    (plan,) = plan_rounds(1, config).plans
    assert [step.command[0] for step in plan.steps] == [f'{name}.py' for name in FIRST]


def test_rounds_go_on_as_long_as_the_test_rises(config, stubbed, capsys):
    calls, scores, _ = stubbed
    scores += [60.0, 62.5, 62.5, 70.0]
    rounds = plan_rounds(4, config)
    rounds.run()
    assert calls == FIRST + LATER + LATER
    assert 'mIoU does not rise any more: 62.5 after 62.5 in stage3_round2' in capsys.readouterr().out
    assert [line for line in rounds.summary().splitlines() if line.startswith('stage3')] == [
        'stage3',
        'stage3_round2',
        'stage3_round3',
    ]
    assert LabelStore('labels').maps == ('Y_crf', 'Y_ret') and LabelStore('labels_round3').maps == ('segmentor',)
    assert json.loads(Path('labels_round3/meta.json').read_text())['made_by'] == 'stage3_round2/iter_9.pth'
    # once more: nothing is done again, and the answer is the same
    plan_rounds(4, config).run()
    assert len(calls) == len(FIRST + LATER + LATER)


@pytest.mark.parametrize('place', [8, 11])
def test_killed_in_any_step_they_go_on_there(config, stubbed, place):
    calls, scores, fail_at = stubbed
    scores += [60.0, 61.0]
    fail_at.append(place)
    with pytest.raises(KeyboardInterrupt):
        plan_rounds(2, config).run()
    assert len(calls) == place
    plan_rounds(2, config).run()
    assert calls == FIRST + LATER


def test_without_a_test_all_rounds_run(config, stubbed, capsys):
    calls, *_ = stubbed
    overrides = ['test_dataloader=None', 'pseudo_labels.val_split=None']
    for path in Path('voc/SegmentationClassAug').glob('*.png'):
        path.unlink()
    plan_rounds(3, config, overrides).run()
    assert calls == ['train', *['generate_labels', 'train'] * 3]
    assert capsys.readouterr().out.count('no test says whether') == 3


def test_instances_are_labelled_by_their_detector(config):
    labels = "config='stage1.py', boxes='boxes.json', img_dir='images', keep_masks=True, json='out/labels.json'"
    Path('rcnn.py').write_text(f"work_dir = 'rcnn'\ntrain_cfg = dict(max_epochs=2)\npseudo_labels = dict({labels})\n")
    first, second = (plan.steps for plan in plan_rounds(2, 'rcnn.py').plans)
    given = ['--coco', 'boxes.json', '--out']
    kept = ['--keep-masks', '--img-dir', 'images']
    assert first[1].command == [
        'generate_labels.py',
        'stage1.py',
        'stage1/iter_5.pth',
        *given,
        'out/labels.json',
        *kept,
    ]
    made_by = ['--source', 'detector:rcnn/rcnn.py:rcnn/epoch_2.pth']
    assert second[0].command == ['generate_labels.py', 'stage1.py', *made_by, *given, 'out/labels_round2.json', *kept]
    assert second[1].command[-1] == 'pseudo_labels.json=out/labels_round2.json'


def test_what_a_model_is_judged_by(tmp_path):
    assert held_out(tmp_path) is None
    path = tmp_path / 'test/1/1.json'
    path.parent.mkdir(parents=True)
    for scores, expected in (
        ({'coco/bbox_mAP': 0.3, 'coco/segm_mAP': 0.2, 'coco/segm_mAP_50': 0.4}, ('coco/segm_mAP', 0.2)),
        ({'aAcc': 90.0, 'mIoU': 0.0, 'mIoU_crf': 2.0}, ('mIoU', 0.0)),
        ({'coco/bbox_mAP': 0.3}, None),
    ):
        path.write_text(json.dumps(scores))
        assert held_out(tmp_path) == expected


def test_bad_input_is_named(config):
    with pytest.raises(ValueError, match='rounds must be at least 1, got 0'):
        plan_rounds(0, config)
    with pytest.raises(ValueError, match=r'stage3\.py: trains on no stored labels'):
        plan_rounds(2, config, ['pseudo_labels=None'])
    with pytest.raises(ValueError, match=r"a:b/x\.py: no ':', '\+' or '\|' may be in the path"):
        Teacher(Path('a:b/x.py'), Path('c.pth')).source(is_instances=False)

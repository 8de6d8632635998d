import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from bana_mm.pipeline import stages
from bana_mm.pipeline.stages import is_newer, label_step, train_step
from bana_mm.pipeline.step import StepError
from bana_mm.pipeline.work_dirs import find_scores, read_scores
from bana_mm.structures import LabelStore
from bana_mm.utils.run_options import RunOptions


def _touch(path: Path, time: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time, time))
    return path


def test_train_step_waits_for_the_final_checkpoint(tmp_path):
    step = train_step('training', Config(dict(train_cfg=dict(max_iters=30))), tmp_path, ['a.b=1', 'c=2'])
    assert step.command[-4:] == ['--resume', '--cfg-options', 'a.b=1', 'c=2']
    mixed = train_step('training', Config(dict(train_cfg=dict(max_iters=30))), tmp_path, amp=True)
    assert mixed.command[-2:] == ['--resume', '--amp']
    _touch(tmp_path / 'iter_20.pth', 1)
    assert not step.is_done()
    _touch(tmp_path / 'iter_30.pth', 2)
    assert not step.is_done()  # it may have been killed while it wrote
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_20.pth')
    assert not step.is_done()
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_30.pth')
    assert step.is_done()


def test_train_step_refuses_a_checkpoint_of_other_labels(tools, tmp_path):
    (tools / 'train.py').write_text('')
    labels = tmp_path / 'meta.json'
    step = train_step('training', Config(dict(train_cfg=dict(max_iters=30))), tmp_path / 'w', labels=labels)
    with pytest.raises(StepError, match='ended without'):
        step.run()  # no description, as of labels from elsewhere
    labels.write_text('{"recipe": 1}')
    with pytest.raises(StepError, match='ended without'):
        step.run()
    _touch(tmp_path / 'w/iter_30.pth', 60)
    (tmp_path / 'w/last_checkpoint').write_text('iter_30.pth')
    labels.write_text('{"recipe": 1}')  # as after another split
    step.run()
    labels.write_text('{"recipe": 2}')
    with pytest.raises(
        StepError, match=r'training: .*w: was trained on labels made with recipe = 1, this run has 2; see .*meta\.json'
    ):
        step.run()


def test_steps_tell_of_a_config_that_has_changed_since(tools, tmp_path, capsys):
    work, labels = tmp_path / 'w', tmp_path / 'labels'
    (tools / 'train.py').write_text(
        'import pathlib, sys\nwork = pathlib.Path(sys.argv[3])\n(work / "iter_3.pth").touch()\n'
        '(work / "last_checkpoint").write_text("iter_3.pth")'
    )
    (tools / 'generate_labels.py').write_text(
        'import pathlib, sys\nlabels = pathlib.Path(sys.argv[4])\n(labels / "meta.json").write_text("{}")'
    )

    def run(lr=0.1, root='a', iterations=2, overrides=()):
        model = dict(label_recipe=dict(crf=dict(iterations=iterations)))
        loader = dict(num_workers=len(root), dataset=dict(data_root=root))
        settings = dict(model=model, train_dataloader=loader, optim_wrapper=dict(optimizer=dict(lr=lr)))
        cfg = Config(dict(settings, train_cfg=dict(max_iters=3)), filename=str(tools / 'train.py'))
        steps = [
            train_step('training', cfg, work),
            label_step('labels', cfg, work / 'iter_3.pth', labels, 'val', [], overrides=overrides),
        ]
        for step in steps:
            step.run()
        return [warning for step in steps for warning in step.warnings]

    assert run() == [] and run(root='elsewhere') == []
    (warning,) = run(lr=0.2)
    assert warning.startswith('training: these results were made with other settings') and 'steps.json' in warning
    assert 'optim_wrapper.optimizer.lr was 0.1, is 0.2' in warning
    for changed in (dict(iterations=9), dict(overrides=['model.label_recipe.crf.iterations=9'])):
        warning = run(**changed)[-1]
        assert 'labels: these results' in warning and 'model.label_recipe.crf.iterations was 2, is 9' in warning
    assert f'WARNING: {warning}' in capsys.readouterr().out
    (work / 'iter_3.pth').rename(work / 'iter_2.pth')
    assert 'training: this was begun with other settings' in run(lr=0.3)[0]


def test_a_test_that_was_killed_while_its_scores_were_written(tmp_path):
    step = stages.test_step('test', Config(dict(train_cfg=dict(max_iters=30))), tmp_path)
    for stamp, text in (('1', '{"mIoU": 10.0}'), ('2', '{"mIo'), ('3', '')):
        path = _touch(tmp_path / f'test/{stamp}/{stamp}.json', 1)
        path.write_text(text)
        if stamp == '2':
            assert read_scores(tmp_path) == dict(mIoU=10.0)
    assert step.is_done() and find_scores(tmp_path)[0].scores == dict(mIoU=10.0) and len(find_scores(tmp_path)) == 1


def test_label_step_is_done_when_complete_and_newer_than_the_checkpoint(tmp_path):
    checkpoint = _touch(tmp_path / 'iter_30.pth', 100)
    store = LabelStore(tmp_path / 'labels')
    config = tmp_path / 'config.py'
    config.touch()
    cfg = Config(dict(applied=dict(preset='cpu')), filename=config)
    step = label_step('labels', cfg, checkpoint, store.root, 'val', ['a', 'b'], RunOptions(loading_workers=0))
    assert step.command == [
        'generate_labels.py',
        str(config),
        str(checkpoint),
        '--out-dir',
        str(store.root),
        '--split',
        'val',
        *('--workers', '0', '--loading-workers', '0', '--batch-size', '1', '--device', 'cpu'),
        *('--preset', 'cpu'),
    ]
    store.begin(dict(classes=['cat']))
    blank = np.zeros((2, 2), np.uint8)
    store.write('a', Y_crf=blank, Y_ret=blank)
    store.write('b', Y_crf=blank)
    assert not step.is_done()
    store.write('b', Y_ret=blank)
    assert step.is_done()
    _touch(store.root / 'meta.json', 50)
    assert not step.is_done()


def test_test_step_and_scores(tmp_path):
    cfg = Config(dict(train_cfg=dict(max_iters=30)))
    checkpoint = _touch(tmp_path / 'iter_30.pth', 100)
    step = stages.test_step('test', cfg, tmp_path, out=tmp_path / 'masks')
    assert step.command[-2:] == ['--out', str(tmp_path / 'masks')]
    assert read_scores(tmp_path) == {} and not step.is_done()
    for stamp, time, score in (('1', 90, 10.0), ('2', 110, 20.0)):
        path = _touch(tmp_path / f'test/{stamp}/{stamp}.json', time)
        path.write_text(json.dumps(dict(mIoU=score)))
        os.utime(path, (time, time))
        _touch(tmp_path / f'test/{stamp}/vis_data/config.json', time + 50)
        assert step.is_done() == (time > 100)
    assert read_scores(tmp_path) == dict(mIoU=20.0)
    _touch(checkpoint, 200)
    assert not step.is_done()


def test_is_newer(tmp_path):
    old, new = _touch(tmp_path / 'old', 10), _touch(tmp_path / 'new', 20)
    assert is_newer(new, [old]) and not is_newer(old, [new])
    assert is_newer(new, [tmp_path / 'absent']) and not is_newer(tmp_path / 'absent', [])

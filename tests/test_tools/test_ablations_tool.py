"""The order of ablations, what is shared, resuming and the tables; the tools that train are replaced by stubs."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bana_mm.pipeline.step import Step
from bana_mm.structures import LabelStore, read_label_png
from bana_mm.utils.config import find_pseudo_labels

REPO = Path(__file__).parents[2]
PLAN = """
start: {classifier: bap, seed: 9, num_train: 2, iters: 6}
classifiers: {bap: {config: CONFIGS/demo_bap.py}}
labels:
  good: {classifier: bap, recipe: {recipe: bana_mm}}
  filled: {of: good, change: fill_boxes, amount: 1.0}
trainings:
  box: {config: CONFIGS/demo_box.py}
  nal: {config: CONFIGS/demo_nal.py, options: {model.decode_head.head.loss_decode.gamma: 3.0}}
tables:
  - {title: maps, kind: labels, seeds: 2, rows: {filled: good}}
  - {title: losses, kind: trainings, seeds: 1, rows: {nal@filled: box, nal@good*2: box}}
"""


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('tool_ablations', REPO / 'tools/analysis/ablations.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Stubs:
    """What the tools would leave behind: a checkpoint and scores, or labels that are the masks without their rows 0."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fails_at: str | None = None

    def __call__(self, arguments: Sequence[str], output, env) -> int:
        tool, config = Path(arguments[0]).stem, Path(arguments[1])
        self.calls.append((tool, config.stem))
        if config.stem == self.fails_at:
            return 3
        assert env['OMP_NUM_THREADS'] == '1'
        cfg = Config.fromfile(config)
        if tool == 'train':
            work_dir = Path(cfg.work_dir)
            final = work_dir / f'iter_{cfg.train_cfg.max_iters}.pth'
            (work_dir / 'run/vis_data').mkdir(parents=True)
            final.write_text(config.stem)
            (work_dir / 'last_checkpoint').write_text(str(final))
            scores = [dict(loss=1.0, step=1), dict(mIoU=70.0 + cfg.train_cfg.max_iters, step=cfg.train_cfg.max_iters)]
            (work_dir / 'run/vis_data/scalars.json').write_text('\n'.join(map(json.dumps, scores)))
            return 0
        store = LabelStore(arguments[arguments.index('--out-dir') + 1])
        store.begin(dict(recipe=cfg.model.label_recipe.recipe, classes=cfg.metainfo['classes']))
        for path in Path(cfg.data_root, 'SegmentationClassAug').glob('train_*.png'):
            label = read_label_png(path)
            store.write(path.stem, Y_crf=label, Y_ret=np.where(np.arange(len(label))[:, None] == 0, 0, label))
        return 0


@pytest.fixture
def stubs(monkeypatch) -> Stubs:
    stubs = Stubs()
    monkeypatch.setattr(Step, '_call', lambda step, *args: stubs(*args))
    return stubs


@pytest.fixture
def run(tool, monkeypatch, tmp_path) -> Callable[..., None]:
    (tmp_path / 'plan.yml').write_text(PLAN.replace('CONFIGS', str(REPO / 'configs/demo')))

    def call(*args) -> None:
        given = ['--plan', tmp_path / 'plan.yml', '--out-dir', tmp_path / 'out', '--num-train', 3, '--num-val', 1]
        iters = ['--classifier-iters', 4, '--segmentation-iters', 5]
        monkeypatch.setattr(sys, 'argv', [str(part) for part in ('ablations.py', *given, *iters, *args)])
        tool.main()

    return call


def test_all_runs_and_their_tables(run, stubs, tmp_path, capsys):
    run()
    first = [
        ('train', 'classifier_bap'),
        ('generate_labels', 'labels_good'),
        ('train', 'training_nal@filled'),
        ('train', 'training_box'),
        ('train', 'training_nal@good_x2'),
    ]
    assert stubs.calls == [first[0], *first, *first[:2]]  # where all begin, seed 0, seed 1
    out = tmp_path / 'out'
    text = capsys.readouterr().out
    table = (out / 'ablations.txt').read_text()
    assert table in text and table.count('seeds') == 2
    content = json.loads((out / 'ablations.json').read_text())
    assert content['runs']['nal@good*2'] == {'0': {'mIoU': 80.0}}
    losses = content['tables'][1]['rows']
    assert [row['difference']['mean'] for row in losses] == [0.0, 5.0]
    maps = content['runs']['good']
    assert set(maps) == {'0', '1'} and maps['0']['Y_crf'] == maps['1']['Y_crf'] == 100.0
    assert maps['0']['right'] in (100.0, None)  # Y_crf is the ground truth; None where no object reaches row 0
    assert content['runs']['filled']['0']['Y_crf'] < 90 and content['runs']['filled']['0']['doubted'] > 5
    with Image.open(out / 'ablations.png') as image:
        assert image.width > 500

    cfg = Config.fromfile(out / 'seed_0/configs/training_nal@filled.py')
    assert cfg.model.decode_head.head.loss_decode.gamma == 3.0 and cfg.randomness.seed == 0
    assert cfg.load_from == str(out / 'start/classifiers/bap/iter_6.pth') and Path(cfg.load_from).is_file()
    assert Config.fromfile(out / 'start/configs/classifier_bap.py').load_from is None
    assert cfg.param_scheduler[0].end == cfg.train_cfg.max_iters == 5
    assert find_pseudo_labels(cfg)['dir'] == str(out / 'seed_0/labels/filled')
    recipe = Config.fromfile(out / 'seed_1/configs/labels_good.py').model.label_recipe
    assert recipe == dict(recipe='bana_mm', crf=dict(bilateral=(4, 15, 13), gaussian=(3, 1)))
    images = [(out / f'seed_{seed}/data/JPEGImages/train_00000.jpg').read_bytes() for seed in (0, 1)]
    assert images[0] != images[1] and len(list((out / 'start/data/JPEGImages').glob('train_*'))) == 2


def test_what_is_done_is_skipped(run, stubs, tmp_path, capsys):
    run()
    before = (tmp_path / 'out/ablations.json').read_text()
    stubs.calls.clear()
    run('--jobs', 2)
    assert not stubs.calls and (tmp_path / 'out/ablations.json').read_text() == before
    folder = tmp_path / 'out/seed_0/trainings/box'
    shutil.rmtree(folder)
    run('--seeds', 1)
    assert not stubs.calls
    run('--report', '--markdown')
    assert '### losses\n\n| | seeds |' in capsys.readouterr().out
    assert not stubs.calls and json.loads((tmp_path / 'out/ablations.json').read_text())['runs']['box'] == {}
    run('--tables', 'loss')
    assert stubs.calls == [('train', 'training_box')]
    assert (tmp_path / 'out/ablations.json').read_text() == before

    with pytest.raises(ValueError, match='num_train = 3, this run has 4'):
        run('--num-train', 4)
    plan = tmp_path / 'plan.yml'
    plan.write_text(plan.read_text().replace('gamma: 3.0', 'gamma: 4.0'))
    with pytest.raises(ValueError, match='training_nal@filled.py: this run was begun with other settings'):
        run()


def test_a_failure_stops_the_rest(run, stubs, capsys):
    stubs.fails_at = 'training_nal@filled'
    with pytest.raises(SystemExit, match='(?s)nal@filled failed with exit status 3.*goes on from here'):
        run()
    assert stubs.calls[-1] == ('train', 'training_nal@filled')
    stubs.fails_at = None
    stubs.calls.clear()
    run('--seeds', 0)
    assert [name for _, name in stubs.calls] == ['training_nal@filled', 'training_box', 'training_nal@good_x2']


def test_rows_that_miss_their_labels(run, stubs, tmp_path):
    plan = tmp_path / 'plan.yml'
    plan.write_text(plan.read_text().replace('nal@filled: box', 'nal: box'))
    with pytest.raises(ValueError, match="row 'nal': .*demo_nal.py needs labels, NAME@LABELS"):
        run('--tables', 'loss')

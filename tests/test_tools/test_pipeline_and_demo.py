"""All stages in a row on a handful of images, with the tools called in this process to spare their start-up."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer
from PIL import Image

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.pipeline.step import Step

REPO = Path(__file__).parents[2]


def load_tool(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Tools that were called, by name; they run in this process."""
    names = []

    def call(arguments, output, env):
        names.append(Path(arguments[0]).stem)
        # mmengine keeps these by a name that all trainings share: their curves would go to one of them
        for shared in (MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
            shared._instance_dict.clear()
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'argv', arguments)
            for key, value in (env or {}).items():
                patch.setenv(key, value)
            load_tool(Path(arguments[0])).main()
        return 0

    monkeypatch.setattr(Step, '_call', staticmethod(call))
    monkeypatch.chdir(REPO)  # the configs name each other relative to it
    monkeypatch.setenv('DEMO_ROOT', str(tmp_path))
    return names


@pytest.fixture
def pipeline(monkeypatch):
    def call(*args):
        monkeypatch.setattr(sys, 'argv', ['pipeline.py', *map(str, args)])
        load_tool(REPO / 'tools/pipeline.py').main()

    return call


SHORT = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'param_scheduler.0.end=2',
    'train_dataloader.batch_size=2',
    'default_hooks.checkpoint.interval=1',
]


def test_pipeline_runs_all_stages_and_picks_up(calls, pipeline, tmp_path, capsys):
    make_synthetic_voc(tmp_path / 'data', 3, 2, image_size=(48, 56))
    command = ['configs/demo/demo_nal.py', '--workers', '0', '--cfg-options', *SHORT, '--classifier-options', *SHORT]
    pipeline(*command)
    evaluate = ['evaluate_labels', 'evaluate_labels']
    assert calls == ['train', 'generate_labels', 'generate_labels', *evaluate, 'train', 'test']
    table = capsys.readouterr().out.splitlines()[-9:]
    names = ('box', 'Y_crf', 'Y_ret', 'agree')
    wanted = [f'labels of {split}: {name} ' for split in ('train_aug', 'val') for name in names]
    assert all(line.startswith(start) for line, start in zip(table, [*wanted, 'segmentation: mIoU ']))

    calls.clear()
    for name in ('iter_2.pth', 'last_checkpoint'):
        (tmp_path / 'nal' / name).unlink()
    pipeline(*command)
    assert calls == ['train', 'test']
    calls.clear()
    (tmp_path / 'labels_bap/Y_ret/val_00001.png').unlink()
    pipeline(*command)
    assert calls == ['generate_labels', *evaluate]  # the store was touched, so its figures are computed anew


def test_pipeline_says_what_is_missing(calls, pipeline, tmp_path):
    make_synthetic_voc(tmp_path / 'data', 2, 0, image_size=(48, 48))
    with pytest.raises(ValueError, match='pseudo_labels lacks config, dir;'):
        pipeline('configs/demo/demo_bap.py')
    with pytest.raises(FileNotFoundError, match="pseudo_labels.checkpoint 'gone.pth' does not exist"):
        pipeline('configs/demo/demo_nal.py', '--cfg-options', 'pseudo_labels.checkpoint=gone.pth')
    with pytest.raises(FileNotFoundError, match='nowhere.txt'):
        pipeline('configs/demo/demo_nal.py', '--cfg-options', 'pseudo_labels.split=nowhere')
    assert not calls


def test_pipeline_of_instances(calls, pipeline, tiny_detector, capsys):
    make_synthetic_voc(tiny_detector / 'data', 3, 1, image_size=(48, 56))
    boxes, masks = tiny_detector / 'coco/boxes.json', tiny_detector / 'masks.json'
    labels = dict(config='configs/demo/demo_bap.py', boxes=str(boxes), json=str(masks), img_dir=str(boxes.parent))
    dataset = dict(
        type='bana_mm.CocoPseudoMaskDataset',
        ann_file='',
        data_root='',
        data_prefix=dict(img=f'{boxes.parent}/'),
        pseudo_labels=labels,
    )
    config = tiny_detector / 'pseudo.py'
    config.write_text(
        f"_base_ = 'tiny.py'\nwork_dir = {str(tiny_detector / 'work')!r}\n"
        f'train_dataloader = dict(dataset={dataset!r})\n'
    )
    command = [config, '--workers', 0, '--classifier-options', *SHORT]
    pipeline(*command)
    assert calls == ['train', 'generate_labels', 'train', 'test']
    table = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [line[1] for line in table] == ['coco/bbox_mAP', 'coco/segm_mAP']
    assert 'unreliable' in json.loads(masks.read_text())['annotations'][0]

    calls.clear()
    pipeline(*command)
    assert not calls
    # masks made in another way are not taken for those of the training
    made = json.loads(masks.read_text())
    made['pseudo_masks']['recipe']['centre'] = 1
    masks.write_text(json.dumps(made))
    with pytest.raises(SystemExit, match=r'trained on labels made with recipe\.centre = .*masks\.json'):
        pipeline(*command)
    with pytest.raises(ValueError, match='pseudo_labels lacks boxes'):
        pipeline(*command, '--cfg-options', 'pseudo_labels.boxes=')


@pytest.fixture
def demo(monkeypatch, tmp_path):
    def call(*args):
        monkeypatch.setattr(sys, 'argv', ['demo.py', '--out-dir', str(tmp_path), '--jobs', '1', *map(str, args)])
        load_tool(REPO / 'tools/demo.py').main()

    return call


def test_demo(calls, demo, tmp_path, capsys):
    settings = ['--num-train', 8, '--num-val', 2, '--classifier-iters', 1, '--segmentation-iters', 1]
    demo(*settings)
    assert {name: calls.count(name) for name in calls} == dict(
        train=6, generate_labels=3, evaluate_labels=2, test=4, draw_panels=1, report=1
    )
    text, done = capsys.readouterr()
    assert f'next: open {tmp_path}/report.html in a browser' in done
    for row in (
        'labels: whole box',
        'labels: GAP',
        'labels: BAP, Y_crf',
        'labels: BAP, Y_ret',
        'labels: BAP, agreement',
        'segmentation from whole boxes',
        'segmentation from Y_crf, cross entropy',
        'segmentation from Y_crf, noise-aware loss',
        'segmentation from full masks',
    ):
        assert row in text
    panels = sorted((tmp_path / 'panels').glob('*.png'))
    assert [path.stem for path in panels] == ['val_00000', 'val_00001']
    with Image.open(tmp_path / 'data/JPEGImages/val_00000.jpg') as image:
        cell = 224 / image.height * image.width
    # image, boxes, attention, CAM, Y_crf, Y_ret, agreement, four predictions, ground truth
    assert abs(np.array(Image.open(panels[0])).shape[1] - 12 * (cell + 4)) < 12

    page = (tmp_path / 'report.html').read_text()
    for caption in (
        'attention',
        'CAM',
        'Y_crf',
        'Y_ret',
        'reliable region',
        'confidence',
        'prediction, nal',
        'ground truth',
    ):
        assert page.count(f'<figcaption>{caption}</figcaption>') == 2
    assert all(f'training, {name}</td>' in page for name in ('bap', 'gap', 'box', 'ce', 'nal', 'masks'))

    calls.clear()
    demo(*settings)
    assert not calls and text.split('mIoU in percent')[1].split('panels')[0][:-8] in capsys.readouterr().out
    with pytest.raises(
        ValueError, match='this folder was begun with segmentation_iters = 1, this run has 2; choose another --out-dir'
    ):
        demo(*settings[:-1], 2)


def test_demo_stops_at_the_first_failure(demo, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(Step, '_call', staticmethod(lambda arguments, output, env: begun.append(arguments) or 3))
    with pytest.raises(SystemExit, match='(?s)classifier, background-aware pooling failed.*goes on from here'):
        demo('--num-train', 2, '--num-val', 1)
    assert len(begun) == 1


def test_demo_configs_share_network_and_data():
    configs = {path.stem: Config.fromfile(path) for path in (REPO / 'configs/demo').glob('*.py')}
    assert len({os.path.basename(cfg.work_dir) for cfg in configs.values()}) == len(configs) == 6
    assert configs['demo_gap'].model.bap_head.pooling == 'gap'
    names = ('nal', 'ce', 'box', 'masks')
    labels = {name: configs[f'demo_{name}'].train_dataloader.dataset.pseudo_labels for name in names}
    assert labels['nal'].maps == ('Y_crf', 'Y_ret') and labels['ce'].maps == ('Y_crf',)
    assert labels['box'] == dict(source='box') and labels['masks'] is None
    losses = {name: configs[f'demo_{name}'].model.decode_head.head.loss_decode.type for name in names}
    assert losses == dict(
        nal='bana_mm.NoiseAwareLoss', ce='CrossEntropyLoss', box='CrossEntropyLoss', masks='CrossEntropyLoss'
    )

"""Commands of the documents as they stand there, on tiny data: those that need no training, and one that trains all.

What a document leaves to the reader (BOXES.json, $VOC_ROOT) is put in; nothing else is changed but for the number of
worker processes. The other commands are checked up to their data in test_documented_commands.py.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys

import pytest
from documents import REPO, commands

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.structures import LabelStore

NAMES = {'ring': 'cat', 'triangle': 'dog'}  # classes of VOC
TINY = """
quick = dict(num_workers=0, persistent_workers=False)
small = dict(resize=dict(scale=(64, 64)), crop=dict(crop_size=(41, 41)))
network = dict(width_mult=0.0625, out_channels=8, pretrained=None)
common = dict(
    train_dataloader=dict(batch_size=2, dataset=dict(pipeline=small), **quick),
    val_dataloader=quick,
    test_dataloader=quick,
    train_cfg=dict(max_iters=1, val_interval=1),
    param_scheduler=[],
    env_cfg=dict(dist_cfg=dict(backend='gloo')),
)
overrides = dict(
    classifier=dict(
        when={'model.type': 'bana_mm.BoxClassifier'},
        set=dict(
            model=dict(backbone=network, bap_head=dict(in_channels=8), label_recipe=dict(crf=dict(iterations=1))),
            **common,
        ),
    ),
    segmentation=dict(
        when={'model.type': 'EncoderDecoder'},
        set=dict(
            model=dict(
                data_preprocessor=dict(size=(41, 41)),
                backbone=network,
                decode_head=dict(head=dict(in_channels=8, channels=8)),
            ),
            **common,
        ),
    ),
)
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder that looks like a checkout, with data where the documents have them."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(REPO / name)
    monkeypatch.chdir(tmp_path)
    for variable in ('VOC_ROOT', 'COCO_ROOT', 'LABEL_DIR', 'LABEL_JSON'):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture
def documented(monkeypatch, capsys):
    """Runs a command that a document shows, in this process; returns what it prints."""

    def run(document: str, start: str, given: dict[str, str], *added: str) -> str:
        shown = [command.words for command in commands(REPO / document)]
        (words,) = [words for words in shown if ' '.join(words).startswith(start)]
        for old, new in given.items():
            words = [word.replace(old, new) for word in words]
        assert words[0] == 'python'
        monkeypatch.setattr(sys, 'argv', [*words[1:], *added])
        runpy.run_path(words[1], run_name='__main__')
        return capsys.readouterr().out

    return run


def as_voc(root):
    """The tiny data set with names of VOC's classes."""
    make_tiny_voc(root)
    for path in (root / 'Annotations').iterdir():
        text = path.read_text()
        for old, new in NAMES.items():
            text = text.replace(f'<name>{old}</name>', f'<name>{new}</name>')
        path.write_text(text)
    return root


def test_synthetic_images(documented, place):
    documented('docs/data.md', 'python tools/dataset_converters/make_demo.py', {})
    assert len(list((place / 'data/synthetic/JPEGImages').iterdir())) == 24


def test_label_maps_without_training(documented, place):
    root = as_voc(place / 'data/VOCdevkit/VOC2012')
    lists = root / 'ImageSets/Segmentation'
    shutil.copyfile(lists / 'train_aug.txt', lists / 'train.txt')
    documented('docs/get_started.md', 'python tools/generate_labels.py --source grabcut --split', {}, '--workers', '0')
    assert not LabelStore('LABELS').missing((lists / 'train.txt').read_text().split())
    output = documented(
        'docs/sources.md',
        'python tools/evaluate_labels.py --sources box',
        {'DIR': str(root / 'SegmentationClassAug'), '$VOC_ROOT': str(root)},
    )
    (header,) = [line.split() for line in output.splitlines() if 'files:' in line]
    scores = next(line.split()[-len(header) :] for line in output.splitlines() if line.startswith('mIoU'))
    assert header[:4] == ['box', 'grabcut', 'box_crf', 'box_crf+grabcut']
    assert float(scores[-1]) == 100 > float(scores[0])  # masks themselves, and whole boxes


def test_masks_without_training(documented, place):
    root = make_tiny_coco(place / 'data/coco')
    boxes = str(root / 'annotations/instances_train2017.json')
    start = 'python tools/generate_labels.py --source grabcut --coco'
    documented('docs/get_started.md', start, {'BOXES.json': boxes}, '--workers', '0')
    assert all(
        annotation['segmentation'] for annotation in json.loads((place / 'MASKS.json').read_text())['annotations']
    )
    given = {
        'data/zoo/annotations/train_masks.json': 'MASKS.json',
        'TRUE_MASKS.json': boxes,
        'data/zoo/images': str(root / 'train2017'),
    }
    output = documented('docs/own_data.md', 'python tools/evaluate_labels.py --coco', given)
    header = next(line.split() for line in output.splitlines() if 'MASKS' in line.split())
    average_precision = next(line.split()[1:] for line in output.splitlines() if line.startswith('AP '))
    figures = dict(zip(header, average_precision))
    assert figures['MASKS'] == figures['grabcut'] != figures['box']


def test_boxes_from_masks(documented, place):
    root = make_tiny_voc(place / 'data/zoo')
    (root / 'SegmentationClassAug').rename(root / 'SegmentationClass')
    shutil.rmtree(root / 'Annotations')
    documented('docs/own_data.md', 'python tools/dataset_converters/voc_from_masks.py', {})
    assert len(list((root / 'Annotations').iterdir())) == 8


@pytest.mark.long
def test_all_stages_on_own_data(place):
    """The one command of docs/own_data.md, with a preset that takes seconds."""
    root = make_tiny_voc(place / 'data/zoo')
    (root / 'SegmentationClassAug').rename(root / 'SegmentationClass')
    for path in (root / 'Annotations').iterdir():
        path.write_text(path.read_text().replace('ring<', 'lion<').replace('triangle<', 'zebra<'))
    (root / 'ImageSets/Segmentation/train_aug.txt').rename(root / 'ImageSets/Segmentation/train.txt')
    (place / 'tiny.py').write_text(TINY)
    shown = [command.words for command in commands(REPO / 'docs/own_data.md')]
    words = next(words for words in shown if words[1] == 'tools/pipeline.py')
    assert words[2:] == ['configs/bana/deeplabv1_vgg16_voc.py', '--data', 'configs/own_data/zoo_voc.py']
    command = [sys.executable, *words[1:], '--preset', 'tiny.py', '--workers', '0']
    env = {**os.environ, 'PYTHONPATH': str(REPO)}
    done = subprocess.run(command, cwd=place, text=True, capture_output=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith('segmentation: mIoU') for line in done.stdout.splitlines())
    assert (place / 'work_dirs/deeplabv1_vgg16_voc_zoo_voc_tiny/iter_1.pth').is_file()

"""Configs as the tools read them."""

from pathlib import Path

import pytest
from mmengine.config import Config

from bana_mm.utils.config import (
    config_arguments,
    find_pseudo_labels,
    label_splits,
    parse_options,
    read_config,
    run_name,
    split_name,
)

CONFIG = """
custom_hooks = [dict(type='bana_mm.NumClassesHook')]
model = dict(type='EncoderDecoder', head=dict(num_classes=21))
train_dataloader = dict(dataset=dict(
    type='bana_mm.VOCBoxDataset', data_root='VOC', background_class=True,
    ann_file='ImageSets/Segmentation/train_aug.txt',
    pseudo_labels=dict(config='configs/bap.py', dir='work_dirs/bap/labels')))
val_dataloader = dict(dataset=dict(type='bana_mm.VOCBoxDataset', ann_file='ImageSets/Segmentation/val.txt'))
train_cfg = dict(max_iters=9)
"""
DATA = "data = dict(type='bana_mm.VOCBoxDataset', metainfo=dict(classes=('lion',)), train='t.txt', val='v.txt')\n"
PRESET = 'overrides = dict(all=dict(set=dict(train_cfg=dict(max_iters=2))))\n'


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (('seg.py', CONFIG), ('zoo.py', DATA), ('tiny.py', PRESET)):
        (tmp_path / name).write_text(text)


def test_plain():
    cfg = read_config('seg.py')
    assert cfg.work_dir == 'work_dirs/seg' and run_name(cfg) == 'seg' and 'applied' not in cfg
    assert find_pseudo_labels(cfg) == dict(config='configs/bap.py', dir='work_dirs/bap/labels')
    assert read_config('seg.py', work_dir='here').work_dir == 'here'
    assert config_arguments(cfg.get('applied')) == []


@pytest.mark.parametrize(
    'given, end, arguments',
    [
        (dict(preset='tiny.py'), '_tiny', ['--preset', 'tiny.py']),
        (dict(data='zoo.py'), '_zoo', ['--data', 'zoo.py']),
        (dict(preset='tiny.py', data='zoo.py'), '_zoo_tiny', ['--data', 'zoo.py', '--preset', 'tiny.py']),
    ],
)
def test_runs_have_names_of_their_own(given, end, arguments):
    cfg = read_config('seg.py', **given)
    assert cfg.work_dir == f'work_dirs/seg{end}' and run_name(cfg) == f'seg{end}'
    assert cfg.train_cfg.max_iters == (2 if 'preset' in given else 9)
    labels = find_pseudo_labels(cfg)
    assert labels == dict(config='configs/bap.py', dir=f'work_dirs/bap{end}/labels', **given)
    assert config_arguments(cfg.applied) == config_arguments(labels) == arguments
    # as mmengine dumps it into the work directory
    cfg.dump('dumped.py')
    again = read_config('dumped.py')
    assert again.work_dir == cfg.work_dir and again.train_dataloader == cfg.train_dataloader
    assert run_name(again) == f'dumped{end}'


def test_work_dir_of_the_config():
    with open('seg.py', 'a') as file:
        file.write("work_dir = 'elsewhere/nal'\n")
    assert read_config('seg.py').work_dir == 'elsewhere/nal'
    assert read_config('seg.py', preset='tiny.py').work_dir == 'elsewhere/nal_tiny'
    assert read_config('seg.py', preset='tiny.py', work_dir='x').work_dir == 'x'


def test_labels_elsewhere_stay_there():
    with open('seg.py', 'a') as file:
        file.write("train_dataloader['dataset']['pseudo_labels']['dir'] = '/labels'\n")
    assert find_pseudo_labels(read_config('seg.py', preset='tiny.py')).dir == '/labels'


def test_options_come_last():
    options = {
        'train_cfg.max_iters': 5,
        'train_dataloader.dataset.pseudo_labels.dir': 'work_dirs/bap/labels',
        'train_dataloader.dataset.metainfo': dict(classes=('lion', 'gnu', 'zebra')),
    }
    cfg = read_config('seg.py', options, preset='tiny.py')
    assert cfg.train_cfg.max_iters == 5 and find_pseudo_labels(cfg).dir == 'work_dirs/bap/labels'
    assert cfg.model.head.num_classes == 4


def test_sizes_as_they_were_called(tmp_path, capsys):
    folder = tmp_path / 'configs'
    folder.mkdir()
    for name in ('seg.py', 'mask-rcnn_r101_fpn_coco2coco.py'):
        (folder / name).write_text(CONFIG)
    cfg = read_config('configs/seg_cpu.py')
    assert cfg.filename == 'configs/seg.py' and cfg.applied.preset == 'cpu' and cfg.work_dir == 'work_dirs/seg_cpu'
    assert 'configs/seg_cpu.py is taken as configs/seg.py --preset cpu' in capsys.readouterr().err
    cfg = read_config('configs/mask-rcnn_r18_fpn_coco_cpu.py')
    assert run_name(cfg) == 'mask-rcnn_r101_fpn_coco2coco_cpu'
    (folder / 'seg_cpu.py').write_text('train_cfg = dict(max_iters=1)')  # a config of that name is that config
    assert 'applied' not in read_config('configs/seg_cpu.py')
    for name in ('configs/other_cpu.py', 'configs/other.py'):
        with pytest.raises(FileNotFoundError, match=f"config '{name}' does not exist"):
            read_config(name)


def test_pseudo_labels_elsewhere():
    assert find_pseudo_labels(Config(dict(pseudo_labels=dict(dir='x')))) == dict(dir='x')
    wrapped = dict(type='RepeatDataset', dataset=dict(pseudo_labels=dict(dir='y')))
    cfg = Config(dict(pseudo_labels=dict(dir='x'), train_dataloader=dict(dataset=wrapped)))
    assert find_pseudo_labels(cfg) == dict(dir='y')
    cfg.train_dataloader.dataset.dataset.pseudo_labels = None
    assert find_pseudo_labels(cfg) is None and find_pseudo_labels(Config(dict())) == {}


def test_splits():
    cfg = read_config('seg.py')
    assert label_splits(cfg) == ('train_aug', 'val')
    cfg.val_dataloader = None
    assert label_splits(cfg) == ('train_aug', None)
    find_pseudo_labels(cfg).update(split='train', val_split='few')
    assert label_splits(cfg) == ('train', 'few')
    assert split_name('annotations/x.json', 'val') == 'val'
    assert split_name('/data/ImageSets/Segmentation/train.txt') == 'train'
    assert split_name('lists/train.txt') is split_name(None) is split_name('ImageSets/Segmentation/a') is None


@pytest.mark.parametrize('wrap', [None, 'dataset', 'datasets'])
def test_options_of_pseudo_labels(wrap):
    """They have a short name."""
    if wrap:
        inner = "train_dataloader['dataset']" if wrap == 'dataset' else "[train_dataloader['dataset']] * 2"
        with open('seg.py', 'a') as file:
            file.write(f"train_dataloader['dataset'] = dict(type='Wrapper', {wrap}={inner})\n")
    cfg = read_config('seg.py', {'pseudo_labels.maps': ['Y_crf'], 'pseudo_labels.dir': 'here'})
    assert find_pseudo_labels(cfg) == dict(config='configs/bap.py', dir='here', maps=['Y_crf'])
    assert 'pseudo_labels' not in cfg
    assert find_pseudo_labels(read_config('seg.py', {'pseudo_labels': None})) is None


def test_pseudo_labels_in_two_places():
    with open('seg.py', 'a') as file:
        file.write("pseudo_labels = dict(dir='x')\n")
    with pytest.raises(ValueError, match='seg.py: pseudo_labels belongs in train_dataloader.dataset; at the top'):
        read_config('seg.py')
    (Path('plain.py')).write_text("pseudo_labels = dict(dir='x')\n")
    assert find_pseudo_labels(read_config('plain.py', {'pseudo_labels.dir': 'y'})) == dict(dir='y')


def test_nested_options():
    cfg = read_config('seg.py', {'model.head.num_classes': 4, 'new.field': (1, 2), 'custom_hooks': []})
    assert cfg.model.head.num_classes == 4 and cfg.new.field == (1, 2)
    assert read_config('seg.py', None).model.type == 'EncoderDecoder'


def test_options_from_a_command_line():
    assert parse_options([]) == {}
    assert parse_options(['a.b=1', 'c=2.5', 'd=text', 'e=[1,2]', 'f=None', 'g=']) == {
        'a.b': 1,
        'c': 2.5,
        'd': 'text',
        'e': [1, 2],
        'f': None,
        'g': '',
    }

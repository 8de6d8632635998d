"""Pipelines with named steps, merged by key, and the pseudo labels that a data set hands to them."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from bana_mm.datasets.named_steps import hand_labels, pipeline_steps
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.structures import LabelStore, read_label_png

LOAD, CROP, PACK = dict(type='Load'), dict(type='Crop', size=3), dict(type='Pack')


def test_lists_stay():
    assert pipeline_steps([LOAD, len]) == [LOAD, len] and pipeline_steps(()) == []


def test_order_and_left_out_steps():
    named = dict(pack=PACK, crop=CROP, load=LOAD, order=('load', 'crop', 'pack'))
    assert pipeline_steps(named) == [LOAD, CROP, PACK]
    assert pipeline_steps({**named, 'crop': None}) == [LOAD, PACK]
    assert pipeline_steps({**named, 'order': ['crop', 'load', 'pack']}) == [CROP, LOAD, PACK]


def test_names_and_order_belong_together():
    with pytest.raises(ValueError, match=r'pipeline\.corp is not in pipeline\.order, which is load, crop'):
        pipeline_steps(dict(order=('load', 'crop'), load=LOAD, crop=CROP, corp=dict(size=5)))
    with pytest.raises(
        ValueError, match=r'pipeline\.order names blur, but there is no such step; these are load, crop'
    ):
        pipeline_steps(dict(order=('load', 'blur', 'crop'), load=LOAD, crop=CROP))
    with pytest.raises(ValueError, match='pipeline: order must name the steps in sequence, which are load, crop'):
        pipeline_steps(dict(load=LOAD, crop=CROP))


def test_labels_go_to_their_transform():
    labels = dict(type='bana_mm.BoxPseudoLabel')
    given = dict(config='bap.py', dir='store', maps=('Y_crf',), mask_split='lists/train.txt', source=None)
    steps = hand_labels([LOAD, labels, len], given, 'root')
    expected = dict(labels, label_dir='store', maps=('Y_crf',), mask_split='root/lists/train.txt')
    assert steps == [LOAD, expected, len]
    assert hand_labels([dict(labels, label_dir='own')], given)[0]['label_dir'] == 'own'
    assert hand_labels([dict(labels, source='box')], None, 'root') == [dict(labels, source='box')]
    assert hand_labels([dict(type=BoxPseudoLabel)], dict(source='box'))[0]['source'] == 'box'
    assert hand_labels([labels], dict(source='box', mask_split='/abs.txt'), 'root')[0]['mask_split'] == '/abs.txt'
    with pytest.raises(ValueError, match='no step of the pipeline is a bana_mm.BoxPseudoLabel'):
        hand_labels([LOAD, CROP], dict(dir='store'))


@pytest.fixture
def root(tmp_path):
    root = make_tiny_voc(tmp_path)
    store = LabelStore(root / 'labels')
    store.begin(dict(classes=['ring', 'triangle']))
    for path in sorted((root / 'SegmentationClassAug').glob('train*.png')):
        label = read_label_png(path)
        store.write(path.stem, Y_crf=label, Y_ret=np.roll(label, 2, axis=1))
    return root


BASE = """
train_dataloader = dict(dataset=dict(
    type='bana_mm.VOCBoxDataset',
    data_root={root!r},
    ann_file='ImageSets/Segmentation/train_aug.txt',
    metainfo=dict(classes=('ring', 'triangle')),
    pseudo_labels=dict(config='bap.py', dir={labels!r}, maps=('Y_crf', 'Y_ret')),
    pipeline=dict(
        order=('load', 'labels', 'crop', 'pack'),
        load=dict(type='LoadImageFromFile'),
        labels=dict(type='bana_mm.BoxPseudoLabel'),
        crop=dict(type='RandomCrop', crop_size=(20, 24)),
        pack=dict(type='bana_mm.PackBoxSegInputs'))))
"""


@pytest.mark.parametrize('wrapped', [False, True])
def test_a_child_config_changes_a_step(root, tmp_path, wrapped):
    """Through mmengine alone: Config.fromfile, what it writes into work directories, and the registry."""
    (tmp_path / 'base.py').write_text(BASE.format(root=str(root), labels=str(root / 'labels')))
    (tmp_path / 'child.py').write_text(
        "_base_ = 'base.py'\ntrain_dataloader = dict(dataset=dict(\n"
        "    pseudo_labels=dict(maps=('Y_ret',), mask_split='ImageSets/Segmentation/val.txt'),\n"
        '    pipeline=dict(crop=dict(crop_size=(16, 16)))))\n'
    )
    cfg = Config.fromfile(tmp_path / 'child.py')
    cfg.merge_from_dict({'train_dataloader.dataset.pipeline.crop.crop_size': (8, 16)})
    cfg.dump(tmp_path / 'dumped.py')
    cfg = Config.fromfile(tmp_path / 'dumped.py')
    dataset = cfg.train_dataloader.dataset
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=dataset) if wrapped else dataset)
        sample = dataset[0]['data_samples']
    transform = (dataset.dataset if wrapped else dataset).pipeline.transforms[1]
    assert sample.gt_sem_seg.data.shape == (1, 8, 16)
    assert transform.store.maps == ('Y_ret',) and transform.num_classes == 2
    assert transform.mask_ids == set((root / 'ImageSets/Segmentation/val.txt').read_text().split())


def test_number_of_classes_is_checked(root, tmp_path):
    """A label of a class that the data set does not have is found, without any number in the config."""
    (tmp_path / 'base.py').write_text(BASE.format(root=str(root), labels=str(root / 'labels')))
    dataset = Config.fromfile(tmp_path / 'base.py').train_dataloader.dataset
    store = LabelStore(root / 'labels')
    label = read_label_png(root / 'SegmentationClassAug' / 'train_00000.png')
    store.write('train_00000', Y_crf=np.full_like(label, 3))
    with DefaultScope.overwrite_default_scope('mmseg'), pytest.raises(ValueError, match='holds class 3'):
        DATASETS.build(dataset)[0]

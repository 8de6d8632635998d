import hashlib

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch import nn

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels.classifier import build_classifier, describe_run, load_strictly
from bana_mm.labels.data import build_label_dataset


def small_model(width=3):
    model = nn.Sequential()
    model.add_module('first', nn.Linear(2, width))
    model.add_module('last', nn.Linear(width, 1))
    return model


def test_load_what_mmengine_saves(tmp_path):
    trained, model = small_model(), small_model()
    history = HistoryBuffer([1.0], [1])
    torch.save(dict(state_dict=trained.state_dict(), message_hub=dict(loss=history)), tmp_path / 'a.pth')
    load_strictly(model, tmp_path / 'a.pth')
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), model.parameters()))
    torch.save(small_model().state_dict(), tmp_path / 'bare.pth')
    load_strictly(model, tmp_path / 'bare.pth')
    assert not torch.equal(trained.first.weight, model.first.weight)


def test_checkpoint_of_another_model(tmp_path):
    state = small_model().state_dict()
    state['extra.weight'] = state.pop('last.weight')
    state['extra.scale'] = state.pop('last.bias')
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(
        ValueError,
        match=r'a\.pth: checkpoint of another model than my\.py: it lacks last\.bias and 1 '
        r'more; it has unknown extra\.scale and 1 more',
    ):
        load_strictly(small_model(), tmp_path / 'a.pth', 'my.py')
    torch.save(small_model(4).state_dict(), tmp_path / 'b.pth')
    with pytest.raises(ValueError, match=r'b\.pth.*first\.bias has shape \(4,\) instead of \(3,\)'):
        load_strictly(small_model(3), tmp_path / 'b.pth')


def test_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.pth: checkpoint does not exist; train.*tools/train\.py my\.py'):
        load_strictly(small_model(), tmp_path / 'a.pth', 'my.py')
    (tmp_path / 'a.pth').write_text('no weights')
    with pytest.raises(ValueError, match=r'a\.pth: not a checkpoint that can be read'):
        load_strictly(small_model(), tmp_path / 'a.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth: not a checkpoint'):
        load_strictly(small_model(), tmp_path / 'list.pth')


def test_other_models_are_no_classifiers(tmp_path):
    (tmp_path / 'seg.py').write_text("model = dict(type='mmdet.ChannelMapper', in_channels=[2], out_channels=2)")
    cfg = Config.fromfile(tmp_path / 'seg.py')
    with pytest.raises(ValueError, match=r'seg\.py: labels are made by a classifier.*model\.type mmdet\.ChannelMapper'):
        build_classifier(cfg, tmp_path / 'a.pth')


def test_dataset_of_a_split(tmp_path):
    root = make_tiny_voc(tmp_path)
    dataset = dict(
        type='bana_mm.VOCBoxDataset',
        data_root=str(root),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=[],
        metainfo=dict(classes=('ring', 'triangle')),
    )
    cfg = Config(dict(default_scope='mmdet', test_dataloader=dict(dataset=dataset)))
    assert len(build_label_dataset(cfg, 'train_aug')) == 6
    assert len(build_label_dataset(cfg, 'val')) == 2
    with pytest.raises(FileNotFoundError, match=r'ImageSets/Segmentation/all\.txt'):
        build_label_dataset(cfg, 'all')


def test_dataset_of_a_split_in_coco_format(tmp_path):
    root = make_tiny_coco(tmp_path)

    def loader(split, **kwargs):
        return dict(
            dataset=dict(
                type='bana_mm.CocoBoxDataset',
                data_root=str(root),
                pipeline=[],
                ann_file=f'annotations/instances_{split}2017.json',
                data_prefix=dict(img=f'{split}2017'),
                metainfo=dict(classes=('triangle',)),
                **kwargs,
            )
        )

    train = dict(dataset=dict(type='RepeatDataset', times=2, **loader('train', indices=1)))
    cfg = Config(dict(train_dataloader=train, val_dataloader=loader('val'), test_dataloader=loader('val')))
    assert [len(build_label_dataset(cfg, split)) for split in (None, 'train', 'val', 'test')] == [6, 6, 2, 2]
    assert 'train2017' in build_label_dataset(cfg).get_data_info(0)['img_path']
    with pytest.raises(ValueError, match="train, val and test, as the config's dataloaders; there is no train_aug_"):
        build_label_dataset(cfg, 'train_aug')


def test_description_knows_the_checkpoint_by_its_content(tmp_path):
    (tmp_path / 'x').mkdir()
    for path in (tmp_path / 'a.pth', tmp_path / 'x/a.pth'):
        path.write_bytes(b'weights' * 300_000)  # more than one block
    (tmp_path / 'bap.py').write_text('')
    cfg = Config.fromfile(tmp_path / 'bap.py')
    first = describe_run(cfg, tmp_path / 'a.pth', dict(threshold=0.5), ['cat'])
    second = describe_run(cfg, tmp_path / 'x/a.pth', dict(threshold=0.5), ['cat'])
    digest = hashlib.sha256(b'weights' * 300_000).hexdigest()
    assert (
        first
        == second
        == dict(
            config='bap.py',
            checkpoint=dict(name='a.pth', sha256=digest[:16]),
            recipe=dict(threshold=0.5),
            classes=['cat'],
        )
    )

import json

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from bana_mm.datasets.coco_files import image_folder
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import LabelItems
from bana_mm.labels.data import build_coco_dataset, build_label_dataset, config_scope


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


def test_the_scope_around_stays():
    with DefaultScope.overwrite_default_scope('mmseg'):
        for cfg, name in ((Config(), 'mmdet'), (Config(dict(default_scope='mmcls')), 'mmcls')):
            with config_scope(cfg):
                assert DefaultScope.get_current_instance().scope_name == name
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'


def test_a_coco_file_alone(tmp_path):
    """All its categories are classes, in the order of the file; ids are numbers or names."""
    root = make_tiny_coco(tmp_path / 'coco', num_train=2, more_categories=['square'])
    ann_file = root / 'annotations/instances_train2017.json'
    assert image_folder(ann_file, json.loads(ann_file.read_text())) == root / 'train2017'
    items = LabelItems(build_coco_dataset(ann_file))
    assert items.classes == ('ring', 'triangle', 'square') and items.category_ids == (3, 5, 7)
    assert items.img_ids == ['4', '9'] and items.ann_file == str(ann_file)
    names = LabelItems(build_coco_dataset(ann_file, id_from='file_name'))
    assert names.img_ids == ['000000000004', '000000000009'] and [item.number for item in names] == [4, 9]
    content = json.loads(ann_file.read_text())
    for item, image in zip(items, content['images']):
        assert item.layout.size == items.size(content['images'].index(image)) == (image['height'], image['width'])
        boxes = [one['bbox'] for one in content['annotations'] if one['image_id'] == image['id']]
        expected = [[x, y, x + width, y + height] for x, y, width, height in boxes]
        assert item.layout.boxes.tolist() == expected

    listed = [dict(id=0, name='background'), *content['categories']]  # as some programs write it
    ann_file.write_text(json.dumps(dict(content, categories=listed)))
    assert LabelItems(build_coco_dataset(ann_file)).classes == items.classes
    taken = [dict(one, name='Background') for one in content['categories']]  # but with boxes
    ann_file.write_text(json.dumps(dict(content, categories=taken)))
    with pytest.raises(ValueError, match="'Background' is no object class"):
        build_coco_dataset(ann_file)
    ann_file.write_text(json.dumps(content))
    (root / 'train2017').rename(root / 'elsewhere')
    with pytest.raises(FileNotFoundError, match='train2017.json: the folder of its images does not exist.*--img-dir'):
        build_coco_dataset(ann_file)
    assert len(build_coco_dataset(ann_file, root / 'elsewhere')) == 2
    ann_file.write_text(json.dumps(dict(content, annotations=[], categories=[])))
    with pytest.raises(ValueError, match='json: categories is empty'):
        build_coco_dataset(ann_file, root / 'elsewhere')

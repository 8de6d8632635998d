"""A data set of one's own is put into configs of all stages; building them is in test_configs/test_own_data.py."""

import pytest
from mmengine.config import Config

import bana_mm.registry  # noqa: F401  registers the scope
from bana_mm.utils.config import apply_data

VOC = "type='bana_mm.VOCBoxDataset', data_root='zoo', metainfo=dict(classes=('lion', 'zebra'))"
COCO = (
    "type='bana_mm.CocoBoxDataset', data_root='zoo', metainfo=dict(classes=('lion', 'zebra')), "
    "data_prefix=dict(img='images', seg='masks'), id_from='file_name'"
)


@pytest.fixture
def file(tmp_path):
    """A file of a data set with these arguments."""

    def write(arguments):
        path = tmp_path / 'zoo.py'
        path.write_text(f'data = dict({arguments})')
        return path

    return write


def loader(mode, **more):
    dataset = dict(
        type='bana_mm.VOCBoxDataset',
        data_root='VOC',
        ann_file=f'{mode}_aug.txt',
        data_prefix=dict(seg_map_path='SegmentationClassAug'),
        difficult='keep',
        background_class=True,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')],
        **more,
    )
    return dict(batch_size=3, dataset=dataset)


def config(model='EncoderDecoder', **more):
    modes = ('train', 'val', 'test')
    parts = {f'{mode}_dataloader': loader(mode, test_mode=mode != 'train') for mode in modes}
    parts.update({f'{mode}_{part}': dict(type='X') for mode in modes[1:] for part in ('cfg', 'evaluator')})
    return Config(dict(model=dict(type=model), **parts, **more))


def test_description_goes_and_the_stage_stays(file):
    cfg = config()
    cfg.train_dataloader.dataset.update(pseudo_labels=dict(dir='labels'))
    apply_data(cfg, file(f"{VOC}, train='train.txt', val=dict(ann_file='val.txt', img_suffix='.png')"))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    common = dict(
        type='bana_mm.VOCBoxDataset',
        data_root='zoo',
        metainfo=dict(classes=('lion', 'zebra')),
        data_prefix={},
        difficult='keep',
        background_class=True,
        pipeline=pipeline,
    )
    assert cfg.train_dataloader.to_dict() == dict(
        batch_size=3, dataset=dict(common, ann_file='train.txt', test_mode=False, pseudo_labels=dict(dir='labels'))
    )
    for mode in ('val', 'test'):  # without test it is val
        dataset = dict(common, ann_file='val.txt', img_suffix='.png', test_mode=True)
        assert cfg[f'{mode}_dataloader'].to_dict() == dict(batch_size=3, dataset=dataset)


def test_parts_with_folders_of_their_own(file):
    cfg = config()
    parts = "train='a.json', val=dict(ann_file='b.json', data_prefix=dict(img='others')), test='c.json'"
    apply_data(cfg, file(f'{COCO}, {parts}'))
    prefixes = [cfg[f'{mode}_dataloader'].dataset.data_prefix.to_dict() for mode in ('train', 'val', 'test')]
    assert prefixes == [dict(img=name, seg='masks') for name in ('images', 'others', 'images')]
    assert cfg.test_dataloader.dataset.ann_file == 'c.json' and cfg.test_dataloader.dataset.id_from == 'file_name'


def test_arguments_of_the_type(file):
    """What VOC's data set alone knows stays for data in VOC's layout, unless the file says otherwise."""
    for arguments, expected in (
        (f"{VOC}, train='train.txt'", 'keep'),
        (f"{VOC}, difficult='ignore', train='train.txt'", 'ignore'),
        (f"{COCO}, train='a.json'", None),
    ):
        cfg = config()
        apply_data(cfg, file(arguments))
        assert cfg.train_dataloader.dataset.get('difficult') == expected


def test_classes_of_the_type(file):
    """Data with COCO's own classes need not name them."""
    cfg = config()
    apply_data(cfg, file("type='bana_mm.CocoBoxDataset', train='a.json'"))
    assert cfg.train_dataloader.dataset.metainfo.classes[:2] == ('person', 'bicycle')
    assert len(cfg.train_dataloader.dataset.metainfo.classes) == 80


def test_wrapped_data(file):
    cfg = config()
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    apply_data(cfg, file(f"{VOC}, train='train.txt', val='val.txt'"))
    assert cfg.train_dataloader.dataset.times == 2 and cfg.train_dataloader.dataset.dataset.ann_file == 'train.txt'


def test_nothing_to_evaluate_on(file):
    cfg, classifier = config(), config('bana_mm.BoxClassifier')
    for one in (cfg, classifier):
        apply_data(one, file(f"{VOC}, train='train.txt'"))
        assert [one[f'val_{part}'] for part in ('dataloader', 'cfg', 'evaluator')] == [None] * 3
    assert [cfg[f'test_{part}'] for part in ('dataloader', 'cfg', 'evaluator')] == [None] * 3
    # labels are made of the images in its test_dataloader
    assert classifier.test_dataloader.dataset.ann_file == 'train.txt' and classifier.test_cfg is not None


def instances():
    return Config(
        dict(
            model=dict(type='MaskRCNN'),
            train_dataloader=dict(
                dataset=dict(
                    type='bana_mm.CocoPseudoMaskDataset',
                    pseudo_labels=dict(config='bap.py', json='masks.json', boxes='coco.json'),
                    data_prefix=dict(img='coco/train'),
                    filter_cfg=dict(min_size=32),
                )
            ),
            val_dataloader=dict(dataset=dict(type='CocoDataset', data_root='coco', ann_file='v.json', test_mode=True)),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=[dict(type='CocoMetric', ann_file='coco/v.json'), dict(type='Other', ann_file=None)],
            test_dataloader=None,
        )
    )


def test_instances(file):
    cfg = instances()
    apply_data(cfg, file(f"{COCO}, train='a.json', val='b.json'"))
    assert cfg.train_dataloader.dataset.to_dict() == dict(
        type='bana_mm.CocoPseudoMaskDataset',
        pseudo_labels=dict(config='bap.py', json='masks.json', boxes='zoo/a.json', img_dir='zoo/images'),
        data_root='',
        data_prefix=dict(img='zoo/images'),
        metainfo=dict(classes=('lion', 'zebra')),
        filter_cfg=dict(min_size=32),
    )
    assert cfg.val_dataloader.dataset.to_dict() == dict(
        type='CocoDataset',
        data_root='',
        ann_file='zoo/b.json',
        data_prefix=dict(img='zoo/images'),
        metainfo=dict(classes=('lion', 'zebra')),
        test_mode=True,
    )
    assert [metric.ann_file for metric in cfg.val_evaluator] == ['zoo/b.json', None]
    cfg = instances()
    cfg.train_dataloader.dataset.update(pseudo_labels=None, ann_file='true.json')
    apply_data(cfg, file(f"{COCO}, train='a.json'"))
    assert cfg.train_dataloader.dataset.ann_file == 'zoo/a.json' and cfg.val_dataloader is None
    with pytest.raises(ValueError, match="zoo.py: .* trains on instances, which needs data in COCO's format"):
        apply_data(instances(), file(f"{VOC}, train='train.txt'"))


@pytest.mark.parametrize(
    'arguments, message',
    [
        ("data_root='zoo'", 'data lacks type and train; it must be as in data = dict'),
        ("type='bana_mm.VOCBoxDataset'", 'data lacks train'),
        ("type='ADE20KDataset', train='train.txt'", 'data lacks the names of the classes'),
    ],
)
def test_bad_files(file, arguments, message):
    with pytest.raises(ValueError, match=rf'zoo\.py: {message}'):
        apply_data(config(), file(arguments))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="data set file 'nowhere.py' does not exist"):
        apply_data(config(), 'nowhere.py')
    (tmp_path / 'none.py').write_text('classes = (1, 2)')
    with pytest.raises(ValueError, match=r'none\.py: a file of a data set has data = dict'):
        apply_data(config(), tmp_path / 'none.py')

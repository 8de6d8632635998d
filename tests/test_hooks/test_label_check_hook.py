"""A training without labels stops before it starts."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import BaseLoop

from bana_mm.registry import HOOKS as OUR_HOOKS
from bana_mm.structures import LabelStore


class Items(BaseDataset):
    METAINFO = dict(classes=('background', 'cat', 'dog'))

    def __init__(self, ids, with_masks=False, **transform):
        self.ids = ids
        self.with_masks = with_masks
        pipeline = [dict(type='bana_mm.BoxPseudoLabel', **transform)] if transform else []
        super().__init__(pipeline=pipeline)

    def load_data_list(self):
        masks = dict(seg_map_path='mask.png') if self.with_masks else {}
        return [dict(img_id=img_id, **masks) for img_id in self.ids]


class Loop(BaseLoop):
    def run(self):
        raise NotImplementedError


def check(dataset, training=True, **cfg):
    loop = Loop.__new__(Loop) if training else dict(type='IterBasedTrainLoop')
    runner = SimpleNamespace(_train_loop=loop, train_dataloader=SimpleNamespace(dataset=dataset), cfg=ConfigDict(cfg))
    with DefaultScope.overwrite_default_scope('mmseg'):
        HOOKS.build(dict(type='bana_mm.LabelCheckHook')).before_run(runner)


@pytest.fixture
def store(tmp_path):
    store = LabelStore(tmp_path / 'labels')
    store.begin(dict(classes=['cat', 'dog']))
    zeros = np.zeros((2, 2), np.uint8)
    for img_id in ('a', 'b'):
        store.write(img_id, Y_crf=zeros, Y_ret=zeros)
    store.write('half', Y_crf=zeros)
    return store


def test_registered():
    assert OUR_HOOKS.get('LabelCheckHook') is not None


def test_all_there(store):
    check(Items(['a', 'b'], label_dir=str(store.root)))
    check(Items(['half'], label_dir=str(store.root), maps=('Y_crf',)))
    check(Items(['c'], label_dir=str(store.root), source='box'))
    check(Items(['c'], source='box'))
    check(Items(['c']))


def test_missing_in_a_source(store):
    source = f'files:{store.root / "Y_crf"}'
    check(Items(['a', 'half'], source=source))
    with pytest.raises(FileNotFoundError, match=r"1 of 2 training images have no labels in FilesSource.*Y_crf'.*\(c\)"):
        check(Items(['a', 'c'], source=source))


@pytest.mark.parametrize(
    'wrap',
    [lambda data: data, lambda data: RepeatDataset(data, times=2), lambda data: ConcatDataset([Items(['x']), data])],
    ids=['plain', 'repeated', 'concatenated'],
)
def test_missing(store, wrap):
    dataset = wrap(Items(['a', 'c', 'half', 'd', 'e'], label_dir=str(store.root)))
    with pytest.raises(FileNotFoundError, match=r'4 of 5 training images .*\(c, half, d, \.\.\.\)'):
        check(dataset)


def test_commands(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bap.py').write_text("train_cfg = dict(type='IterBasedTrainLoop', max_iters=7)\n")
    pseudo_labels = dict(config='bap.py', checkpoint=None, split='train_aug')
    with pytest.raises(FileNotFoundError) as error:
        check(Items(['c'], label_dir='labels'), pseudo_labels=pseudo_labels)
    assert [line.strip() for line in str(error.value).splitlines() if 'python' in line] == [
        'python -m bana_mm train bap.py',
        'python -m bana_mm generate_labels bap.py work_dirs/bap/iter_7.pth --out-dir labels --split train_aug',
    ]
    with pytest.raises(
        FileNotFoundError, match=r"\(c\)\. They can not .*checkpoint 'bap\.pth' does not exist.*, or set BoxPseudoLabel"
    ):
        check(Items(['c'], label_dir='labels'), pseudo_labels=dict(pseudo_labels, checkpoint='bap.pth'))


def test_missing_without_settings(store):
    with pytest.raises(FileNotFoundError, match=r'1 of 1 .*\(c\)[\s\S]*CONFIG CHECKPOINT --out-dir .* --split SPLIT'):
        check(Items(['c'], label_dir=str(store.root)))


def test_tests_are_left_alone(store):
    check(Items(['c'], label_dir=str(store.root)), training=False)


def test_labels_of_other_classes(store):
    store.begin(dict(classes=['cow', 'cat']), overwrite=True)
    zeros = np.zeros((2, 2), np.uint8)
    store.write('a', Y_crf=zeros, Y_ret=zeros)
    with pytest.raises(ValueError, match='of the classes cow, cat; the training set has cat, dog'):
        check(Items(['a'], label_dir=str(store.root)))


class TestMasks:
    @pytest.fixture
    def settings(self, store, tmp_path):
        (tmp_path / 'train.txt').write_text('c\nd\n')
        return dict(label_dir=str(store.root), mask_split=str(tmp_path / 'train.txt'))

    def test_says_how_many(self, settings, monkeypatch):
        said = []
        monkeypatch.setattr('bana_mm.hooks.label_check_hook.print_log', lambda message, logger: said.append(message))
        check(Items(['a', 'b', 'a', 'c', 'd'], with_masks=True, **settings))
        assert said == ['2 training images take their masks, 3 pseudo labels']

    def test_missing_labels_of_the_others(self, settings):
        with pytest.raises(FileNotFoundError, match=r'1 of 3 training images have no .*\(e\)'):
            check(Items(['a', 'c', 'e'], with_masks=True, **settings))

    def test_missing_masks(self, settings):
        with pytest.raises(FileNotFoundError, match=r'1 training images of .*train\.txt have no mask \(c\): .*seg_map'):
            check(Items(['a', 'c'], **settings))

    def test_no_image_of_the_split(self, settings):
        with pytest.raises(ValueError, match=r'train\.txt: none of the 2 training images is in it'):
            check(Items(['a', 'b'], with_masks=True, **settings))


def test_two_images_of_one_id(store):
    def items(path):
        made = Items(['a'], label_dir=str(store.root))
        made.full_init()
        load = made.get_data_info
        made.get_data_info = lambda index: dict(load(index), img_path=path)
        return made

    check(ConcatDataset([items('fold1/a.jpg'), items('fold1/a.jpg')]))  # one image, seen twice as often
    with pytest.raises(ValueError, match=r'the labels of fold1/a\.jpg and fold2/a\.jpg would be one'):
        check(ConcatDataset([items('fold1/a.jpg'), items('fold2/a.jpg')]))

"""Pseudo labels in mmseg's pipelines."""

import pickle

import cv2
import mmseg.datasets.transforms  # noqa: F401  registers mmseg's transforms
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.labels import MapSource
from bana_mm.registry import TRANSFORMS
from bana_mm.structures import LabelStore, write_label_png

HEIGHT, WIDTH = 40, 56


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def data(tmp_path):
    """One image and a store whose labels tell pixels apart; they are reliable where the label is divisible by 3."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    y_crf = ((column * 7 + row * 13) % 200).astype(np.uint8)
    y_crf[:3, :5] = 255
    y_ret = np.where(y_crf % 3 == 0, y_crf, y_crf + 1).astype(np.uint8)  # 255 in both where ignored
    store = LabelStore(tmp_path / 'labels')
    store.begin({})
    store.write('a', Y_crf=y_crf, Y_ret=y_ret)
    img_path = tmp_path / 'a.png'
    cv2.imwrite(str(img_path), np.stack([y_crf] * 3, axis=-1))
    results = dict(img_path=str(img_path), img_id='a', height=HEIGHT, width=WIDTH, seg_fields=[], instances=[])
    return results, tmp_path / 'labels'


def run(data, *transforms, **kwargs):
    results, label_dir = data
    load = [dict(type='LoadImageFromFile'), dict(type='bana_mm.BoxPseudoLabel', label_dir=str(label_dir), **kwargs)]
    return Compose([*load, *transforms, dict(type='bana_mm.PackBoxSegInputs')])(pickle.loads(pickle.dumps(results)))


def maps(packed):
    sample = packed['data_samples']
    assert sample.gt_reliable_map.data.dtype == torch.bool
    assert sample.gt_reliable_map.data.shape == sample.gt_sem_seg.data.shape
    return sample.gt_sem_seg.data[0], sample.gt_reliable_map.data[0]


RESIZE = dict(type='RandomResize', scale=(WIDTH, WIDTH), ratio_range=(0.5, 1.5), keep_ratio=True)
STRETCH = dict(type='Resize', scale=(31, 47), keep_ratio=False)
CROP = dict(type='RandomCrop', crop_size=(24, 24), cat_max_ratio=0.75)
FLIP = dict(type='RandomFlip', prob=0.5)
VERTICAL = dict(type='RandomFlip', prob=1.0, direction='vertical')
PAD = dict(type='Pad', size=(90, 80))
ROTATE = dict(type='RandomRotate', prob=1.0, degree=20.0)


@pytest.mark.parametrize(
    'transforms',
    [
        [],
        [RESIZE],
        [STRETCH],
        [CROP],
        [FLIP],
        [VERTICAL],
        [PAD],
        [ROTATE],
        [RESIZE, CROP, FLIP],
        [RESIZE, CROP, FLIP, PAD],
        [RESIZE, FLIP, PAD, CROP],
        [STRETCH, VERTICAL, ROTATE, CROP, PAD],
        [dict(type='RandomCutOut', prob=1.0, n_holes=3, cutout_shape=(5, 5), seg_fill_in=255)],
    ],
    ids=lambda transforms: '-'.join(t['type'] for t in transforms),
)
def test_both_maps_stay_on_the_image(data, transforms):
    for seed in range(6):
        np.random.seed(seed)
        packed = run(data, *transforms)
        label, reliable = maps(packed)
        assert torch.equal(reliable, (label % 3 == 0) & (label != 255))
        assert label.shape == packed['inputs'].shape[1:]
        if len(transforms) == 1 and transforms[0] in (CROP, FLIP, VERTICAL):  # image and label hold the same values
            assert torch.equal(label, packed['inputs'][0].long())


@pytest.mark.parametrize('transforms', [[PAD, VERTICAL], [PAD, STRETCH]])
def test_pad_before_other_transforms_is_noticed(data, transforms):
    with pytest.raises(ValueError, match=r'a\.png: gt_reliable_map does not lie on gt_seg_map'):
        run(data, *transforms)


@pytest.mark.parametrize('name', ['Y_crf', 'Y_ret'])
def test_single_map_is_all_reliable(data, name):
    label, reliable = maps(run(data, maps=(name,)))
    stored = LabelStore(data[1]).read(name, 'a')
    assert np.array_equal(label, stored) and torch.equal(reliable, label != 255)


def test_id_from_image_path(data):
    del data[0]['img_id']
    assert maps(run(data))[0][1, 10] == 83


class TestFromBoxes:
    def make(self, instances, **kwargs):
        results = dict(img=np.zeros((6, 8, 3), np.uint8), img_id='a', instances=instances)
        return BoxPseudoLabel(**{'source': 'box', **kwargs}).transform(results)

    def test_smallest_box_in_front_and_ignored_boxes(self):
        results = self.make(
            [
                dict(bbox=[1.0, 1.0, 3.0, 3.0], bbox_label=4, ignore_flag=0),
                dict(bbox=[0.0, 0.0, 5.0, 4.0], bbox_label=0, ignore_flag=0),
                dict(bbox=[4.0, 3.0, 7.0, 5.0], bbox_label=2, ignore_flag=1),
            ]
        )
        assert results['seg_fields'] == ['gt_seg_map', 'gt_reliable_map']
        assert results['gt_seg_map'].tolist() == [
            [1, 1, 1, 1, 1, 0, 0, 0],
            [1, 5, 5, 1, 1, 0, 0, 0],
            [1, 5, 5, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 1, 255, 255, 0],
            [0, 0, 0, 0, 255, 255, 255, 0],
            [0, 0, 0, 0, 0, 0, 0, 0]]  # yapf: disable
        assert np.array_equal(results['gt_reliable_map'], results['gt_seg_map'] != 255)

    def test_no_boxes_is_background(self):
        results = self.make([])
        assert results['gt_seg_map'].max() == 0 and results['gt_reliable_map'].min() == 1

    def test_image_goes_to_the_source_in_rgb(self):
        class Seen(MapSource):
            name = 'seen'

            def label_maps(self, item):
                self.item = item
                return dict(seen=np.zeros(item.layout.size, np.uint8))

        transform = BoxPseudoLabel(source='grabcut')
        transform.source = source = Seen()
        img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        instances = [dict(bbox=[0, 0, 1, 1], bbox_label=4, ignore_flag=0)]
        # the file is not read again
        transform.transform(dict(img=img, img_path='nowhere/7.jpg', height=2, width=2, instances=instances))
        assert np.array_equal(source.item.image, img[..., ::-1]) and source.item.img_id == '7'
        assert source.item.layout.size == (2, 2) and source.item.layout.box_classes == (5,)

    def test_several_sources(self):
        """The label of the first, reliable where both name it; ignored boxes count in neither."""
        results = self.make(
            [
                dict(bbox=[1.0, 1.0, 7.0, 5.0], bbox_label=4, ignore_flag=0),
                dict(bbox=[0.0, 0.0, 8.0, 1.0], bbox_label=4, ignore_flag=1),
            ],
            source=['box', dict(type='box_crf', bilateral=None, gaussian=None, iterations=0, centre=0.25)],
        )
        label, reliable = np.zeros((6, 8), np.uint8), np.ones((6, 8), np.uint8)
        label[1:5, 1:7], label[0] = 5, 255
        reliable[1:5, 1:7], reliable[0] = 0, 0
        reliable[2:4, 2:5] = 1  # the middle: half of each side, of 4 x 6 pixels
        assert np.array_equal(results['gt_seg_map'], label)
        assert np.array_equal(results['gt_reliable_map'], reliable)

    def test_stored_labels_go_first(self, data):
        results, label_dir = data
        transform = TRANSFORMS.build(
            dict(type='bana_mm.BoxPseudoLabel', label_dir=str(label_dir), source=dict(type='box'))
        )
        img = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        stored, made = (transform.transform(dict(results, img=img, img_id=name, seg_fields=[])) for name in 'ab')
        assert stored['gt_seg_map'].max() == 255 and made['gt_seg_map'].max() == 0
        assert transform.missing([dict(img_id='a'), dict(img_path='x/b.jpg')]) == []


class TestFromElsewhere:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / 'sam').mkdir()
        write_label_png(tmp_path / 'sam/a.png', np.array([[0, 1, 1, 255], [0, 1, 3, 0]], np.uint8))
        return tmp_path / 'sam'

    def make(self, img_id='a', **kwargs):
        boxes = [dict(bbox=[1.0, 0.0, 4.0, 2.0], bbox_label=0, ignore_flag=0)]
        return BoxPseudoLabel(**kwargs).transform(
            dict(img=np.zeros((2, 4, 3), np.uint8), img_id=img_id, instances=boxes)
        )

    def test_looked_up_by_id(self, folder):
        results = self.make(source=f'files:{folder}')
        assert results['gt_seg_map'].tolist() == [[0, 1, 1, 255], [0, 1, 3, 0]]
        assert results['gt_reliable_map'].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]

    def test_first_is_the_label_and_reliable_where_both_agree(self, folder):
        results = self.make(source=['box', dict(type='files', path=str(folder))], num_classes=1)
        assert results['gt_seg_map'].tolist() == [[0, 1, 1, 1], [0, 1, 1, 1]]
        assert results['gt_reliable_map'].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]

    def test_by_the_crf(self):
        crf = dict(type='box_crf', centre=1.0, bilateral=None, gaussian=None)
        assert self.make(source=crf)['gt_seg_map'].tolist() == [[0, 1, 1, 1]] * 2

    def test_missing(self, folder, data):
        items = [dict(img_id=img_id) for img_id in 'abc']
        assert BoxPseudoLabel(source=f'files:{folder}').missing(items) == ['b', 'c']
        folder.joinpath('a.png').rename(folder / 'b.png')
        both = BoxPseudoLabel(label_dir=str(data[1]), source=f'files:{folder}')
        assert both.missing(items) == ['c']  # a is stored

    def test_bad_input(self, folder):
        with pytest.raises(ValueError, match=r"sam'\), .*image a: label map holds class 3; allowed"):
            self.make(source=f'files:{folder}', num_classes=2)
        with pytest.raises(FileNotFoundError, match=r'sam/b\.png: label map is missing'):
            self.make('b', source=f'files:{folder}')
        with pytest.raises(ValueError, match='at least two label sources'):
            BoxPseudoLabel(source=['box'])


class TestMasks:
    @pytest.fixture
    def semi(self, data, tmp_path):
        """Image a takes its mask; b looks alike and takes the labels."""
        results, label_dir = data
        mask = np.full((HEIGHT, WIDTH), 7, np.uint8)
        mask[:5] = 255
        write_label_png(tmp_path / 'mask.png', mask)
        split = tmp_path / 'train.txt'
        split.write_text('a\nz\n')
        store = LabelStore(label_dir)
        store.write('b', **{name: store.read(name, 'a') for name in store.maps})
        for name in store.maps:
            store.path(name, 'a').unlink()
        return dict(results, seg_map_path=str(tmp_path / 'mask.png')), label_dir, str(split), mask

    def test_mask_is_reliable_where_not_ignored(self, semi):
        results, label_dir, split, mask = semi
        label, reliable = maps(run((results, label_dir), mask_split=split, num_classes=200))
        assert np.array_equal(label, mask) and torch.equal(reliable, label != 255)

    def test_other_images_take_labels(self, semi):
        results, label_dir, split, _ = semi
        label, reliable = maps(run((dict(results, img_id='b'), label_dir), mask_split=split))
        assert torch.equal(reliable, (label % 3 == 0) & (label != 255)) and not reliable.all()

    def test_masks_and_labels_move_alike(self, semi):
        results, label_dir, split, mask = semi
        packed = run((results, label_dir), RESIZE, CROP, FLIP, mask_split=split)
        label, reliable = maps(packed)
        assert label.shape == packed['inputs'].shape[1:] and torch.equal(reliable, label == 7)

    def test_counts(self, semi):
        results, label_dir, split, _ = semi
        transform = BoxPseudoLabel(label_dir=str(label_dir), mask_split=split)
        items = [dict(results, img_id=img_id) for img_id in 'abc'] + [dict(img_id='z')]
        assert transform.masked(items) == ['a', 'z'] and transform.missing(items) == ['c']
        assert transform.without_mask(items) == ['z']
        assert BoxPseudoLabel(label_dir=str(label_dir)).masked(items) == []

    def test_no_mask(self, semi):
        results, label_dir, split, _ = semi
        with pytest.raises(FileNotFoundError, match=r'train\.txt lists a, .*no mask'):
            run((dict(results, seg_map_path=None), label_dir), mask_split=split)

    def test_class_out_of_range(self, semi):
        results, label_dir, split, _ = semi
        with pytest.raises(ValueError, match=r'mask\.png: .*class 7.*0\.\.5'):
            run((results, label_dir), mask_split=split, num_classes=5)

    def test_bad_split(self, semi, tmp_path):
        (tmp_path / 'empty.txt').write_text('\n')
        with pytest.raises(ValueError, match=r'empty\.txt.* lists no image'):
            BoxPseudoLabel(source='box', mask_split=str(tmp_path / 'empty.txt'))
        with pytest.raises(FileNotFoundError, match=r'nowhere\.txt.* one image id a line'):
            BoxPseudoLabel(source='box', mask_split='nowhere.txt')


class TestBadInput:
    def test_nothing_to_read(self):
        with pytest.raises(ValueError, match='set label_dir .* or source'):
            BoxPseudoLabel()

    def test_unknown_source(self):
        with pytest.raises(KeyError, match='snake'):
            BoxPseudoLabel(source='snake')

    def test_maps_as_string(self):
        with pytest.raises(ValueError, match="got 'Y_crf'"):
            BoxPseudoLabel(label_dir='x', maps='Y_crf')

    def test_missing_label(self, data):
        data[0]['img_id'] = 'b'
        with pytest.raises(FileNotFoundError, match=r'Y_crf/b\.png'):
            run(data)

    def test_missing_list(self, data):
        transform = BoxPseudoLabel(label_dir=str(data[1]))
        assert transform.missing([dict(img_id='a'), dict(img_path='x/b.jpg')]) == ['b']

    def test_other_size(self, data):
        LabelStore(data[1]).write('a', Y_ret=np.zeros((HEIGHT, WIDTH - 1), np.uint8))
        with pytest.raises(ValueError, match=r'Y_ret/a\.png: .*40 x 55.*40 x 56'):
            run(data)

    def test_class_out_of_range(self, data):
        with pytest.raises(ValueError, match=r'Y_crf/a\.png: .*class 21.*0\.\.20'):
            run(data, num_classes=20)

    def test_after_a_geometric_transform(self, data):
        results, label_dir = data
        load = dict(type='bana_mm.BoxPseudoLabel', label_dir=label_dir)
        pipeline = Compose([dict(type='LoadImageFromFile'), FLIP, load])
        with pytest.raises(ValueError, match='must come before'):
            pipeline(results)


def test_two_images_of_one_stem(data, tmp_path):
    """Without img_id, labels are found by the stem of the path: fold1/a.jpg and fold2/a.jpg have one label map."""
    results, label_dir = data
    transform = BoxPseudoLabel(label_dir=str(label_dir))
    del results['img_id']
    image = dict(img=np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for _ in range(2):
        transform.transform({**pickle.loads(pickle.dumps(results)), **image})
    with pytest.raises(ValueError, match=r"labels of .*/a\.png and other/a\.jpg would be one, 'a'"):
        transform.transform({**results, **image, 'img_path': 'other/a.jpg'})

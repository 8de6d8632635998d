import shutil
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.registry import DefaultScope
from PIL import Image
from torch import nn

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import runner
from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.runner import generate_labels, size_batches
from bana_mm.structures import LabelStore

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]


class TinyClassifier(nn.Module):
    """Fixed random features at stride 4; counts the images it sees."""

    def __init__(self, pad_size_divisor=1):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor(
            mean=[100.0] * 3, std=[50.0] * 3, pad_size_divisor=pad_size_divisor
        )
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(8, 3, 7, 7, generator=generator) / 7
        self.bap_head = SimpleNamespace(weight=torch.randn(3, 8, generator=generator))
        self.seen = 0
        self.batches = []

    def extract_feat(self, inputs):
        self.seen += len(inputs)
        self.batches.append(len(inputs))
        return nn.functional.conv2d(inputs, self.kernel, stride=4, padding=3).relu()


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    """Six small images, the first of them without boxes, the second stored in grey."""
    root = make_tiny_voc(tmp_path_factory.mktemp('voc'))
    first, second, *_ = (root / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    annotation = root / f'Annotations/{first}.xml'
    text = annotation.read_text()
    annotation.write_text(text[: text.index('<object>')] + '</annotation>')
    Image.open(root / f'JPEGImages/{second}.jpg').convert('L').save(root / f'JPEGImages/{second}.jpg')
    return root


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='module')
def like_sizes(voc, tmp_path_factory):
    """The same with the second and fifth image cut to the size of the first; the fifth's annotation names another."""
    root = tmp_path_factory.mktemp('like') / 'voc'
    shutil.copytree(voc, root)
    ids = (root / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    for number in range(6):
        size = (40, 30) if number in (0, 1, 4) else (40 + number, 30)
        image = Image.open(root / f'JPEGImages/{ids[number]}.jpg').crop((0, 0, *size))
        image.save(root / f'JPEGImages/{ids[number]}.jpg')
        annotation = root / f'Annotations/{ids[number]}.xml'
        tree = ET.parse(annotation)
        tree.find('size/width').text, tree.find('size/height').text = str(42 if number == 4 else size[0]), '30'
        for node in tree.iter('bndbox'):
            for name, value in (('xmin', 5), ('ymin', 4), ('xmax', 25), ('ymax', 28)):
                node.find(name).text = str(value)
        tree.write(annotation)
    return root


def dataset_of(root, pipeline=PIPELINE):
    return VOCBoxDataset(
        'ImageSets/Segmentation/train_aug.txt',
        data_root=str(root),
        pipeline=pipeline,
        test_mode=True,
        metainfo=dict(classes=('ring', 'triangle')),
    )


def label(voc, folder, check=True, **kwargs):
    """Label all images with a fresh model; returns the run, the model and the maps."""
    model, store = TinyClassifier(), LabelStore(folder)
    store.begin(dict(any='thing'))
    generator = LabelGenerator.from_model(model, dict(crf=dict(iterations=3)))
    run = generate_labels(model, dataset_of(voc), store, generator, **kwargs)
    return run, model, maps_of(store, voc) if check else None


def maps_of(store, voc):
    ids = (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    return {(name, img_id): store.read(name, img_id, num_classes=2) for name in store.maps for img_id in ids}


@pytest.fixture(scope='module')
def reference(voc, tmp_path_factory):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return label(voc, tmp_path_factory.mktemp('labels'))


def same_maps(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_all_images_are_labelled(voc, reference):
    run, model, maps = reference
    assert (run.images, run.skipped, model.seen) == (6, 0, 6)
    first, *others = (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    assert maps['Y_crf', first].max() == maps['Y_ret', first].max() == 0  # no boxes
    for img_id in others:
        for name in ('Y_crf', 'Y_ret'):
            assert set(np.unique(maps[name, img_id])) > {0}
            with Image.open(voc / f'JPEGImages/{img_id}.jpg') as image:
                assert maps[name, img_id].shape == image.size[::-1]
    assert 0 < sum(run.parts.values()) <= run.seconds
    assert str(run).startswith('6 images in ') and 'in the main process' in str(run)


@pytest.mark.parametrize('options', [dict(workers=1), dict(workers=3), dict(loading_workers=1)])
def test_labels_do_not_depend_on_workers(voc, tmp_path, reference, options):
    run, _, maps = label(voc, tmp_path, **options)
    assert same_maps(maps, reference[2])
    assert run.worker_seconds > 0


@pytest.mark.parametrize('options', [dict(), dict(workers=1, loading_workers=1)])
def test_labels_do_not_depend_on_the_batch(like_sizes, tmp_path, options):
    one_by_one = label(like_sizes, tmp_path / 'one')
    run, model, maps = label(like_sizes, tmp_path / 'many', batch_size=3, **options)
    assert one_by_one[1].batches == [1] * 6
    # sizes by annotation are 40 40 42 43 42 45: two batches of two, one of which turns out to be of two sizes
    assert model.batches == [2, 1, 1, 1, 1] and run.images == 6
    assert same_maps(maps, one_by_one[2])


@pytest.mark.parametrize('in_batches', [True, False])
def test_labels_made_on_the_device(like_sizes, tmp_path, monkeypatch, in_batches):
    _, _, maps = label(like_sizes, tmp_path / 'one')
    monkeypatch.setattr(runner.MapJob, 'is_on_device', lambda self: True)
    batches = []
    work = (runner.MapJob if in_batches else runner.ImageJob).work_on_device
    monkeypatch.setattr(
        runner.MapJob, 'work_on_device', lambda self, batch: batches.append(len(batch)) or work(self, batch)
    )
    run, _, others = label(like_sizes, tmp_path / 'two', batch_size=3, workers=2)
    assert batches == [2, 2, 1, 1] and run.workers == 0
    assert same_maps(maps, others)
    assert 'on the device' in str(run) and 'waiting' not in str(run)


def test_batches_by_size():
    sizes = 'abacabba'
    dataset = SimpleNamespace(get_data_info=lambda index: dict(height=ord(sizes[index]), width=7))
    assert size_batches(dataset, range(8), 2) == [[0, 2], [1, 5], [3], [4, 7], [6]]
    assert size_batches(dataset, [7, 4, 3, 0], 3) == [[7, 4, 0], [3]]
    assert size_batches(dataset, range(8), 1) == [[index] for index in range(8)]
    unknown = SimpleNamespace(get_data_info=lambda index: dict(img_id=index))
    assert size_batches(unknown, range(3), 2) == [[0, 1], [2]]
    with pytest.raises(ValueError, match='batch_size must be at least 1, got 0'):
        size_batches(unknown, range(3), 0)


def test_some_images(voc, tmp_path):
    run, model, _ = label(voc, tmp_path, check=False, indices=[4, 1])
    ids = (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    assert (run.images, run.skipped, model.seen) == (2, 4, 2)
    assert LabelStore(tmp_path).missing(ids) == [ids[index] for index in (0, 2, 3, 5)]


def test_goes_on_where_it_was_killed(voc, tmp_path, reference, monkeypatch):
    written = []

    def write_two(self, img_id, **maps):
        if len(written) == 2:
            original(self, img_id, Y_crf=maps['Y_crf'])  # killed between the two maps of an image
            raise KeyboardInterrupt
        written.append(img_id)
        original(self, img_id, **maps)

    original = LabelStore.write
    monkeypatch.setattr(LabelStore, 'write', write_two)
    with pytest.raises(KeyboardInterrupt):
        label(voc, tmp_path)
    monkeypatch.setattr(LabelStore, 'write', original)
    run, model, maps = label(voc, tmp_path)
    assert (run.images, run.skipped, model.seen) == (4, 2, 4)
    assert same_maps(maps, reference[2])
    run, model, _ = label(voc, tmp_path)
    assert (run.images, run.skipped, model.seen) == (0, 6, 0)
    assert str(run).startswith('0 images in ') and '(6 were there)' in str(run)


def test_crf_gets_the_stored_image_in_rgb(voc, tmp_path, monkeypatch):
    images = []

    def remember(image, task):
        images.append(image)
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(runner.MapJob, 'work', staticmethod(remember))
    label(voc, tmp_path)
    ids = (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    for img_id, image in zip(ids, images):
        stored = cv2.imread(str(voc / f'JPEGImages/{img_id}.jpg'))  # BGR, grey turned into three channels
        assert image.dtype == np.uint8
        assert np.array_equal(image[..., ::-1], stored)


def test_broken_image_is_named(voc, tmp_path):
    dataset = dataset_of(voc)
    info = dataset.get_data_info(2)
    broken = tmp_path / 'broken.jpg'
    with open(info['img_path'], 'rb') as file:
        broken.write_bytes(file.read(300))
    dataset.get_data_info = lambda index: dict(info, img_path=str(broken))
    model, store = TinyClassifier(), LabelStore(tmp_path)
    with pytest.raises(RuntimeError, match=r'broken\.jpg: '):
        generate_labels(model, dataset, store, LabelGenerator.from_model(model))


def test_features_that_are_not_finite_name_the_image(voc, tmp_path):
    model = TinyClassifier()
    model.kernel[0] = float('nan')
    with pytest.raises(RuntimeError, match=r'\.jpg: feats hold NaN'):
        generate_labels(model, dataset_of(voc), LabelStore(tmp_path), LabelGenerator.from_model(model))


def test_resizing_and_padding_are_refused(voc, tmp_path):
    model, store = TinyClassifier(), LabelStore(tmp_path)
    pipeline = [PIPELINE[0], dict(type='Resize', scale=(32, 32), keep_ratio=True), *PIPELINE[1:]]
    with pytest.raises(ValueError, match=r'\.jpg: labels are made for the stored image, 3 x \d+ x \d+ uint8'):
        generate_labels(model, dataset_of(voc, pipeline), store, LabelGenerator.from_model(model))
    model = TinyClassifier(pad_size_divisor=50)
    with pytest.raises(RuntimeError, match=r'\.jpg: .*set its pad_size_divisor to 1'):
        generate_labels(model, dataset_of(voc), store, LabelGenerator.from_model(model))

import shutil
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels import (
    BoxSource,
    ClassifierSource,
    FilesSource,
    GrabCutSource,
    LabelItems,
    LabelRun,
    MemorySink,
    StoreSink,
    build_label_source,
    engine,
    make_labels,
    runner,
)
from bana_mm.labels.crf import LabelTask
from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.instance_generator import InstanceLabelGenerator
from bana_mm.labels.runner import check_complete, label_images, size_batches
from bana_mm.structures import LabelStore, read_label_png
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.worker_pool import Failed, WorkerPool


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    """Six small images, the first of them without boxes, the second stored in grey."""
    root = make_tiny_voc(tmp_path_factory.mktemp('voc'))
    first, second, *_ = ids_of(root)
    annotation = root / f'Annotations/{first}.xml'
    text = annotation.read_text()
    annotation.write_text(text[: text.index('<object>')] + '</annotation>')
    Image.open(root / f'JPEGImages/{second}.jpg').convert('L').save(root / f'JPEGImages/{second}.jpg')
    return root


@pytest.fixture(scope='module')
def like_sizes(voc, tmp_path_factory):
    """The same with the second and fifth image cut to the size of the first."""
    root = tmp_path_factory.mktemp('like') / 'voc'
    shutil.copytree(voc, root)
    for number, img_id in enumerate(ids_of(root)):
        width = 40 if number in (0, 1, 4) else 40 + number
        image = Image.open(root / f'JPEGImages/{img_id}.jpg').crop((0, 0, width, 30))
        image.save(root / f'JPEGImages/{img_id}.jpg')
        annotation = root / f'Annotations/{img_id}.xml'
        tree = ET.parse(annotation)
        tree.find('size/width').text, tree.find('size/height').text = str(width), '30'
        for node in tree.iter('bndbox'):
            for name, value in (('xmin', 5), ('ymin', 4), ('xmax', 25), ('ymax', 28)):
                node.find(name).text = str(value)
        tree.write(annotation)
    return root


def ids_of(root):
    return (root / 'ImageSets/Segmentation/train_aug.txt').read_text().split()


def items_of(root, **kwargs):
    return LabelItems(
        VOCBoxDataset(
            'ImageSets/Segmentation/train_aug.txt',
            data_root=str(root),
            test_mode=True,
            metainfo=dict(classes=('ring', 'triangle')),
            **kwargs,
        )
    )


@pytest.fixture
def source(tiny):
    return ClassifierSource(tiny / 'bap.py', tiny / 'bap.pth', dict(crf=dict(iterations=3)), 'cpu')


@pytest.fixture
def seen(monkeypatch):
    """How many images went through the network at once."""
    batches, extract = [], engine.extract_features
    monkeypatch.setattr(
        engine,
        'extract_features',
        lambda model, images, recipe: batches.append(len(images)) or extract(model, images, recipe),
    )
    return batches


def label(source, root, folder, overwrite=False, **options):
    """Label all images into a store; returns the run and the maps."""
    items, store = items_of(root), LabelStore(folder, source.map_names)
    run = make_labels(source, items, StoreSink(store, items.img_ids), RunOptions(**options), overwrite=overwrite)
    return run, maps_of(store, root)


def maps_of(store, root):
    return {(name, img_id): store.read(name, img_id, num_classes=2) for name in store.maps for img_id in ids_of(root)}


@pytest.fixture(scope='module')
def reference(voc, tiny, tmp_path_factory):
    source = ClassifierSource(tiny / 'bap.py', tiny / 'bap.pth', dict(crf=dict(iterations=3)), 'cpu')
    return label(source, voc, tmp_path_factory.mktemp('labels'))


def same_maps(first, second, share=1.0):
    """Whether all maps agree in such a share of their pixels."""
    return first.keys() == second.keys() and all((first[key] == second[key]).mean() >= share for key in first)


def test_all_images_are_labelled(voc, reference):
    run, maps = reference
    assert (run.images, run.skipped) == (6, 0)
    first, *others = ids_of(voc)
    assert maps['Y_crf', first].max() == maps['Y_ret', first].max() == 0  # no boxes
    for img_id in others:
        for name in ('Y_crf', 'Y_ret'):
            assert set(np.unique(maps[name, img_id])) > {0}
            with Image.open(voc / f'JPEGImages/{img_id}.jpg') as image:
                assert maps[name, img_id].shape == image.size[::-1]
    assert 0 < sum(run.parts.values()) <= run.seconds
    assert set(run.parts) == {'network', 'labels', 'waiting for workers'}
    assert str(run).startswith('6 images in ') and 'in the main process' in str(run)


@pytest.mark.parametrize('options', [dict(workers=2), dict(loading_workers=1)])
def test_labels_do_not_depend_on_workers(source, voc, tmp_path, reference, options):
    run, maps = label(source, voc, tmp_path, **options)
    assert same_maps(maps, reference[1])
    assert run.worker_seconds > 0 and run.workers == options.get('workers', 0)


@pytest.mark.parametrize('options', [dict(), dict(workers=1, loading_workers=1)])
def test_labels_do_not_depend_on_the_batch(source, like_sizes, tmp_path, seen, options):
    _, one_by_one = label(source, like_sizes, tmp_path / 'one')
    assert seen == [1] * 6
    seen.clear()
    run, maps = label(source, like_sizes, tmp_path / 'many', batch_size=2, **options)
    assert seen == [2, 1, 1, 1, 1] and run.images == 6  # widths are 40 40 42 43 40 45
    assert same_maps(maps, one_by_one, 0.995)  # but for the network's rounding


@pytest.mark.parametrize('kind', ['maps', 'masks'])
def test_labels_made_on_the_device(source, like_sizes, monkeypatch, kind):
    items = items_of(like_sizes)
    expected, found = MemorySink(6, kind), MemorySink(6, kind)
    make_labels(source, items, expected, RunOptions(batch_size=3))
    source._engine().device = SimpleNamespace(type='cuda')  # stands for a GPU: only its name is asked for
    batches = []
    generator = LabelGenerator if kind == 'maps' else InstanceLabelGenerator
    run_on_device = generator.run_on_device
    monkeypatch.setattr(
        generator, 'run_on_device', lambda self, tasks: batches.append(len(tasks)) or run_on_device(self, tasks)
    )
    run = make_labels(source, items, found, RunOptions(batch_size=3, workers=2))
    assert batches == [3, 1, 1, 1] and run.workers == 0
    assert 'on the device' in str(run) and 'waiting' not in str(run) and 'in the main process' in str(run)
    for index in range(6):
        pair = expected.answers[index], found.answers[index]
        if kind == 'maps':
            assert same_maps(*pair)
        else:
            assert [one.score for one in pair[0]] == [one.score for one in pair[1]]
            assert all(np.array_equal(one.mask, other.mask) for one, other in zip(*pair, strict=True))


def test_batches_by_size():
    sizes = 'abacabba'
    items = SimpleNamespace(size=lambda index: (ord(sizes[index]), 7))
    assert size_batches(items, range(8), 2) == [[0, 2], [1, 5], [3], [4, 7], [6]]
    assert size_batches(items, [7, 4, 3, 0], 3) == [[7, 4, 0], [3]]
    assert size_batches(items, range(8), 1) == [[index] for index in range(8)]
    unknown = SimpleNamespace(size=lambda index: (None, None))
    assert size_batches(unknown, range(3), 2) == [[0, 1], [2]]


def test_some_images(source, voc, tmp_path, seen):
    items, store = items_of(voc), LabelStore(tmp_path, source.map_names)
    sink = StoreSink(store, items.img_ids)
    sink.begin({})
    run = label_images(source, items, sink, RunOptions(), [4, 1])
    assert (run.images, run.skipped, sum(seen)) == (2, 4, 2)
    assert sink.missing() == [0, 2, 3, 5]
    assert store.missing(items.img_ids) == [items.img_ids[index] for index in (0, 2, 3, 5)]


def test_goes_on_where_it_was_killed(source, voc, tmp_path, reference, monkeypatch, seen):
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
        label(source, voc, tmp_path)
    monkeypatch.setattr(LabelStore, 'write', original)
    seen.clear()
    run, maps = label(source, voc, tmp_path)
    assert (run.images, run.skipped, sum(seen)) == (4, 2, 4)
    assert same_maps(maps, reference[1])
    run, _ = label(source, voc, tmp_path)
    assert (run.images, run.skipped, sum(seen)) == (0, 6, 4)
    assert str(run).startswith('0 images in ') and '(6 were there)' in str(run)
    run, maps = label(source, voc, tmp_path, overwrite=True)
    assert (run.images, run.skipped) == (6, 0) and same_maps(maps, reference[1])


def test_crf_gets_the_stored_image_in_rgb(source, voc, tmp_path, monkeypatch):
    images = []

    def remember(self):
        images.append(self.image)
        return np.zeros(self.image.shape[:2], np.uint8)

    monkeypatch.setattr(LabelTask, 'run', remember)
    label(source, voc, tmp_path)
    for img_id, image in zip(ids_of(voc), images, strict=True):
        stored = cv2.imread(str(voc / f'JPEGImages/{img_id}.jpg'))  # BGR, grey turned into three channels
        assert image.dtype == np.uint8
        assert np.array_equal(image[..., ::-1], stored)


def test_the_pipeline_of_the_data_set_does_not_matter(source, voc, tmp_path, reference):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmdet.Resize', scale=(32, 32), keep_ratio=True)]
    items, store = items_of(voc, pipeline=pipeline), LabelStore(tmp_path, source.map_names)
    make_labels(source, items, StoreSink(store, items.img_ids))
    assert same_maps(maps_of(store, voc), reference[1])


@pytest.fixture
def broken(voc, tmp_path):
    """The data set with a broken third image."""
    root = tmp_path / 'broken'
    shutil.copytree(voc, root)
    path = root / f'JPEGImages/{ids_of(root)[2]}.jpg'
    path.write_bytes(path.read_bytes()[:300])
    return root, path.name


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('classifier', dict()),
        ('classifier', dict(loading_workers=1)),
        ('box', dict()),
        ('grabcut', dict(workers=1)),
    ],
)
def test_broken_image_is_named(source, broken, name, options):
    root, image = broken
    source = source if name == 'classifier' else build_label_source(name)
    sink = MemorySink(6)
    with pytest.raises((RuntimeError, ValueError), match=f'{image}: '):
        make_labels(source, items_of(root), sink, RunOptions(**options))
    assert 2 not in sink.answers


@pytest.mark.parametrize('name', ['classifier', 'box', 'box_crf', 'grabcut', 'files', 'box+grabcut'])
def test_images_of_another_size_than_annotated_are_refused(source, voc, tmp_path, name):
    root = tmp_path / 'voc'
    shutil.copytree(voc, root)
    image = ids_of(root)[1]
    Image.new('RGB', (20, 30)).save(root / f'JPEGImages/{image}.jpg')
    if name == 'files':
        source = FilesSource(root / 'SegmentationClassAug')
    elif name != 'classifier':
        source = build_label_source(name)
    problem = f'{image}.jpg: .*height and width 30 x 20, but its annotation file says'
    with pytest.raises((RuntimeError, ValueError), match=problem):
        make_labels(source, items_of(root), MemorySink(6))


def test_features_that_are_not_finite_name_the_image(source, voc):
    next(source._engine().model.backbone.parameters()).data.fill_(float('nan'))
    with pytest.raises(RuntimeError, match=r'\.jpg: feats hold NaN'):
        make_labels(source, items_of(voc), MemorySink(6))


def test_padding_is_refused(tiny, voc, tmp_path):
    (tmp_path / 'pad.py').write_text(
        f"_base_ = '{tiny}/bap.py'\nmodel = dict(data_preprocessor=dict(pad_size_divisor=50))\n"
    )
    source = ClassifierSource(Config.fromfile(tmp_path / 'pad.py'), tiny / 'bap.pth', device='cpu')
    with pytest.raises(RuntimeError, match=r'\.jpg: .*set its pad_size_divisor to 1'):
        make_labels(source, items_of(voc), MemorySink(6))


@pytest.mark.parametrize('workers', [0, 2])
def test_a_source_without_a_network(voc, tmp_path, workers):
    source = GrabCutSource(iterations=1)
    run, maps = label(source, voc, tmp_path, workers=workers)
    assert (run.images, run.workers) == (6, workers) and set(run.parts) == {'waiting for workers'}
    items = items_of(voc)
    for item in items:
        boxes = item.layout.boxes.numpy().astype(float)
        expected = source(item.image, boxes, item.layout.box_classes)
        assert np.array_equal(maps['grabcut', item.img_id], expected)


def test_images_that_workers_die_of_are_named_once_all_others_are_done(voc, tmp_path, monkeypatch):
    items = items_of(voc)
    deadly = [items.path(1), items.path(4)]

    class Pool(WorkerPool):
        def submit(self, name, *args, **kwargs):
            assert self.keep_going
            return [Failed(name, None, 'died')] if name in deadly else super().submit(name, *args, **kwargs)

    sink = StoreSink(LabelStore(tmp_path, ['box']), items.img_ids)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError) as caught:
        patch.setattr(runner, 'WorkerPool', Pool)
        make_labels(BoxSource(), items, sink)
    assert '2 of 6 images have no labels' in str(caught.value)
    assert f': {deadly[0]} (died), {deadly[1]} (died); all others are done' in str(caught.value)
    assert sink.missing() == [1, 4]
    run = make_labels(BoxSource(), items, sink)
    assert (run.images, run.skipped, run.failed) == (2, 4, []) and not sink.missing()


def test_images_without_labels_are_told_before_any_is_read(voc, tmp_path):
    for img_id in ids_of(voc)[:2]:
        shutil.copy(voc / f'SegmentationClassAug/{img_id}.png', tmp_path)
    source, items, sink = FilesSource(tmp_path), items_of(voc), MemorySink(6)
    message = r'4 of 6 images have no labels there \(train_00002, train_00003, train_00004, \.\.\.\)'
    with pytest.raises(FileNotFoundError, match=message):
        make_labels(source, items, sink)
    assert not sink.answers
    check_complete(FilesSource(voc / 'SegmentationClassAug'), items)
    make_labels(FilesSource(voc / 'SegmentationClassAug'), items, sink)
    ground_truth = read_label_png(voc / f'SegmentationClassAug/{ids_of(voc)[3]}.png')
    assert np.array_equal(sink.answers[3]['files'], ground_truth)


def test_labels_that_a_sink_has_lost(voc):
    class Forgetful(MemorySink):
        def missing(self):
            return [0, 3]

    with pytest.raises(RuntimeError, match=r'memory: 2 of 6 images have no labels yet \(.*00000\.jpg, .*00003\.jpg\)'):
        make_labels(BoxSource(), items_of(voc), Forgetful(6))


def test_other_labels_are_not_mixed(voc, tmp_path):
    label(GrabCutSource(iterations=1), voc, tmp_path)
    with pytest.raises(ValueError, match=r'its labels were made with source\.iterations = 1, this run has 2'):
        label(GrabCutSource(iterations=2), voc, tmp_path)


def test_runs_of_all_ranks_as_one():
    first = LabelRun(3, 2.0, 1.0, 2, {'network': 0.5}, 4)
    second = LabelRun(1, 3.0, 0.5, 2, {'network': 0.25, 'labels': 0.25}, 6)
    total = LabelRun.total([first, second], 3)
    assert (total.images, total.seconds, total.worker_seconds, total.workers) == (4, 3.0, 1.5, 4)
    assert total.parts == {'network': 0.75, 'labels': 0.25} and (total.skipped, total.ranks) == (3, 2)
    assert str(total) == (
        '4 images in 3.0 s on 2 ranks (3 were there): network 12 %, labels 4 %, other 83 %; '
        'in 4 worker processes 0.375 s an image'
    )
    assert str(LabelRun(0, 0.0, 0.0, 0, skipped=6)) == '0 images in 0.0 s (6 were there)'

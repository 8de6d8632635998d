"""Every source with every sink, on images in VOC's layout and in COCO's format."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import LabelItem, LabelItems, MaskSink, MemorySink, StoreSink, build_label_source, make_labels
from bana_mm.labels import answers as answer
from bana_mm.labels.data import build_coco_dataset
from bana_mm.structures import (
    LabelStore,
    cut_masks,
    decode_mask,
    encode_mask,
    paint_masks,
    read_label_png,
    write_label_png,
)

CLASSES = ('ring', 'triangle')
QUICK = dict(crf=dict(iterations=2))
# What a config of the source holds, by name: {tiny} is the folder of the classifier, {files} that of synthetic labels.
SOURCES = {
    'box': 'box',
    'grabcut': dict(type='grabcut', iterations=1),
    'box_crf': dict(type='box_crf', iterations=2),
    'folder': 'files:{files}/maps',
    'json': 'files:{files}/results.json',
    'classifier': 'classifier:{tiny}/bap.py:{tiny}/bap.pth',
    'bana_crf': dict(type='bana_crf', config='{tiny}/bap.py', checkpoint='{tiny}/bap.pth', recipe=QUICK),
    'bana_crf_cam': dict(type='bana_crf_cam', config='{tiny}/bap.py', checkpoint='{tiny}/bap.pth', recipe=QUICK),
    'bana_ret': dict(type='bana_ret', config='{tiny}/bap.py', checkpoint='{tiny}/bap.pth', recipe=QUICK),
    'gap': dict(type='gap', config='{tiny}/gap.py', checkpoint='{tiny}/bap.pth', recipe=QUICK),
    'merged': ['box', dict(type='grabcut', iterations=1), 'files:{files}/maps'],
    'merged with a network': ['box', 'bana_ret:{tiny}/bap.py:{tiny}/bap.pth', 'bana_crf:{tiny}/bap.py:{tiny}/bap.pth'],
}
MAPS = {name: (name,) for name in SOURCES} | {
    'folder': ('files',),
    'json': ('files',),
    'classifier': ('Y_crf', 'Y_ret'),
    'merged': ('box', 'grabcut', 'files'),
    'merged with a network': ('box', 'bana_ret', 'bana_crf'),
}
# Those that take what was made elsewhere may miss an object; with the others no box is empty.
SURE = {name for name in SOURCES if name not in ('folder', 'bana_ret')}


def make_voc(folder):
    root = make_tiny_voc(folder / 'voc')
    annotation = root / 'Annotations/val_00000.xml'
    annotation.write_text(annotation.read_text().replace('<difficult>0', '<difficult>1', 1))
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt', data_root=str(root), metainfo=dict(classes=CLASSES), test_mode=True
    )
    return LabelItems(dataset)


def make_coco(folder):
    root = make_tiny_coco(folder / 'coco', num_train=2)
    path = root / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['iscrowd'] = 1
    path.write_text(json.dumps(content))
    return LabelItems(build_coco_dataset(path, id_from='file_name'))


@pytest.fixture(scope='module', params=['voc', 'coco'])
def data(request, tmp_path_factory):
    """Images, and synthetic labels of them: discs in the boxes, as label maps and as masks."""
    folder = tmp_path_factory.mktemp(request.param)
    items = dict(voc=make_voc, coco=make_coco)[request.param](folder)
    (folder / 'maps').mkdir()
    results = []
    for item in items:
        masks = []
        categories = items.category_ids or (1, 2)
        for index, (x1, y1, x2, y2) in zip(item.layout.box_classes, item.layout.boxes.tolist()):
            y, x = np.mgrid[: y2 - y1, : x2 - x1]
            disc = (2 * x + 1 - (x2 - x1)) ** 2 / (x2 - x1) ** 2 + (2 * y + 1 - (y2 - y1)) ** 2 / (y2 - y1) ** 2 < 0.8
            masks.append(disc)
            results.append(
                dict(
                    image_id=item.img_id if item.number is None else item.number,
                    category_id=categories[index - 1],
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    segmentation=encode_mask(disc, item.layout.size, (x1, y1)),
                    unreliable=encode_mask(disc[:1], item.layout.size, (x1, y1)),
                    score=0.5,
                )
            )
        write_label_png(folder / f'maps/{item.img_id}.png', paint_masks(item.layout, masks))
    (folder / 'results.json').write_text(json.dumps(results))
    assert sum(len(item.layout.ignored) for item in items) == 1
    return items, folder


def filled(config, **folders):
    if isinstance(config, dict):
        return {key: filled(value, **folders) for key, value in config.items()}
    if isinstance(config, list):
        return [filled(value, **folders) for value in config]
    return config.format(**folders) if isinstance(config, str) else config


@pytest.fixture(scope='module', params=SOURCES)
def name(request):
    return request.param


@pytest.fixture(scope='module')
def source(name, data, tiny):
    return build_label_source(filled(SOURCES[name], tiny=tiny, files=data[1]))


@pytest.fixture(scope='module')
def answers(source, data):
    """What the source answers in memory: label maps and masks."""
    items, _ = data
    sinks = [MemorySink(len(items), kind) for kind in ('maps', 'masks')]
    for sink in sinks:
        assert make_labels(source, items, sink).images == len(items)
    return [[sink.answers[index] for index in range(len(items))] for sink in sinks]


def test_label_maps(name, source, answers, data, tmp_path):
    items, _ = data
    assert source.map_names == MAPS[name]
    store = LabelStore(tmp_path, source.map_names)
    make_labels(source, items, StoreSink(store, items.img_ids))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(MAPS[name])
    for item, maps in zip(items, answers[0], strict=True):
        assert tuple(maps) == MAPS[name]
        known, unknown = item.layout.box_classes, item.layout.unknown().numpy()
        for map_name, label in maps.items():
            assert label.dtype == np.uint8 and label.shape == item.layout.size == item.image.shape[:2]
            assert np.array_equal(store.read(map_name, item.img_id, item.layout.size, len(CLASSES)), label)
            assert set(np.unique(label)) <= {0, 255, *known}
            assert (label[unknown] == 255).all()
            assert not label[item.layout.background().numpy()].any()
        if name in SURE and len(maps) == 1:
            assert set(known) <= set(np.unique(label))
    meta = json.loads((tmp_path / 'meta.json').read_text())
    assert meta['classes'] == list(CLASSES) and ('source' in meta) == (name != 'classifier')
    assert LabelStore(tmp_path).maps == MAPS[name]  # as who reads it finds out


def test_masks(name, source, answers, data, tmp_path):
    items, _ = data
    make_labels(source, items, MaskSink(tmp_path / 'masks.json', items))
    content = json.loads((tmp_path / 'masks.json').read_text())
    ids = {str(image.get('img_id', Path(image['file_name']).stem)): image['id'] for image in content['images']}
    assert list(ids) == items.img_ids
    for item, masks in zip(items, answers[1], strict=True):
        stored = [one for one in content['annotations'] if one['image_id'] == ids[item.img_id] and 'score' in one]
        assert len(item.layout.boxes) == len(masks) == len(stored)
        for (x1, y1, x2, y2), one, entry in zip(item.layout.boxes.tolist(), masks, stored):
            assert one.mask.shape == one.unreliable.shape == (y2 - y1, x2 - x1)
            assert one.mask.dtype == one.unreliable.dtype == bool
            assert one.mask.any() and 0 <= one.score <= 1
            for pixels, field in ((one.mask, 'segmentation'), (one.unreliable, 'unreliable')):
                whole = decode_mask(entry[field], item.layout.size)
                assert np.array_equal(whole[y1:y2, x1:x2], pixels) and whole.sum() == pixels.sum()
            assert entry['area'] == one.mask.sum() and entry['score'] == pytest.approx(one.score, abs=1e-6)
    assert len(content['annotations']) == sum(len(masks) for masks in answers[1]) + 1  # the ignored one


def test_the_file_of_masks_trains_mmdets_models(name, source, answers, data, tmp_path):
    items, _ = data
    make_labels(source, items, MaskSink(tmp_path / 'masks.json', items))
    for kind in ('CocoDataset', 'bana_mm.CocoPseudoMaskDataset'):
        pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
        if kind != 'CocoDataset':
            pipeline.append(dict(type='bana_mm.LoadUnreliable'))
        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build(
                dict(
                    type=kind,
                    ann_file=str(tmp_path / 'masks.json'),
                    data_prefix=dict(img=str(Path(items.path(0)).parent)),
                    metainfo=dict(classes=CLASSES),
                    pipeline=pipeline,
                    serialize_data=False,  # takes seconds, for collecting garbage
                )
            )
            loaded = [dataset[index] for index in range(len(dataset))]
        for item, found, masks in zip(items, loaded, answers[1], strict=True):
            kept = np.flatnonzero(~found['gt_ignore_flags'])
            if kind == 'CocoDataset' and items.ann_file is None and len(item.layout.ignored):
                continue  # mmdet drops what is marked to be ignored
            assert len(kept) == len(masks)
            for k, one in zip(kept, masks):
                assert found['gt_masks'].masks[k].sum() == one.mask.sum()
                if kind != 'CocoDataset':
                    assert found['gt_masks'].unreliable.masks[k].sum() == one.unreliable.sum()


def test_masks_and_label_maps_tell_the_same(name, answers, data):
    """Masks painted give the label map where sources look for objects; label maps cut give masks where they don't."""
    items, _ = data
    for item, maps, masks in zip(items, *answers, strict=True):
        label = next(iter(maps.values()))
        if name in ('box', 'grabcut', 'box_crf', 'json'):
            painted = paint_masks(item.layout, [one.mask for one in masks])
            assert np.array_equal(np.where(item.layout.unknown(), 255, painted), label)
        elif name == 'folder':
            for one, cut in zip(masks, cut_masks(item.layout, label), strict=True):
                assert np.array_equal(one.mask, cut.mask)
        elif name == 'json':
            assert all(one.score == 0.5 and one.unreliable.any() for one in masks)
        elif name.startswith('merged'):
            assert all(one.mask.all() for one in masks)  # those of the first, which are boxes


def test_stored_labels_are_read_as_they_are(data):
    items, folder = data
    sink = MemorySink(len(items))
    make_labels(build_label_source(f'files:{folder}/maps'), items, sink)
    for index, item in enumerate(items):
        stored = read_label_png(folder / f'maps/{item.img_id}.png')
        assert np.array_equal(sink.answers[index]['files'], np.where(item.layout.unknown(), 255, stored))


def test_images_without_boxes(name, source, tmp_path, data):
    """No label, no mask, and nothing fails."""
    items, folder = data
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    item = LabelItem.from_array(image, np.zeros((0, 4)), [], 'empty')
    write_label_png(folder / 'maps/empty.png', np.zeros((20, 30), np.uint8))
    source.bind(items.classes, items.category_ids)
    (maps,), (masks,) = (answer(source, [item], kind) for kind in ('maps', 'masks'))
    assert tuple(maps) == MAPS[name] and not any(label.any() for label in maps.values())
    assert masks == []

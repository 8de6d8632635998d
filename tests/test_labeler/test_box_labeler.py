import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bana_mm import BoxLabeler
from bana_mm.labels import LabelItems, MemorySink, build_label_source, make_labels
from bana_mm.labels.classifier import extract_features
from bana_mm.labels.data import build_coco_dataset
from bana_mm.structures import reliable_region

WITHOUT = """
import importlib.machinery, numpy, sys
found = importlib.machinery.PathFinder.find_spec
hidden = sys.argv[1:]
importlib.machinery.PathFinder.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)
from bana_mm import BoxLabeler
print(BoxLabeler('grabcut')(numpy.zeros((9, 9, 3), numpy.uint8), [[2, 2, 5, 5]], ['cat']).masks.sum())
"""
BOXES, CLASSES = [[24, 14, 57, 47], [2, 3, 20, 12]], ['triangle', 'ring']
HALF = [[0, 14, 17, 47]]


def write_coco(folder):
    """BOXES of disc.png as COCO's JSON, with categories ring (7) and triangle (3), in this order."""
    content = dict(
        images=[dict(id=5, file_name='disc.png', height=60, width=80)],
        categories=[dict(id=7, name='ring'), dict(id=3, name='triangle')],
        annotations=[
            dict(id=n, image_id=5, category_id=category, bbox=[x1, y1, x2 - x1, y2 - y1], area=1, iscrowd=0)
            for n, (category, (x1, y1, x2, y2)) in enumerate(zip([3, 7], BOXES))
        ],
    )
    (folder / 'boxes.json').write_text(json.dumps(content))
    return folder / 'boxes.json'


def test_a_large_image_in_memory(picture, folder):
    """Labelled on a smaller copy as its file is; and the array is still there for the borders."""
    source = build_label_source('grabcut', working_pixels=1000)
    labeler = BoxLabeler(source, channel_order='rgb', classes=('ring', 'triangle'))
    first, second = labeler(picture, BOXES, CLASSES), labeler(folder / 'disc.png', BOXES, CLASSES)
    assert np.array_equal(first.label_map, second.label_map) and first.label_map.shape == picture.shape[:2]


@pytest.mark.parametrize('working_pixels', [None, 1000])  # the picture has 4800
@pytest.mark.parametrize('name', ['grabcut', 'grabcut+box', 'classifier:{0}/bap.py:{0}/bap.pth', 'trusted:box'])
def test_the_same_as_the_runner_stores(name, folder, tiny, working_pixels):
    source = build_label_source(name.format(tiny), working_pixels=working_pixels)
    items = LabelItems(build_coco_dataset(write_coco(folder), folder))
    expected = {}
    for kind in ('maps', 'masks'):
        sink = MemorySink(1, kind)
        make_labels(source, items, sink)
        expected[kind] = sink.answers[0]
    source = build_label_source(name.format(tiny), working_pixels=working_pixels)
    result = BoxLabeler(source, classes=('ring', 'triangle'), device='cpu')(folder / 'disc.png', BOXES, CLASSES)
    assert list(result.maps) == list(expected['maps'])
    for map_name, label in expected['maps'].items():
        assert np.array_equal(result.maps[map_name], label)
    assert np.array_equal(result.label_map, next(iter(expected['maps'].values())))
    assert np.array_equal(result.reliable, reliable_region(*expected['maps'].values()))
    assert result.masks.shape == (2, 60, 80) and result.masks.dtype == bool
    for one, mask, unreliable, score, (x1, y1, x2, y2) in zip(
        expected['masks'], result.masks, result.unreliable, result.scores, BOXES, strict=True
    ):
        assert np.array_equal(mask[y1:y2, x1:x2], one.mask) and mask.sum() == one.mask.sum()
        assert np.array_equal(unreliable[y1:y2, x1:x2], one.unreliable) and unreliable.sum() == one.unreliable.sum()
        assert score == np.float32(one.score)
    assert result.box_classes.tolist() == [2, 1] and result.box_names == CLASSES


def test_arrays_are_bgr_unless_said_otherwise(folder, picture):
    expected = BoxLabeler()(folder / 'disc.png', BOXES, CLASSES)
    bgr, rgb = BoxLabeler(), BoxLabeler(channel_order='rgb')
    for result in (bgr(picture[..., ::-1], BOXES, CLASSES), rgb(picture, BOXES, CLASSES)):
        assert np.array_equal(result.label_map, expected.label_map) and np.array_equal(result.image, picture)
        assert result.name == 'image' and result.path is None
    disc = picture[..., 0].astype(int) - picture[..., 1] > 60
    found = expected.masks[0]
    assert (found & disc).sum() / (found | disc).sum() > 0.9


def test_batch_is_the_singles(folder, picture):
    labeler = BoxLabeler(progress=False)
    images = [folder / 'disc.png', picture[:, 40:][..., ::-1], str(folder / 'sub/half.png')]
    results = labeler(images, [BOXES, HALF, []], [CLASSES, torch.tensor([2]).tolist(), []])
    assert [one.name for one in results] == ['disc', 'image_1', 'half']
    singles = [
        labeler(images[0], torch.tensor(BOXES), CLASSES),
        labeler(images[1], np.array(HALF), [1]),
        labeler(images[2], [], []),
    ]
    for one, single in zip(results, singles, strict=True):
        assert np.array_equal(one.masks, single.masks) and np.array_equal(one.scores, single.scores)
    # the batch knows both names, so that index 2 is the second one
    assert results[1].box_names == ['ring'] and results[1].classes == ('triangle', 'ring')
    assert np.array_equal(results[1].label_map, 2 * singles[1].label_map)
    pair = np.stack([picture[..., ::-1]] * 2)
    assert [one.label_map.max() for one in labeler(pair, [BOXES, []], [[3, 1], []])] == [3, 0]


def test_without_boxes_and_with_one_pixel(picture):
    labeler = BoxLabeler(classes=('ring',), channel_order='rgb')
    none = labeler(picture, np.zeros((0, 4)), [])
    assert none.masks.shape == (0, 60, 80) and none.scores.shape == (0,) and not none.label_map.any()
    assert none.reliable.all() and none.to_yolo() == '' and none.to_coco()['annotations'] == []
    assert none.draw().dtype == np.uint8 and 'no boxes' in repr(none)
    one = labeler(picture, [[3, 5, 4, 6]], ['ring'])
    assert np.argwhere(one.label_map).tolist() == [[5, 3]] and one.masks.sum() == 1
    whole = labeler(picture, [[-9, 0, 80, 60.2]], [1])
    assert whole.masks.all() and whole.boxes.tolist() == [[0, 0, 80, 60]]


def test_ignored_boxes_are_neither(picture):
    result = BoxLabeler('box', channel_order='rgb')(picture, [[0, 0, 4, 4]], [1], ignored=[[2, 0, 8, 4]])
    assert result.label_map[:4].tolist() == [[1] * 4 + [255] * 4 + [0] * 72] * 4
    assert not result.reliable[0, 5] and result.masks.sum() == 16


@pytest.mark.parametrize(
    ('boxes', 'classes', 'message'),
    [
        ([[90, 5, 99, 20]], ['ring'], r'image: box 0 \(90, 5, 99, 20\): lies outside the image of 80 x 60 pixels'),
        ([[0, 0, 5, 5], [3, 60, 5, 70]], ['ring'] * 2, r'box 1 .*lies outside'),
        ([[-5, 5, 0, 20]], ['ring'], 'lies outside'),
        ([[30, 5, 20, 20]], ['ring'], 'box 0 .*is empty; x1 must be less than x2'),
        ([[0, 0, np.inf, 3]], ['ring'], 'finite'),
        ([0, 0, 5, 3], [1, 1, 1, 1], r'boxes are \(K, 4\)'),
        ([[0, 0, 5, 3]], ['square'], "image: there is no class 'square'; the classes are ring, triangle"),
        ([[0, 0, 5, 3]], [3], r'class indices lie in 1..2 \(ring, triangle\), got 3'),
        ([[0, 0, 5, 3]], [0], 'got 0; 0 is the background'),
        ([[0, 0, 5, 3]], ['ring', 'ring'], '1 boxes need as many classes, got 2'),
        ([[0, 0, 5, 3]], 'ring', "classes are a list with one name or index for each box, got 'ring'"),
        ([[0, 0, 5, 3]], None, 'classes are a list with one name'),
        ('boxes.json', None, 'goes with the folder of its images'),
    ],
)
def test_what_does_not_fit_is_named(picture, boxes, classes, message):
    with pytest.raises(ValueError, match=message):
        BoxLabeler('box', classes=('ring', 'triangle'), channel_order='rgb')(picture, boxes, classes)


def test_other_images_and_settings(picture, tmp_path):
    labeler = BoxLabeler('box')
    with pytest.raises(FileNotFoundError, match=r'missing\.png: image is missing'):
        labeler(tmp_path / 'missing.png', [], [])
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(ValueError, match=r'text\.png: image cannot be read'):
        labeler(tmp_path / 'text.png', [], [])
    with pytest.raises(TypeError, match=r'a path or an array \(H, W, 3\) uint8 in BGR, got NoneType'):
        labeler(None, [], [])
    with pytest.raises(ValueError, match=r'\(60, 80\) uint8'):
        labeler(picture[..., 0], [], [])
    with pytest.raises(ValueError, match='2 images need a list of boxes each, got 1'):
        labeler([picture, picture], [BOXES], [CLASSES, CLASSES])
    with pytest.raises(ValueError, match="channel_order must be one of bgr, rgb, got 'RGBA'"):
        BoxLabeler('box', channel_order='RGBA')
    with pytest.raises(KeyError, match="no label source is called 'magic'"):
        BoxLabeler('magic')


def test_classes_of_a_trained_model(folder, tiny):
    labeler = BoxLabeler(f'grabcut+bana_crf:{tiny}/bap.py:{tiny}/bap.pth', device='cpu')
    assert labeler.classes == ('ring', 'triangle')
    result = labeler(folder / 'disc.png', BOXES, CLASSES)
    own = BoxLabeler(f'bana_crf:{tiny}/bap.py:{tiny}/bap.pth', device='cpu')(folder / 'disc.png', BOXES, CLASSES)
    grabcut = BoxLabeler('grabcut', classes=('ring', 'triangle'))(folder / 'disc.png', BOXES, CLASSES)
    assert np.array_equal(result.label_map, grabcut.label_map) and result.box_classes.tolist() == [2, 1]
    assert np.array_equal(result.reliable, own.label_map == grabcut.label_map) and not result.reliable.all()
    with pytest.raises(ValueError, match="no class 'square'"):
        labeler(folder / 'disc.png', HALF, ['square'])


def test_the_network_sees_an_image_once_for_maps_and_masks(folder, tiny, monkeypatch):
    seen = []

    def count(model, images, recipe):
        seen.append(len(images))
        return extract_features(model, images, recipe)

    monkeypatch.setattr('bana_mm.labels.engine.extract_features', count)
    labeler = BoxLabeler(f'classifier:{tiny}/bap.py:{tiny}/bap.pth', device='cpu', batch_size=2, progress=False)
    labeler(
        [folder / 'disc.png', folder / 'disc.png', folder / 'sub/half.png'], [BOXES, BOXES, HALF], [CLASSES] * 2 + [[1]]
    )
    assert sorted(seen) == [1, 2]


def test_folder_by_names_and_by_coco(folder, capsys):
    labeler = BoxLabeler('box')
    boxes, classes = {'disc.png': BOXES, 'sub/half': HALF}, {'disc': CLASSES, 'sub/half.png': ['ring']}
    results = labeler(folder, boxes, classes)
    assert 'labels: ' in capsys.readouterr().out  # progress of several images
    assert [one.name for one in results] == ['disc', 'sub/half'] and results[1].box_names == ['ring']
    assert np.array_equal(results[0].masks, labeler(folder / 'disc.png', BOXES, CLASSES).masks)
    assert capsys.readouterr().out == ''  # none of a single one
    assert results.to_png(folder / 'out') == [folder / 'out/disc.png', folder / 'out/sub/half.png']
    of_coco = BoxLabeler('box')(folder, write_coco(folder))
    assert of_coco[0].classes == ('ring', 'triangle') and of_coco[0].name == 'disc' and len(of_coco) == 1
    assert of_coco[0].box_classes.tolist() == [2, 1] and np.array_equal(of_coco[0].masks, results[0].masks)


def test_folder_that_does_not_fit(folder, tmp_path_factory):
    labeler = BoxLabeler('box')
    with pytest.raises(ValueError, match=r'no boxes are given for 1 of 2 images \(sub/half.png\)'):
        labeler(folder, dict(disc=BOXES), dict(disc=CLASSES))
    with pytest.raises(FileNotFoundError, match=r"boxes are given for 'cat', but there is no such image"):
        labeler(folder, {'disc': BOXES, 'sub/half': HALF, 'cat': []}, {'disc': CLASSES, 'sub/half': [1]})
    with pytest.raises(ValueError, match=r'classes are a dict by file name'):
        labeler(folder, dict(disc=BOXES))
    with pytest.raises(FileNotFoundError, match='there is no image in this folder'):
        labeler(tmp_path_factory.mktemp('empty'), {}, {})


def test_grabcut_needs_neither_mmdet_nor_mmseg():
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, '-W', 'ignore', '-c', WITHOUT, 'mmdet', 'mmseg']
    done = subprocess.run(command, env={**os.environ, 'PYTHONPATH': path}, text=True, capture_output=True)
    assert done.stdout == '9\n', done.stderr

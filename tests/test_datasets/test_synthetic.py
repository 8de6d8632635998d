import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bana_mm.datasets.synthetic import make_synthetic_voc, make_tiny_voc
from bana_mm.datasets.synthetic_images import MIN_CONTRAST, SYNTHETIC_CLASSES, _colour_pair, draw_image, tight_box
from bana_mm.datasets.voc_box import VOCBoxDataset


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


def test_tight_box():
    mask = np.zeros((5, 7), bool)
    assert tight_box(mask) == (0, 0, 0, 0)
    mask[1, 2] = mask[3, 4] = True
    assert tight_box(mask) == (2, 1, 5, 4)


def test_xml_boxes_are_one_based_inclusive_and_tight(tmp_path):
    root = make_synthetic_voc(tmp_path / 'voc', 12, 0, image_size=(64, 80), classes=('cross', 'star'))
    alone = 0
    for path in (root / 'Annotations').iterdir():
        tree = ET.parse(path).getroot()
        label = np.array(Image.open(root / f'SegmentationClassAug/{path.stem}.png'))
        assert label.shape == (int(tree.findtext('size/height')), int(tree.findtext('size/width')))
        assert Image.open(root / f'JPEGImages/{path.stem}.jpg').size == label.shape[::-1]
        names = [node.findtext('name') for node in tree.findall('object')]
        for node in tree.findall('object'):
            name = node.findtext('name')
            if names.count(name) > 1:
                continue  # the label map does not tell two objects of a class apart
            alone += 1
            rows, columns = np.nonzero(label == ('cross', 'star').index(name) + 1)
            box = [int(node.findtext(f'bndbox/{key}')) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
            assert box == [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]
    assert alone >= 6


def test_dataset_reads_it(tmp_path):
    root = make_tiny_voc(tmp_path)
    metainfo = dict(classes=('ring', 'triangle'))
    dataset = VOCBoxDataset('ImageSets/Segmentation/train_aug.txt', str(root), metainfo=metainfo)
    assert len(dataset) == 6
    for item in map(dataset.get_data_info, range(6)):
        label = np.array(Image.open(item['seg_map_path']))
        assert label.shape == (item['height'], item['width'])
        inside = np.zeros(label.shape, bool)
        for instance in item['instances']:
            x1, y1, x2, y2 = map(int, instance['bbox'])
            assert (label[y1:y2, x1:x2] == instance['bbox_label'] + 1).any()
            inside[y1:y2, x1:x2] = True
        assert not label[~inside].any()


def test_splits(tmp_path):
    root = make_synthetic_voc(tmp_path, 5, 3, image_size=(48, 48))
    ids = {path.stem: path.read_text().split() for path in (root / 'ImageSets/Segmentation').iterdir()}
    assert {name: len(split) for name, split in ids.items()} == dict(train_aug=5, train=3, val=3)
    assert ids['train'] == ids['train_aug'][:3]
    assert sorted(ids['train_aug'] + ids['val']) == sorted(path.stem for path in (root / 'JPEGImages').iterdir())


def test_deterministic_and_independent_of_the_number(tmp_path):
    first = _files(make_synthetic_voc(tmp_path / 'a', 3, 2, image_size=(48, 64)))
    more = _files(make_synthetic_voc(tmp_path / 'b', 4, 2, image_size=(48, 64)))
    other = _files(make_synthetic_voc(tmp_path / 'c', 3, 2, image_size=(48, 64), seed=1))
    images = [name for name in first if name.startswith(('JPEG', 'Anno', 'SegmentationClassAug'))]
    assert len(images) == 15
    assert all(first[name] == more[name] for name in images)
    assert not any(first[name] == other[name] for name in images if name.startswith('JPEG'))


def test_kept_when_there_and_written_anew_when_unfinished(tmp_path):
    root = make_tiny_voc(tmp_path)
    image = root / 'JPEGImages/train_00000.jpg'
    before, content = image.stat().st_mtime_ns, _files(root)
    make_tiny_voc(tmp_path)
    assert image.stat().st_mtime_ns == before
    image.unlink()
    marker = root / 'synthetic.json'
    marker.write_text(marker.read_text().replace('true', 'false'))
    make_tiny_voc(tmp_path)
    assert _files(root) == content


def test_palette_and_border(tmp_path):
    root = make_synthetic_voc(tmp_path, 2, 0, image_size=(64, 64), border=1)
    exact = make_synthetic_voc(tmp_path / 'exact', 2, 0, image_size=(64, 64))
    for path in (root / 'SegmentationClassAug').iterdir():
        mask, full = Image.open(path), np.array(Image.open(exact / 'SegmentationClassAug' / path.name))
        assert mask.mode == 'P'
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        label = np.array(mask)
        assert 0 < (label == 255).mean() < 0.4 and not (full == 255).any()
        assert (label == full)[label != 255].all()
        horizontal = full[:, 1:] != full[:, :-1]
        assert (label[:, 1:] == 255)[horizontal].all() and (label[:, :-1] == 255)[horizontal].all()


def test_objects_fill_part_of_their_boxes():
    fills, counts, colours = [], [], {name: [] for name in SYNTHETIC_CLASSES}
    for index in range(60):
        image, visible = draw_image(np.random.default_rng(index), SYNTHETIC_CLASSES, (56, 56))
        counts.append(len(visible))
        assert np.any([mask for _, mask in visible], axis=0).mean() < 0.5
        for name, mask in visible:
            x1, y1, x2, y2 = tight_box(mask)
            fills.append(mask.sum() / ((x2 - x1) * (y2 - y1)))
            colours[name].append(image[mask].mean(axis=0))
    assert set(counts) == {1, 2, 3}
    assert 0.4 < np.mean(fills) < 0.65 and min(fills) > 0.25 and max(fills) < 0.75
    # Colours vary within a class (standard deviation about 45) and not from class to class (error of a mean about 10).
    assert all(np.std(values, axis=0).min() > 25 for values in colours.values())
    assert np.std([np.mean(values, axis=0) for values in colours.values()], axis=0).max() < 20


def test_each_object_differs_from_its_background():
    rng = np.random.default_rng(0)
    pairs = [_colour_pair(rng, [])]
    for _ in range(10):
        new = _colour_pair(rng, pairs)
        assert min(np.linalg.norm(new.mean(axis=0) - old.mean(axis=0)) for old in pairs) >= MIN_CONTRAST
        pairs.append(new)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="unknown \\['cat'\\]"):
        make_synthetic_voc(tmp_path, classes=('ring', 'cat'))
    with pytest.raises(ValueError, match='least >= 32'):
        make_synthetic_voc(tmp_path, image_size=(16, 64))
    (tmp_path / 'photo.jpg').touch()
    with pytest.raises(FileExistsError, match='choose another folder'):
        make_tiny_voc(tmp_path)

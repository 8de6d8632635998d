"""Every format from files to the config, and from the config to the boxes that a training sees."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fuzzing import changed, fails_by_name, fuzz, mutated
from own_data_sets import (
    BOXES,
    CVAT_SHAPES,
    NAMES,
    SIZE,
    WRITERS,
    labelme_mask,
    save_image,
    shape,
    write_coco,
    write_cvat,
    write_labelme,
    write_voc,
)

from bana_mm.datasets.coco_files import object_names
from bana_mm.own_data.formats import detect_format
from bana_mm.own_data.formats.cvat import read_cvat
from bana_mm.own_data.formats.labelme import read_labelme
from bana_mm.own_data.formats.yolo import read_label_file, read_yolo
from bana_mm.own_data.init import init_data
from bana_mm.own_data.prepare import Wishes
from bana_mm.own_data.reading import read_data_parts
from bana_mm.structures import read_label_png
from bana_mm.utils.config import read_data
from bana_mm.utils.problems import STOP, ProblemList


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def boxes_of(config):
    """Classes of the training images, and the boxes of each by class, as the data set of the config reads them."""
    (part,) = [part for part in read_data_parts(read_data(config), STOP) if part.mode == 'train']
    boxes = {}
    for item in part.items:
        found = {part.classes[one['bbox_label']]: one['bbox'] for one in item['instances']}
        boxes[Path(item['img_path']).stem] = found
    return part.classes, boxes


def move(root, names):
    for old, new in names.items():
        for path in sorted((root / old).iterdir() if (root / old).is_dir() else root.glob(old)):
            (root / new).mkdir(exist_ok=True)
            path.rename(root / new / path.name)


@pytest.mark.parametrize(
    'name, names',
    dict(
        voc={'JPEGImages': 'my photos', 'Annotations': 'xml'},
        coco={'images': 'photos/all'},
        labelme={'*.json': 'json'},
        cvat={'images': 'photos'},
    ).items(),
)
def test_images_in_other_folders(tmp_path, name, names):
    WRITERS[name](tmp_path / 'zoo')
    (tmp_path / 'zoo/photos').mkdir()
    move(tmp_path / 'zoo', names)
    report = init_data('zoo')
    assert report.problems == [] and boxes_of('configs/own_data/zoo.py') == (NAMES, {'a': BOXES, 'b': {}})


@pytest.mark.parametrize('name', WRITERS)
def test_no_image_is_said(tmp_path, name):
    """A folder of annotations alone is not taken for data without problems."""
    WRITERS[name](tmp_path / 'zoo')
    for path in (tmp_path / 'zoo').rglob('*.jpg'):
        path.unlink()
    try:
        report = init_data('zoo')
    except ValueError as error:
        told = str(error)
    else:
        assert report.has_errors and not report.prepared.written
        told = report.page
        assert '/tmp' not in told.replace(str(tmp_path), '')
    assert re.search('folder that holds both|holds no image', told)


def test_the_group_of_all_classes_is_no_class(tmp_path):
    """Roboflow lists it first, and the others name it."""
    write_coco(tmp_path / 'zoo')
    file = tmp_path / 'zoo/annotations/boxes.json'
    content = json.loads(file.read_text())
    for one in content['categories']:
        one['supercategory'] = 'animals'
    content['categories'].insert(0, dict(id=0, name='animals', supercategory='none'))
    file.write_text(json.dumps(content))
    assert init_data('zoo').prepared.data['metainfo']['classes'] == NAMES
    content['annotations'][0]['category_id'] = 0  # unless somebody drew one
    assert object_names(content, {0, 5}) == ['animals', *NAMES]
    del content['categories'][1:]
    assert object_names(content, set()) == ['animals']


@pytest.mark.parametrize('name', WRITERS)
def test_from_files_to_boxes(tmp_path, name):
    WRITERS[name](tmp_path / 'zoo')
    assert detect_format(tmp_path / 'zoo') == name
    report = init_data('zoo')
    assert report.problems == [] and report.prepared.format == name
    classes, boxes = boxes_of('configs/own_data/zoo.py')
    assert classes == NAMES and boxes == {'a': BOXES, 'b': {}}
    again = init_data('zoo')  # what was written is neither data nor in the way
    assert again.prepared.data == report.prepared.data and again.page == report.page
    with pytest.raises(FileExistsError, match='zoo.py: is there already'):
        init_data('zoo', wishes=Wishes(classes=('zebra', 'lion')))


def test_voc_with_several_suffixes_or_all_in_one_folder(tmp_path):
    write_voc(tmp_path / 'odd', ('.jpg', '.png'))
    init_data('odd')
    assert boxes_of('configs/own_data/odd.py') == (NAMES, {'a': BOXES, 'b': {}})
    write_voc(tmp_path / 'flat', ('.png', '.png'))
    for folder in ('JPEGImages', 'Annotations'):
        for path in (tmp_path / 'flat' / folder).iterdir():
            path.rename(tmp_path / 'flat' / path.name)
        (tmp_path / 'flat' / folder).rmdir()
    report = init_data('flat')
    assert report.prepared.data['type'] == 'bana_mm.VOCBoxDataset' and report.prepared.data['img_suffix'] == '.png'
    assert boxes_of('configs/own_data/flat.py') == (NAMES, {'a': BOXES, 'b': {}})


def test_yolo_lines(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('0 0.25 0.5 0.3 0.4\n\n1 0.1 0.1 0.5 0.1 0.5 0.9\n')
    box, outline = read_label_file(path, NAMES, SIZE, problems=STOP)
    assert np.allclose(box.box, [4, 6, 16, 14]) and box.entry == 'line 1' and box.polygons is None
    assert np.allclose(outline.box, [4, 2, 20, 18]) and outline.entry == 'line 3'
    assert np.allclose(outline.polygons, [[4, 2, 20, 2, 20, 18]])
    path.write_text('0 0.25 0.5 0.3 0.4 0.1 0.2 2 0.3 0.4 2\n')  # with two keypoints
    (one,) = read_label_file(path, NAMES, SIZE, keypoints=True, problems=STOP)
    assert np.allclose(one.box, [4, 6, 16, 14])


def test_yolo_parts_and_lists(tmp_path):
    for number, img_id in enumerate(('train/images/a', 'valid/images/b', 'test/images/c')):
        save_image(tmp_path / f'zoo/{img_id}.png', number)
    label = tmp_path / 'zoo/train/labels/a.txt'
    label.parent.mkdir(parents=True)
    label.write_text('1 0.5 0.5 1 1\n')
    (tmp_path / 'zoo/val.txt').write_text('./valid/images/b.png\n')
    (tmp_path / 'zoo/data.yaml').write_text(
        'train: ../train/images\nval: val.txt\ntest: test/images\nnames: {0: lion, 1: zebra}\n'
    )
    problems = ProblemList()
    source = read_yolo(tmp_path / 'zoo', problems)
    assert [(image.path.stem, image.split) for image in source.images] == [('a', 'train'), ('b', 'val'), ('c', 'test')]
    assert source.images[0].read(SIZE)[0].box == (0, 0, 40, 20) and problems.found == []
    assert source.images[1].read(SIZE) == [] and [one.kind for one in problems.found] == ['missing-annotation']


def test_labelme_shapes(tmp_path):
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    shapes = [
        shape('circle', 'lion', [[20, 10], [23, 14]]),  # radius 5
        shape('mask', 'zebra', [[2, 3], [5, 6]], mask=labelme_mask(mask)),  # both corners are pixels in it
        dict(shape('rectangle', 'lion', [[1, 1], [3, 3]]), group_id=1),
        dict(shape('rectangle', 'lion', [[8, 2], [10, 9]]), group_id=1),
        shape('point', 'lion', [[3, 3]]),
    ]
    write_labelme(tmp_path / 'zoo', shapes)
    problems = ProblemList()
    source = read_labelme(tmp_path / 'zoo', problems)
    circle, drawn, grouped = source.images[0].read(SIZE)
    assert circle.box == (15, 5, 25, 15) and drawn.box == (2, 3, 6, 7) and grouped.box == (1, 1, 10, 9)
    assert [(one.kind, one.severity, one.entry) for one in problems.found] == [('box', 'warning', 'shape 4')]


def test_cvat_shapes(tmp_path):
    shapes = (
        '<box label="lion" xtl="10" ytl="5" xbr="30" ybr="15" rotation="90"/>'  # turned about 20, 10
        '<ellipse label="lion" cx="20" cy="10" rx="5" ry="3"/>'
        '<mask label="zebra" left="2" top="3" width="4" height="2" rle="1,2,5"/>'
        '<polyline label="lion" points="1,1;2,2"/><tag label="lion"/>'
    )
    write_cvat(tmp_path / 'zoo', shapes)
    problems = ProblemList()
    turned, ellipse, mask = read_cvat(tmp_path / 'zoo', problems).images[0].read(SIZE)
    assert np.allclose(turned.box, [15, 0, 25, 20]) and np.allclose(ellipse.box, [15, 7, 25, 13])
    assert mask.box == (2, 3, 6, 5) and [one.kind for one in problems.found] == ['box']
    (tmp_path / 'zoo/annotations.xml').write_text('<annotations><track id="0" label="lion"/></annotations>')
    with pytest.raises(ValueError, match=r'annotations.xml: is of a video'):
        read_cvat(tmp_path / 'zoo', STOP)


def test_outlines_as_true_masks(tmp_path):
    """Validation is drawn from the images with masks, the others that have one are listed."""
    mask = '<mask label="zebra" left="2" top="3" width="4" height="2" rle="1,2,5"/>'
    write_cvat(
        tmp_path / 'zoo', CVAT_SHAPES.replace('<polygon', mask + '<polygon').replace('label="lion"', 'label="zebra"')
    )
    text = (tmp_path / 'zoo/annotations.xml').read_text()
    whole = '<polygon label="lion" points="0,0;10,0;10,20;0,20"/>'
    more = ''
    for number, img_id in enumerate('cde', 2):
        save_image(tmp_path / f'zoo/images/{img_id}.jpg', number)
        shapes = whole + (mask if img_id == 'c' else '')
        more += f'<image id="{number}" name="{img_id}.jpg" width="40" height="20">{shapes}</image>'
    (tmp_path / 'zoo/annotations.xml').write_text(text.replace('</annotations>', more + '</annotations>'))
    report = init_data('zoo', wishes=Wishes(masks=True))
    data = report.prepared.data
    assert data['data_prefix'] == dict(img='images/', seg='bana_mm/masks/')
    train, val = (
        [Path(one['file_name']).stem for one in json.loads((tmp_path / 'zoo' / data[mode]).read_text())['images']]
        for mode in ('train', 'val')
    )
    masked = {'b', 'c', 'd', 'e'}  # a has a box alone; b has no object, and its mask is all background
    assert len(val) == 1 and set(val) < masked and sorted(train + val) == list('abcde')
    listed = (tmp_path / 'zoo' / report.prepared.mask_split).read_text().split()
    assert listed == [name for name in train if name in masked] and 'mask_split=bana_mm/masked.txt' in report.page
    label = read_label_png(tmp_path / 'zoo/bana_mm/masks/c.png', SIZE, 2)
    expected = np.zeros(SIZE, np.uint8)
    expected[:, :10] = 1
    expected[3, 3:5] = 2  # the smaller box in front
    assert (label == expected).all()
    assert not (tmp_path / 'zoo/bana_mm/masks/a.png').exists()


def test_no_format_or_several(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere: the folder of the data does not exist'):
        detect_format(tmp_path / 'nowhere')
    (tmp_path / 'zoo').mkdir()
    for there in ('no images either', r'only images \(1\); name the folder that holds both'):
        with pytest.raises(ValueError, match=f'zoo: holds no annotations that are known .*{there}'):
            detect_format(tmp_path / 'zoo')
        save_image(tmp_path / 'zoo/a.jpg')
    write_labelme(tmp_path / 'zoo')
    write_cvat(tmp_path / 'zoo')
    with pytest.raises(ValueError, match=r'several formats, labelme, cvat; name .*, or choose one \(--format'):
        detect_format(tmp_path / 'zoo')
    with pytest.raises(ValueError, match=r'annotations.xml: is a file; name its folder, .*zoo '):
        detect_format(tmp_path / 'zoo/annotations.xml')


LABELME = dict(
    shapes=[
        shape('rectangle', 'lion', [[16, 14], [4, 6]]),
        shape('polygon', 'zebra', [[0, 0], [40, 0], [20, 20]]),
        shape('circle', 'lion', [[3, 3], [4, 4]]),
        shape('mask', 'zebra', [[2, 3], [3, 4]], mask=labelme_mask(np.ones((2, 2), bool))),
    ],
    imagePath='a.jpg',
    imageHeight=20,
    imageWidth=40,
)


@fuzz(changed(LABELME), quick=150, long=20_000)
def test_any_labelme_file(tmp_path, content):
    (tmp_path / 'a.json').write_text(json.dumps(content))
    fails_by_name(lambda: [image.read(SIZE) for image in read_labelme(tmp_path, STOP).images], tmp_path / 'a.json')


@fuzz(mutated(b'0 0.25 0.5 0.3 0.4\n1 0.1 0.1 0.5 0.1 0.5 0.9\n'), quick=150, long=20_000)
def test_any_yolo_file(tmp_path, content):
    path = tmp_path / 'a.txt'
    path.write_bytes(content)
    fails_by_name(lambda: read_label_file(path, NAMES, SIZE, problems=STOP), path)


CVAT = f'<annotations><image id="0" name="a.jpg" width="40" height="20">{CVAT_SHAPES}</image></annotations>'.encode()


@fuzz(mutated(CVAT), quick=150, long=20_000)
def test_any_cvat_file(tmp_path, content):
    path = tmp_path / 'annotations.xml'
    path.write_bytes(content)
    fails_by_name(lambda: [image.read(SIZE) for image in read_cvat(tmp_path, STOP).images], tmp_path)

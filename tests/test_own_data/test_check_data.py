"""What a check lists: each problem once, and as errors just what a training stops at."""

import copy
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fuzzing import changed, fuzz, mutated
from mmengine.registry import DATASETS, DefaultScope
from own_data_sets import SIZE, save_image, save_mask, shape, voc_xml, write_cvat, write_labelme, write_yolo
from PIL import Image

from bana_mm.own_data.init import check_data
from bana_mm.own_data.reading import read_data_parts
from bana_mm.utils.config import read_config
from bana_mm.utils.problems import KINDS as PROBLEM_KINDS
from bana_mm.utils.problems import STOP, ProblemList

REPO = Path(__file__).parents[2]
LION, ZEBRA = ('lion', 5, 7, 16, 14), ('zebra', 21, 1, 40, 20)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    monkeypatch.chdir(tmp_path)


class VOC:
    """Images 0, 1, ... of a lion and a zebra with masks in VOC's layout; the last two validate."""

    config = (
        "data = dict(type='bana_mm.VOCBoxDataset', data_root='voc', metainfo=dict(classes=('lion', 'zebra')),\n"
        "    train='ImageSets/Segmentation/train.txt', val='ImageSets/Segmentation/val.txt')\n"
    )

    def __init__(self, count):
        self.root, self.ids = Path('voc'), [str(number) for number in range(count)]
        for folder in ('Annotations', 'ImageSets/Segmentation'):
            (self.root / folder).mkdir(parents=True)
        for number, img_id in enumerate(self.ids):
            save_image(self.image(img_id), number)
            save_mask(self.mask(img_id), {1: (6, 8), 2: (30, 5)})
            self.annotate(img_id, LION, ZEBRA)
        self.list('train', self.ids[:-2])
        self.list('val', self.ids[-2:])
        Path('voc.py').write_text(self.config)

    def image(self, img_id):
        return self.root / f'JPEGImages/{img_id}.jpg'

    def mask(self, img_id):
        return self.root / f'SegmentationClassAug/{img_id}.png'

    def xml(self, img_id):
        return self.root / f'Annotations/{img_id}.xml'

    def annotate(self, img_id, *objects, size=SIZE):
        self.xml(img_id).write_text(voc_xml(objects, size))

    def list(self, name, ids):
        (self.root / f'ImageSets/Segmentation/{name}.txt').write_text(''.join(f'{img_id}\n' for img_id in ids))


class COCO:
    """The same in COCO's format."""

    config = (
        "data = dict(type='bana_mm.CocoBoxDataset', data_root='coco', data_prefix=dict(img='images/', seg='masks/'),\n"
        "    id_from='file_name', metainfo=dict(classes=('lion', 'zebra')), train='train.json', val='val.json')\n"
    )

    def __init__(self, count):
        self.root, self.ids = Path('coco'), [str(number) for number in range(count)]
        self.content = {}
        for mode, ids in (('train', self.ids[:-2]), ('val', self.ids[-2:])):
            images, annotations = [], []
            for img_id in ids:
                save_image(self.image(img_id), int(img_id))
                save_mask(self.mask(img_id), {1: (6, 8), 2: (30, 5)})
                images.append(dict(id=int(img_id), file_name=f'{img_id}.jpg', height=SIZE[0], width=SIZE[1]))
                for number, bbox in ((1, [4, 6, 12, 8]), (2, [20, 0, 20, 20])):
                    entry = dict(id=10 * int(img_id) + number, image_id=int(img_id), category_id=number, bbox=bbox)
                    annotations.append(entry)
            categories = [dict(id=1, name='lion'), dict(id=2, name='zebra')]
            self.content[mode] = dict(images=images, annotations=annotations, categories=categories)
        Path('coco.py').write_text(self.config)
        self.save()

    def save(self):
        for mode, content in self.content.items():
            (self.root / f'{mode}.json').write_text(json.dumps(content))

    def image(self, img_id):
        return self.root / f'images/{img_id}.jpg'

    def mask(self, img_id):
        return self.root / f'masks/{img_id}.png'

    def boxes(self, img_id):
        """Annotations of a training image: of the lion and of the zebra."""
        return [one for one in self.content['train']['annotations'] if one.get('image_id') == int(img_id)]


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-200])


def turned(path):
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    image.save(path, exif=exif)


# Kind, severity, what is done to an image of the training (of the validation where the kind is one of masks), and the
# file that is to be named.
VOC_PLANTS = [
    ('missing-image', 'error', lambda d, i: d.image(i).unlink(), VOC.image),
    ('missing-annotation', 'error', lambda d, i: d.xml(i).unlink(), VOC.xml),
    ('unreadable-image', 'error', lambda d, i: cut_off(d.image(i)), VOC.image),
    ('unreadable-annotation', 'error', lambda d, i: d.xml(i).write_text('<annotation><object>'), VOC.xml),
    ('size', 'error', lambda d, i: d.annotate(i, LION, ZEBRA, size=(30, 50)), VOC.image),
    ('size', 'warning', lambda d, i: d.annotate(i, LION, ZEBRA, size=(21, 40)), VOC.xml),
    ('orientation', 'warning', lambda d, i: turned(d.image(i)), VOC.image),
    ('unknown-class', 'error', lambda d, i: d.annotate(i, LION, ZEBRA, ('gnu', 1, 1, 9, 9)), VOC.xml),
    ('box', 'error', lambda d, i: d.annotate(i, LION, ZEBRA, ('lion', 9, 5, 5, 9)), VOC.xml),
    ('small-box', 'warning', lambda d, i: d.annotate(i, LION, ZEBRA, ('lion', 7, 9, 6.5, 11)), VOC.xml),
    ('over-edge', 'warning', lambda d, i: d.annotate(i, LION, ('zebra', 21, 1, 45, 20)), VOC.xml),
    ('same-box', 'warning', lambda d, i: d.annotate(i, LION, ZEBRA, LION), VOC.xml),
    ('same-image', 'warning', lambda d, i: shutil.copy(d.image('0'), d.image(i)), VOC.image),
    ('class-without-box', 'warning', lambda d, i: d.annotate(i, LION), VOC.mask),
    ('box-without-mask', 'warning', lambda d, i: d.annotate(i, LION, ZEBRA, ('lion', 18, 1, 20, 5)), VOC.mask),
    ('unreadable-mask', 'warning', lambda d, i: save_mask(d.mask(i), {7: (0, 0)}), VOC.mask),
]
VOC_VAL_PLANTS = [
    ('missing-mask', 'error', lambda d, i: d.mask(i).unlink(), VOC.mask),
    ('unreadable-mask', 'error', lambda d, i: save_mask(d.mask(i), {1: (0, 0)}, (20, 41)), VOC.mask),
]


def coco_change(**fields):
    return lambda d, i: d.boxes(i)[0].update(fields)


def add(d, i, bbox, category=1):
    entry = dict(id=1000 + int(i), image_id=int(i), category_id=category, bbox=bbox)
    d.content['train']['annotations'].append(entry)


def coco_file(d, i):
    return d.root / 'train.json'


COCO_PLANTS = [
    ('missing-image', 'error', lambda d, i: d.image(i).unlink(), COCO.image),
    ('unreadable-image', 'error', lambda d, i: cut_off(d.image(i)), COCO.image),
    ('unreadable-annotation', 'error', lambda d, i: d.content['train']['annotations'].append(dict(id=999)), coco_file),
    ('size', 'error', lambda d, i: d.content['train']['images'][int(i)].update(height=30), COCO.image),
    ('unknown-class', 'error', lambda d, i: add(d, i, [1, 1, 5, 5], 77), coco_file),
    ('box', 'warning', lambda d, i: add(d, i, [9, 9, -3, 5]), coco_file),
    ('small-box', 'warning', lambda d, i: add(d, i, [7, 9, 0.5, 2]), coco_file),
    ('over-edge', 'warning', lambda d, i: add(d, i, [3, 5, 60, 8]), coco_file),
    ('same-box', 'warning', lambda d, i: add(d, i, [4, 6, 12, 8]), coco_file),
    ('same-image', 'warning', lambda d, i: shutil.copy(d.image('0'), d.image(i)), COCO.image),
    ('class-without-box', 'warning', lambda d, i: d.content['train']['annotations'].remove(d.boxes(i)[1]), COCO.mask),
    ('box-without-mask', 'warning', lambda d, i: add(d, i, [17, 0, 3, 5]), COCO.mask),
]
KINDS = {VOC: VOC_PLANTS, COCO: COCO_PLANTS}


def seen(problems):
    return sorted((one.kind, one.severity, os.path.normpath(one.file)) for one in problems)


@pytest.mark.parametrize('kind', [VOC, COCO], ids=['voc', 'coco'])
def test_every_planted_problem_once(kind):
    plants, val_plants = KINDS[kind], VOC_VAL_PLANTS if kind is VOC else []
    data = kind(1 + len(plants) + 2)  # the first image stays as it is
    expected = []
    todo = [*zip(plants, data.ids[1:]), *zip(val_plants, data.ids[-2:])]
    for (name, severity, plant, file), img_id in todo:
        plant(data, img_id)
        expected.append((name, severity, os.path.normpath(file(data, img_id))))
    if kind is COCO:
        data.save()
    else:
        data.list('train', [*data.ids[:-2], data.ids[0]])
        expected.append(('unreadable-list', 'error', 'voc/ImageSets/Segmentation/train.txt'))
    report = check_data(f'{data.root}.py')
    assert seen(report.problems) == sorted(expected)
    assert all(one.file in one.message or one.kind == 'orientation' for one in report.problems)


@cache
def dataset_configs(config, text):
    """Data sets of a classifier's training and of a segmentation model's validation; reading them takes its time."""
    found = []
    for name, mode in (('bap_vgg16_voc', 'train'), ('deeplabv1_vgg16_voc', 'val')):
        cfg = read_config(f'configs/bana/{name}.py', data=config)
        dataset = cfg[f'{mode}_dataloader'].dataset
        if mode == 'train':
            dataset.pipeline.resize.scale = SIZE[::-1]
            dataset.pipeline.crop.crop_size = (17, 17)
        dataset.serialize_data = False  # which collects garbage each time
        found.append((cfg.default_scope, dataset))
    return found


def trains(config):
    """Whether a classifier and a segmentation model get all their images."""
    for scope, dataset in dataset_configs(config, Path(config).read_text()):
        with DefaultScope.overwrite_default_scope(scope):
            try:
                dataset = DATASETS.build(copy.deepcopy(dataset))
                for index in range(len(dataset)):
                    dataset[index]
            except (ValueError, FileNotFoundError):
                return False
    return True


ALONE = [(VOC, plant, 1) for plant in VOC_PLANTS] + [(VOC, plant, 3) for plant in VOC_VAL_PLANTS]
ALONE += [(COCO, plant, 1) for plant in COCO_PLANTS]


@pytest.mark.parametrize(
    ('kind', 'plant', 'number'), ALONE, ids=[f'{kind.__name__}-{plant[0]}-{plant[1]}' for kind, plant, _ in ALONE]
)
def test_errors_are_what_a_training_stops_at(kind, plant, number):
    data = kind(4)
    plant[2](data, str(number))
    if kind is COCO:
        data.save()
    report = check_data(f'{data.root}.py')
    assert [one.kind for one in report.problems] == [plant[0]]
    assert trains(f'{data.root}.py') != report.has_errors


def test_classes_that_the_file_lacks():
    data = COCO(4)
    Path('coco.py').write_text(data.config.replace("'zebra')", "'zebra', 'gnu')"))
    assert {(one.kind, one.severity, one.entry) for one in check_data('coco.py').problems} == {
        ('unknown-class', 'error', 'class gnu')
    }
    assert not trains('coco.py')
    Path('coco.py').write_text(data.config.replace("'lion', 'zebra')", "'lion',)"))
    assert {(one.kind, one.severity) for one in check_data('coco.py').problems} >= {('unknown-class', 'warning')}


def test_images_that_share_a_label_map():
    data = COCO(4)
    save_image(data.image('1').with_suffix('.png'), 77)
    data.content['train']['images'].append(dict(id=99, file_name='1.png', height=SIZE[0], width=SIZE[1]))
    data.save()
    assert [one.kind for one in check_data('coco.py').problems if one.severity == 'error'] == ['same-name']
    assert not trains('coco.py')


def test_an_image_in_two_parts():
    data = VOC(4)
    data.list('val', ['1', '3'])
    (problem,) = check_data('voc.py').problems
    assert problem.kind == 'same-image' and 'is in train and in val' in problem.message


def test_yolo(tmp_path):
    write_yolo(tmp_path / 'zoo')
    (tmp_path / 'zoo/labels/train/a.txt').write_text(
        '0 0.25 0.5 0.3 0.4\n0 0.25 0.5 0.3 0.4\n2 0.5 0.5 0.1 0.1\n0 0.5 0.5 -0.1 0.1\n1 0.9 0.5 0.5 0.5\n0 1 2\n'
    )
    (tmp_path / 'zoo/labels/train/c.txt').write_text('0 0.5 0.5 0.1 0.1\n')
    (tmp_path / 'zoo/labels/train/b.txt').unlink()
    found = {(one.kind, one.severity, Path(one.file).name, one.entry) for one in check_data('zoo').problems}
    assert found == {
        ('same-box', 'warning', 'a.txt', 'line 2'),
        ('unknown-class', 'error', 'a.txt', 'line 3'),
        ('box', 'error', 'a.txt', 'line 4'),
        ('over-edge', 'warning', 'a.txt', 'line 5'),
        ('unreadable-annotation', 'error', 'a.txt', 'line 6'),
        ('missing-image', 'error', 'c.txt', ''),
        ('missing-annotation', 'warning', 'b.txt', ''),
    }


def test_labelme_and_cvat(tmp_path):
    write_labelme(tmp_path / 'one', [shape('rectangle', 'lion', [[50, 3], [60, 9]]), shape('rectangle', '', [[1, 1]])])
    content = json.loads((tmp_path / 'one/b.json').read_text())
    (tmp_path / 'one/b.json').write_text(json.dumps(dict(content, imageWidth=41)))
    (tmp_path / 'one/c.json').write_text(json.dumps(dict(content, imagePath='c.jpg')))
    (tmp_path / 'one/d.json').write_text('{')
    found = {(one.kind, one.severity, Path(one.file).name, one.entry) for one in check_data('one').problems}
    assert found == {
        ('box', 'error', 'a.json', 'shape 0'),
        ('unreadable-annotation', 'error', 'a.json', 'shape 1'),
        ('size', 'error', 'b.jpg', ''),
        ('missing-image', 'error', 'c.jpg', ''),
        ('unreadable-annotation', 'error', 'd.json', ''),
    }
    write_cvat(
        tmp_path / 'two',
        '<box label="lion" xtl="9" ytl="5" xbr="5" ybr="9"/><box label="gnu" xtl="1" ytl="1" xbr="5" ybr="9"/>'
        '<box label="lion" xtl="a" ytl="1" xbr="5" ybr="9"/><box label="lion" xtl="1" ytl="1" xbr="5" ybr="9"/>',
    )
    cut_off(tmp_path / 'two/images/b.jpg')
    found = {(one.kind, one.severity, Path(one.file).name, one.entry) for one in check_data('two').problems}
    assert found == {
        ('box', 'error', 'annotations.xml', 'image 0, box 0'),
        ('unknown-class', 'error', 'annotations.xml', 'image 0, box 1'),
        ('unreadable-annotation', 'error', 'annotations.xml', 'image 0, box 2'),
        ('unreadable-image', 'error', 'b.jpg', ''),
    }


@pytest.mark.parametrize('kind', [VOC, COCO], ids=['voc', 'coco'])
def test_data_without_problems(kind):
    data = kind(4)
    assert check_data(f'{data.root}.py').problems == [] and trains(f'{data.root}.py')


def test_masks_of_ignored_pixels_are_no_problem():
    data = VOC(4)
    mask = np.full(SIZE, 255, np.uint8)
    Image.fromarray(mask).save(data.mask('1'))
    assert check_data('voc.py').problems == []


def test_the_document_names_every_kind():
    text = (REPO / 'docs/own_data.md').read_text()
    table = text[text.index('| kind |') : text.index('In Python: `bana_mm.own_data')]
    assert set(re.findall(r'`([a-z]+(?:-[a-z]+)*)`', table)) == set(PROBLEM_KINDS)


def stops(data):
    """Whether the reading of a training stops."""
    try:
        read_data_parts(data, STOP)
    except (ValueError, FileNotFoundError):
        return True
    return False


def lists_errors(data):
    problems = ProblemList()
    read_data_parts(data, problems)
    return bool(problems.errors)


ENTRIES = dict(
    images=[dict(id=5, file_name='a.jpg', height=20, width=40), dict(id=7, file_name='a.jpg', height=20, width=40)],
    annotations=[
        dict(id=1, image_id=5, category_id=3, bbox=[1, 2, 8, 6], iscrowd=0),
        dict(id=2, image_id=7, category_id=4, bbox=[0.5, 0, 3, 3]),
    ],
    categories=[dict(id=3, name='lion'), dict(id=4, name='zebra')],
)


@fuzz(changed(ENTRIES), quick=50, long=10_000)
def test_any_coco_file_stops_where_errors_are_listed(tmp_path, content):
    data = dict(type='bana_mm.CocoBoxDataset', data_root=str(tmp_path), metainfo=dict(classes=('lion', 'zebra')))
    (tmp_path / 'a.jpg').touch()
    (tmp_path / 'a.json').write_text(json.dumps(content))
    assert stops(dict(data, train='a.json')) == lists_errors(dict(data, train='a.json'))


@fuzz(mutated(voc_xml([LION, ZEBRA, ('lion', 1, 1, 2.5, 3)]).encode()), quick=50, long=10_000)
def test_any_voc_file_stops_where_errors_are_listed(tmp_path, content):
    for folder in ('JPEGImages', 'Annotations'):
        (tmp_path / folder).mkdir(exist_ok=True)
    Image.new('RGB', SIZE[::-1]).save(tmp_path / 'JPEGImages/a.jpg')
    (tmp_path / 'list.txt').write_text('a\n')
    (tmp_path / 'Annotations/a.xml').write_bytes(content)
    data = dict(type='bana_mm.VOCBoxDataset', data_root=str(tmp_path), metainfo=dict(classes=('lion', 'zebra')))
    assert stops(dict(data, train='list.txt')) == lists_errors(dict(data, train='list.txt'))

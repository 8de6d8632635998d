"""The COCO data set: boxes, crowds, order of labels, degenerate images, and one clear error for each bad input."""

import copy
import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from bana_mm.datasets import CocoBoxDataset
from bana_mm.functional import definite_background
from bana_mm.structures import BoxLayout

CATEGORIES = [dict(id=90, name='lion'), dict(id=7, name='zebra'), dict(id=33, name='gnu')]


def annotation(number, bbox=(1, 1, 4, 4), category=7, image=5, **fields):
    return dict(id=number, image_id=image, category_id=category, bbox=list(bbox), **fields)


@pytest.fixture
def write(tmp_path):
    """Write a file with one image of 20 x 10 pixels (width x height), and the image."""

    def writer(*annotations, image=None, **changes):
        (tmp_path / 'img').mkdir(exist_ok=True)
        (image or Image.fromarray(np.zeros((10, 20, 3), np.uint8))).save(tmp_path / 'img/one.jpg')
        content = dict(
            images=[dict(id=5, file_name='one.jpg', height=10, width=20)],
            annotations=list(annotations),
            categories=CATEGORIES,
        )
        (tmp_path / 'boxes.json').write_text(json.dumps({**content, **changes}))

    return writer


@pytest.fixture
def build(tmp_path):
    def builder(classes=('zebra', 'lion'), **kwargs):
        return CocoBoxDataset('boxes.json', str(tmp_path), dict(img='img'), metainfo=dict(classes=classes), **kwargs)

    return builder


def test_boxes_labels_and_ids(write, build, tmp_path):
    write(annotation(12, (0, 0, 20, 10), 90), annotation(3, (2.5, 3, 1.25, 0.5), 7), annotation(4, category=33))
    item = build().get_data_info(0)
    assert item['instances'] == [  # in the order of the file; labels in that of the classes; the gnu is background
        dict(bbox=[0, 0, 20, 10], bbox_label=1, ignore_flag=0, ann_id=12),
        dict(bbox=[2.5, 3, 3.75, 3.5], bbox_label=0, ignore_flag=0, ann_id=3),
    ]
    assert (item['img_id'], item['width'], item['height']) == (5, 20, 10)
    assert item['img_path'] == str(tmp_path / 'img/one.jpg')
    assert build(('lion', 'zebra', 'gnu')).get_cat_ids(0) == [0, 1, 2]
    assert build(id_from='file_name').get_data_info(0)['img_id'] == 'one'
    with pytest.raises(ValueError, match="'id' or 'file_name'"):
        build(id_from='stem')


@pytest.mark.parametrize(
    'fields',
    [
        {},
        dict(segmentation=None),
        dict(segmentation=[]),
        dict(segmentation=[[1, 1, 5, 1, 5, 5]]),
        dict(segmentation=dict(size=[10, 20], counts='0P6')),
        dict(segmentation=dict(size=[10, 20], counts=[10, 190])),
    ],
)
def test_masks_make_no_difference(write, build, fields):
    write(annotation(1, **fields))
    assert build().get_data_info(0)['instances'] == [dict(bbox=[1, 1, 5, 5], bbox_label=0, ignore_flag=0, ann_id=1)]


def test_crowds_and_ignored_boxes_are_neither_object_nor_background(write, build):
    write(
        annotation(1, (0, 0, 4, 10), iscrowd=1),
        annotation(2, (8, 0, 4, 10), ignore=1),
        annotation(3, (16, 0, 4, 10), iscrowd=0, ignore=None),
    )
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='bana_mm.CheckImageSize'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmdet'):
        sample = build(pipeline=pipeline)[0]['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[16, 0, 20, 10]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[0, 0, 4, 10], [8, 0, 12, 10]]
    # stage 2: no class there, and label 255
    layout = BoxLayout.from_sample(sample)
    assert layout.size == (10, 20) and layout.box_classes == (1,)
    columns = np.arange(20) // 4  # five stripes: ignored, background, ignored, background, object
    assert (layout.unknown().numpy() == np.isin(columns, (0, 2))).all()
    assert (layout.background().numpy() == np.isin(columns, (1, 3))).all()
    # stage 1: the definite background of the image
    boxes = np.concatenate([part.bboxes.tensor for part in (sample.gt_instances, sample.ignored_instances)])
    rois = sample.gt_instances.bboxes.tensor.new_tensor(np.insert(boxes, 0, 0, axis=1))
    found = definite_background(rois, [(10, 20)], (10, 20))
    assert (found[0, 0].numpy() == np.isin(columns, (1, 3))).all()


def test_boxes_over_the_edge_are_clipped_and_empty_ones_counted(write, build, monkeypatch):
    write(
        annotation(1, (-3, -1, 30, 4)),
        annotation(2, (3, 3, 0, 4)),
        annotation(3, (20, 0, 5, 5)),
        annotation(4, (3, 3, 4, -1)),
        annotation(5, (-5, 0, 5, 5)),
        annotation(6, (19.5, 9.5, 8, 8)),
    )
    lines = []
    monkeypatch.setattr('bana_mm.datasets.reading_notes.print_log', lambda text, **kwargs: lines.append(text))
    instances = build().get_data_info(0)['instances']
    assert [(i['ann_id'], i['bbox']) for i in instances] == [(1, [0, 0, 20, 3]), (6, [19.5, 9.5, 20, 10])]
    assert 'boxes less than a pixel wide or high: 1, the first annotation 6.' in lines[0]
    assert 'boxes that reach over' in lines[1] and ': 2, the first annotation 1.' in lines[1]
    assert lines[2].endswith('4 boxes without area inside their image are left out (annotation ids 2, 3, 4, ...)')


def test_many_boxes_and_none(write, build):
    boxes = [(x, y, 1, 1) for y in range(10) for x in range(20)]
    write(*(annotation(number, box) for number, box in enumerate(boxes)))
    instances = build().get_data_info(0)['instances']
    assert [i['bbox'] for i in instances] == [[x, y, x + 1, y + 1] for x, y, _, _ in boxes]
    assert [i['ann_id'] for i in instances] == list(range(200))
    write()
    assert build().get_data_info(0)['instances'] == [] and len(build()) == 1
    write(annotation(1, category=33))
    with pytest.raises(ValueError, match='boxes.json: no image passes filter_cfg'):
        build(filter_cfg=dict(filter_empty_gt=True))
    write(annotation(1))
    assert len(build(filter_cfg=dict(filter_empty_gt=True))) == 1


def test_metainfo(write, build):
    write()
    own = build()
    assert own.metainfo['classes'] == ('zebra', 'lion') and own.metainfo['palette'] == [[128, 0, 0], [0, 128, 0]]
    with_background = build(background_class=True)
    assert with_background.metainfo['classes'] == ('background', 'zebra', 'lion')
    assert with_background.metainfo['palette'] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    write(annotation(1, category=90))
    assert build(background_class=True).get_data_info(0)['instances'][0]['bbox_label'] == 1  # still the object's label
    assert build('lion').metainfo['classes'] == ('lion',)
    with pytest.raises(ValueError, match="boxes.json: no category is called 'person'.*lion, zebra, gnu"):
        CocoBoxDataset('boxes.json', own.data_root, dict(img='img'))  # COCO's 80 classes
    with pytest.raises(ValueError, match='named twice'):
        build(('lion', 'lion'))
    write(categories=[*CATEGORIES, dict(id=1, name='lion')])
    with pytest.raises(ValueError, match="boxes.json: 2 categories are called 'lion'"):
        build()


def test_masks_are_named_where_they_exist(write, build, tmp_path):
    write()
    assert 'seg_map_path' not in build().get_data_info(0)
    with pytest.raises(FileNotFoundError, match='one.jpg: the mask does not exist'):
        build(require_masks=True)
    (tmp_path / 'masks').mkdir()
    prefix = dict(img='img', seg='masks')

    def with_masks(**kwargs):
        return CocoBoxDataset('boxes.json', str(tmp_path), prefix, metainfo=dict(classes=('lion',)), **kwargs)

    with pytest.raises(FileNotFoundError, match='masks/one.png: the mask does not exist'):
        with_masks(require_masks=True)
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / 'masks/one.png')
    assert with_masks(require_masks=True).get_data_info(0)['seg_map_path'] == str(tmp_path / 'masks/one.png')


def without(entry, field):
    return {key: value for key, value in entry.items() if key != field}


IMAGE = dict(id=5, file_name='one.jpg', height=10, width=20)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(images=None), 'images is missing'),
        (dict(annotations={}), 'annotations is no list'),
        (dict(categories=None), 'categories is missing'),
        (dict(images=[]), 'images is empty'),
        (dict(images=[IMAGE, IMAGE]), r'images\[1\]: id 5 is there twice'),
        (dict(images=[without(IMAGE, 'file_name')]), r'images\[0\] \(id 5\): file_name is missing'),
        (dict(images=[without(IMAGE, 'width')]), r'images\[0\] \(id 5\): width is missing'),
        (dict(images=[dict(IMAGE, height=0)]), r'images\[0\] \(id 5\): height must be a whole number of pixels, got 0'),
        (dict(images=[dict(IMAGE, id='five')]), r"images\[0\] .*id must be a whole number, got 'five'"),
        (dict(annotations=[annotation(1), annotation(1)]), r'annotations\[1\]: id 1 is there twice'),
        (dict(annotations=[without(annotation(1), 'id')]), r'annotations\[0\] \(id None\): id is missing'),
        (dict(annotations=[without(annotation(1), 'bbox')]), r'annotations\[0\] \(id 1\): bbox is missing'),
        (dict(annotations=[without(annotation(1), 'category_id')]), r'\(id 1\): category_id is missing'),
        (dict(annotations=[annotation(1, (1, 2, 3))]), r'\(id 1\): bbox must be the four finite numbers .*\[1, 2, 3\]'),
        (dict(annotations=[annotation(1, (1, 2, 3, float('nan')))]), r'\(id 1\): bbox must be the four finite numbers'),
        (dict(annotations=[annotation(1, image=6)]), r'\(id 1\): image_id 6 is not among the images'),
        (dict(annotations=[annotation(1, category=8)]), r'\(id 1\): category_id 8 is not among the categories'),
        (dict(annotations=['box']), r"annotations\[0\] must be an object, got 'box'"),
    ],
)
def test_bad_files_are_named_with_the_field(write, build, changes, message):
    write(**copy.deepcopy(changes))
    with pytest.raises(ValueError, match=f'boxes.json: .*{message}'):
        build()


def test_files_that_are_missing_or_no_json(write, build, tmp_path):
    write()
    (tmp_path / 'boxes.json').write_text('[1, 2')
    with pytest.raises(ValueError, match='boxes.json: not valid JSON'):
        build()
    (tmp_path / 'boxes.json').write_text('[1, 2]')
    with pytest.raises(ValueError, match='boxes.json: must be COCO'):
        build()
    (tmp_path / 'boxes.json').unlink()
    with pytest.raises(FileNotFoundError, match='boxes.json: annotation file does not exist'):
        build()
    write()
    (tmp_path / 'img/one.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='one.jpg does not exist .1 of the 1 images of .*boxes.json'):
        build()
    with pytest.raises(FileNotFoundError, match='data_root .*nowhere.*COCO_ROOT'):
        CocoBoxDataset('boxes.json', str(tmp_path / 'nowhere'))


def load(build):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='bana_mm.CheckImageSize')]
    with DefaultScope.overwrite_default_scope('mmdet'):
        return build(pipeline=pipeline)[0]['img']


@pytest.mark.parametrize(
    'mode, colour, expected',
    [
        ('RGB', (200, 40, 90), (200, 40, 90)),
        ('L', 77, (77, 77, 77)),
        ('CMYK', (0, 0, 255, 0), (255, 255, 0)),  # yellow ink alone
    ],
)
def test_grey_and_cmyk_images_have_three_channels(write, build, mode, colour, expected):
    write(image=Image.new(mode, (20, 10), colour))
    image = load(build)
    assert image.shape == (10, 20, 3)
    assert np.abs(image[..., ::-1].astype(int) - expected).max() <= 3


def turned(size, orientation):
    """An image whose left half is white as stored, with an EXIF orientation."""
    image = Image.new('RGB', size)
    image.paste((255, 255, 255), (0, 0, size[0] // 2, size[1]))
    exif = image.getexif()
    exif[0x0112] = orientation
    return image, exif


@pytest.mark.parametrize('orientation, top_is_white', [(6, True), (8, False)])
def test_exif_orientation(write, build, tmp_path, orientation, top_is_white):
    # Stored 10 wide and 20 high, shown 20 x 10: the file (20 x 10) means the image as it is shown.
    image, exif = turned((10, 20), orientation)
    write()
    image.save(tmp_path / 'img/one.jpg', exif=exif)
    loaded = load(build)
    assert loaded.shape == (10, 20, 3)
    assert (loaded[0].mean() > 200) == top_is_white and (loaded[-1].mean() > 200) != top_is_white
    # Stored 20 x 10, shown 10 x 20: the file means the pixels as stored.
    image, exif = turned((20, 10), orientation)
    image.save(tmp_path / 'img/one.jpg', exif=exif)
    with pytest.raises(
        ValueError,
        match=r'one.jpg: .* 20 x 10, but .* says 10 x 20: .*EXIF orientation '
        rf'\({orientation}\)',
    ):
        load(build)
    Image.new('RGB', (21, 10)).save(tmp_path / 'img/one.jpg')
    with pytest.raises(ValueError, match='one.jpg: .* 10 x 21, but .* says 10 x 20; correct'):
        load(build)

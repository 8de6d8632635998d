"""Files that people bring, and that were once read wrong without a word: VOC and COCO, the same cases for both."""

import json
import logging

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from bana_mm.datasets import CocoBoxDataset, VOCBoxDataset
from bana_mm.datasets.coco_files import read_coco
from bana_mm.datasets.voc_files import read_voc_xml
from bana_mm.labels import BoxSource, LabelItem, LabelItems, label_map

SIZE = (40, 64)  # height and width


@pytest.fixture
def notes(monkeypatch):
    """What the readers say in the log: level and text."""
    lines = []
    for module in ('reading_notes', 'transforms.checked_loading'):
        monkeypatch.setattr(
            f'bana_mm.datasets.{module}.print_log',
            lambda text, logger=None, level=logging.INFO: lines.append((level, text)),
        )
    return lines


class VOC:
    """A data set of lions and zebras in VOC's layout."""

    name = 'one.xml'

    def __init__(self, root):
        self.root = root
        for folder in ('JPEGImages', 'Annotations', 'SegmentationClass', 'ImageSets/Segmentation'):
            (root / folder).mkdir(parents=True)

    def write(self, *boxes, size=SIZE, names=None, img_id='one'):
        """Boxes xyxy, 0-based and half-open."""
        objects = ''.join(
            f'<object><name>{name}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>'
            f'<ymax>{y2}</ymax></bndbox></object>'
            for (x1, y1, x2, y2), name in zip(boxes, names or ['lion'] * len(boxes))
        )
        tag = '' if size is None else f'<size><width>{size[1]}</width><height>{size[0]}</height></size>'
        (self.root / f'Annotations/{img_id}.xml').write_text(f'<annotation>{tag}{objects}</annotation>')
        (self.root / 'ImageSets/Segmentation/split.txt').write_text('one\n')

    def image_path(self, name='one.jpg'):
        return self.root / 'JPEGImages' / name

    def mask_path(self):
        return self.root / 'SegmentationClass/one.png'

    def build(self, classes=('lion', 'zebra'), masks=False, **kwargs):
        return VOCBoxDataset(
            'ImageSets/Segmentation/split.txt',
            data_root=str(self.root),
            data_prefix=dict(seg_map_path='SegmentationClass' if masks else 'none'),
            metainfo=dict(classes=classes),
            **kwargs,
        )


class COCO:
    """The same in COCO's format."""

    name = 'boxes.json'

    def __init__(self, root):
        self.root = root
        (root / 'images').mkdir()
        (root / 'masks').mkdir()

    def write(self, *boxes, size=SIZE, names=None, files=('one.jpg',)):
        categories = {'lion': 4, 'zebra': 2, 'dog': 9}
        annotations = [
            dict(id=number, image_id=1, category_id=categories[name], bbox=[x1, y1, x2 - x1, y2 - y1])
            for number, ((x1, y1, x2, y2), name) in enumerate(zip(boxes, names or ['lion'] * len(boxes)))
        ]
        images = [
            dict(id=number, file_name=file, height=size[0], width=size[1]) for number, file in enumerate(files, 1)
        ]
        content = dict(
            images=images,
            annotations=annotations,
            categories=[dict(id=number, name=name) for name, number in categories.items()],
        )
        (self.root / 'boxes.json').write_text(json.dumps(content))

    def image_path(self, name='one.jpg'):
        return self.root / 'images' / name

    def mask_path(self):
        return self.root / 'masks/one.png'

    def build(self, classes=('lion', 'zebra'), masks=False, **kwargs):
        prefix = dict(img='images', seg='masks') if masks else dict(img='images')
        return CocoBoxDataset('boxes.json', str(self.root), prefix, metainfo=dict(classes=classes), **kwargs)


@pytest.fixture(params=[VOC, COCO], ids=['voc', 'coco'])
def data(request, tmp_path):
    made = request.param(tmp_path)
    Image.new('RGB', SIZE[::-1]).save(made.image_path())
    made.write((8, 4, 24, 20))
    return made


def save_turned(data, size, orientation):
    image = Image.new('RGB', size[::-1])
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(data.image_path(), exif=exif)


LOADERS = {
    'mmdet': [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)],
    'mmseg': [dict(type='LoadImageFromFile'), dict(type='bana_mm.BoxPseudoLabel', source='box')],
}


def load(data, scope='mmdet', pipeline=None, **kwargs):
    """The first item, by the pipeline of a stage."""
    with DefaultScope.overwrite_default_scope(scope):
        return data.build(pipeline=pipeline or LOADERS[scope], **kwargs)[0]


@pytest.mark.parametrize('scope', LOADERS)
@pytest.mark.parametrize('orientation', [6, 8])
def test_boxes_of_the_stored_pixels_of_a_turned_image(data, orientation, scope):
    save_turned(data, SIZE, orientation)  # shown 64 rows high; the annotations say 40
    with pytest.raises(ValueError, match=rf'one\.jpg: .*64 x 40, but .* 40 x 64: .*EXIF orientation \({orientation}\)'):
        load(data, scope)


def test_sources_of_labels_see_the_size_of_an_image(tmp_path):
    coco = COCO(tmp_path)
    coco.write((8, 4, 24, 20))
    save_turned(coco, SIZE, 6)
    item = LabelItems(coco.build())[0]
    for call in (
        lambda: item.image,
        lambda: LabelItem.from_info(coco.build().get_data_info(0), np.zeros((*SIZE[::-1], 3), np.uint8)),
    ):
        with pytest.raises(ValueError, match=r'one\.jpg: .*EXIF orientation \(6\)'):
            call()


@pytest.mark.parametrize('scope', LOADERS)
def test_boxes_of_a_turned_image_as_it_is_shown(data, notes, scope):
    save_turned(data, SIZE[::-1], 6)  # shown 40 rows high, as the annotations say
    item = load(data, scope)
    assert item['img'].shape[:2] == SIZE and notes == []
    assert (
        item['gt_seg_map'].shape == SIZE if scope == 'mmseg' else item['gt_bboxes'].tensor.tolist() == [[8, 4, 24, 20]]
    )


@pytest.mark.parametrize('orientation, square', [(3, False), (2, False), (6, True)])
def test_orientations_that_no_size_tells_are_warned_of(data, notes, orientation, square):
    size = (40, 40) if square else SIZE
    save_turned(data, size, orientation)
    data.write((8, 4, 24, 20), size=size)
    load(data)
    ((level, text),) = notes
    assert level == logging.WARNING and 'one.jpg' in text and 'EXIF orientation' in text and 'auto-orient' in text


class TestSizesInXML:
    @pytest.fixture
    def voc(self, tmp_path):
        made = VOC(tmp_path)
        Image.new('RGB', SIZE[::-1]).save(made.image_path())
        return made

    @pytest.mark.parametrize('width', ['', 'None', '0', '-5', 'nan', 'inf', '1e400'])
    def test_no_number(self, voc, width):
        (voc.root / 'ImageSets/Segmentation/split.txt').write_text('one\n')
        (voc.root / 'Annotations/one.xml').write_text(
            f'<annotation><size><width>{width}</width><height>40</height></size></annotation>'
        )
        item = voc.build().get_data_info(0)
        assert (item['height'], item['width']) == SIZE

    def test_no_size_at_a_turned_image(self, voc, notes):
        save_turned(voc, SIZE, 6)
        voc.write((8, 4, 24, 20), size=None)
        assert (voc.build().get_data_info(0)['height'], notes[0][0]) == (64, logging.WARNING)

    @pytest.mark.parametrize('told', [SIZE[::-1], (41, 64), (40, 63)])
    def test_slips(self, voc, notes, told):
        voc.write((8, 4, 64, 20), size=told)
        item = voc.build().get_data_info(0)
        assert (item['height'], item['width']) == SIZE and item['instances'][0]['bbox'] == [8, 4, 64, 20]
        assert notes[0][0] == logging.WARNING and 'another size than their image has: 1, the first' in notes[0][1]

    def test_other_sizes_are_errors(self, voc):
        voc.write((8, 4, 24, 20), size=(80, 128))
        with pytest.raises(ValueError, match=r'one\.jpg: .* 40 x 64, but .* 80 x 128; correct'):
            voc.build()
        voc.write((8, 4, 30, 60), size=SIZE[::-1])  # swapped, but the box lies in an image of 64 rows
        with pytest.raises(ValueError, match=r'one\.jpg: .* 40 x 64, but .* 64 x 40; correct'):
            voc.build()

    @pytest.mark.parametrize(
        'text, message',
        [
            ('<annotations><image/></annotations>', r"outer element is 'annotations'"),
            ('<annotation><objects><object/></objects></annotation>', 'its boxes are not where'),
            ('<annotation><object><name>lion</name><difficult>maybe</difficult></object></annotation>', 'bndbox'),
        ],
    )
    def test_other_kinds_of_xml_are_no_images_without_boxes(self, voc, text, message):
        path = voc.root / 'one.xml'
        path.write_text(text)
        with pytest.raises(ValueError, match=rf'one\.xml.*{message}'):
            read_voc_xml(path)

    @pytest.mark.parametrize('text, expected', [('True', True), ('1', True), ('', False), ('0', False), ('no', False)])
    def test_difficult(self, voc, text, expected):
        voc.write((0, 0, 4, 4))
        path = voc.root / 'Annotations/one.xml'
        path.write_text(path.read_text().replace('<bndbox>', f'<difficult>{text}</difficult><bndbox>'))
        assert read_voc_xml(path)[1][0].difficult is expected
        path.write_text(path.read_text().replace(f'<difficult>{text}<', '<difficult>maybe<'))
        with pytest.raises(ValueError, match=r"one\.xml: object 0: difficult must be 0 or 1, got 'maybe'"):
            read_voc_xml(path)


@pytest.mark.parametrize('background', ['background', 'Background', '__background__'])
def test_the_background_is_no_class(data, background):
    with pytest.raises(ValueError, match=f"metainfo: '{background}' is no object class: leave it out"):
        data.build(classes=(background, 'lion'))


@pytest.mark.parametrize('classes', [(), ('lion', ''), ('lion', 3), ('lion', 'lion')])
def test_classes_that_are_no_names(data, classes):
    with pytest.raises(ValueError, match='metainfo: classes'):
        data.build(classes=classes)


def test_a_subset_of_the_classes(data, notes):
    data.write((0, 0, 9, 9), (10, 0, 19, 9), (20, 0, 29, 9), names=['zebra', 'dog', 'lion'])
    with pytest.raises(ValueError, match=r"(one\.xml: object 1|annotation 1).*'dog'.*other_classes='ignore'"):
        data.build(other_classes='error')
    items = {kind: data.build(other_classes=kind).get_data_info(0) for kind in ('background', 'ignore')}
    kept = [([0, 0, 9, 9], 1, 0), ([10, 0, 19, 9], -1, 1), ([20, 0, 29, 9], 0, 0)]
    found = {
        kind: [(one['bbox'], one['bbox_label'], one['ignore_flag']) for one in item['instances']]
        for kind, item in items.items()
    }
    assert found == dict(background=[kept[0], kept[2]], ignore=kept)
    assert data.build(other_classes='ignore').get_cat_ids(0) == [1, 0]
    assert notes[0][1].endswith('objects of other classes are background: dog (1)')
    assert notes[1][1].endswith('objects of other classes are neither object nor background: dog (1)')
    with pytest.raises(ValueError, match="other_classes must be one of error, background, ignore, got 'drop'"):
        data.build(other_classes='drop')


def test_ignored_classes_are_ignored_by_every_stage(data):
    data.write((0, 0, 32, 40), (32, 0, 64, 40), names=['lion', 'dog'])
    pipeline = [*LOADERS['mmdet'], dict(type='PackDetInputs')]
    sample = load(data, pipeline=pipeline, other_classes='ignore')['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 0, 32, 40]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[32, 0, 64, 40]]
    label = load(data, 'mmseg', other_classes='ignore')['gt_seg_map']
    assert (label[:, :32] == 1).all() and (label[:, 32:] == 255).all()


def test_boxes_given_as_shares_of_the_image(data, notes):
    data.write((-0.75, -0.75, 0.5, 0.5) if isinstance(data, VOC) else (0.25, 0.25, 0.75, 0.75))
    data.build()
    ((level, text),) = notes
    assert level == logging.WARNING
    assert 'boxes less than a pixel wide or high: 1, the first' in text and 'look like shares of the image' in text


def test_small_boxes_in_pixels(data, notes):
    data.write((3.5, 4, 4.25, 9))
    data.build()
    assert 'less than a pixel' in notes[0][1] and 'shares' not in notes[0][1]


def test_boxes_far_over_the_edge_are_told(data, notes):
    data.write((8, 4, 64 + 2, 20), (8, 4, 64 + 3, 20))
    assert [one['bbox'] for one in data.build().get_data_info(0)['instances']] == [[8, 4, 64, 20]] * 2
    ((level, text),) = notes
    assert level == logging.WARNING and "reach over their image's edge, where they are cut off: 1, the first" in text


MASKED = {
    'mmdet': [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_seg=True, imdecode_backend='pillow'),
    ],
    'mmseg': [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    'augmented': [
        dict(type='LoadImageFromFile'),
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 1.0)],
                [dict(type='LoadAnnotations')],
                [dict(type='PackSegInputs')],
            ],
        ),
    ],
    'split': [dict(type='LoadImageFromFile'), dict(type='bana_mm.BoxPseudoLabel', source='box', mask_split='SPLIT')],
}
BAD_MASKS = [
    (Image.new('RGB', SIZE[::-1]), r"mode 'RGB'"),
    (Image.new('I;16', SIZE[::-1]), r"mode 'I;16'"),
    (Image.new('1', SIZE[::-1]), r"mode '1'"),
    (Image.new('L', SIZE), r'64 x 40 \(height x width\), but its image is 40 x 64'),
    (Image.new('L', SIZE[::-1], 38), r'holds class 38; allowed are 0\.\.2 and 255'),
]


@pytest.mark.parametrize('kind', MASKED)
@pytest.mark.parametrize('mask, message', BAD_MASKS, ids=['rgb', '16 bits', '1 bit', 'size', 'class'])
def test_masks_are_refused_by_name(data, mask, message, kind, tmp_path):
    mask.save(data.mask_path())
    (tmp_path / 'split.txt').write_text('1\n' if isinstance(data, COCO) else 'one\n')
    pipeline = json.loads(json.dumps(MASKED[kind]).replace('SPLIT', str(tmp_path / 'split.txt')))
    with pytest.raises(ValueError, match=rf'one\.png.*{message}'):
        load(data, 'mmdet' if kind == 'mmdet' else 'mmseg', pipeline, masks=True)


@pytest.mark.parametrize('kind', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('size', [(1, 1), (1, 30), (30, 1), SIZE])
def test_masks_of_any_size(data, kind, size):
    Image.new('RGB', size[::-1]).save(data.image_path())
    data.write(size=size)
    Image.new('L', size[::-1], 2).save(data.mask_path())
    label = load(data, kind, MASKED[kind], masks=True)['gt_seg_map']
    assert label.shape == size and (label == 2).all() and label.dtype == np.uint8


def test_making_labels_opens_no_masks(data):
    data.mask_path().write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'one\.png: label map cannot be read'):
        load(data, 'mmdet', MASKED['mmdet'], masks=True)
    (item,) = LabelItems(data.build(masks=True))
    assert label_map(BoxSource(), item).max() == 1


@pytest.mark.parametrize('content', [b'', b'no image', b'\xff\xd8\xff\xe0'])
def test_broken_images_are_named(data, content):
    data.image_path().write_bytes(content)
    with pytest.raises(ValueError, match=r'one\.jpg: image cannot be read'):
        load(data)


def test_images_that_are_cut_off(data):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)).save(data.image_path())
    load(data)
    data.image_path().write_bytes(data.image_path().read_bytes()[:-300])
    with pytest.raises(ValueError, match=r'one\.jpg: .*cut off'):
        load(data)
    with pytest.raises(ValueError, match=r'one\.jpg: .*cut off'):
        LabelItems(data.build())[0].image  # noqa: B018  what every source reads


class TestIdsOfCOCO:
    @pytest.fixture
    def coco(self, tmp_path):
        made = COCO(tmp_path)
        for name in ('a.jpg', 'a.png', 'fold1/001.jpg', 'fold2/001.jpg', 'v1.0/a'):
            made.image_path(name).parent.mkdir(exist_ok=True)
            Image.new('RGB', SIZE[::-1]).save(made.image_path(name), format='PNG')
        return made

    def ids(self, coco, *files, **kwargs):
        coco.write(files=files)
        dataset = coco.build(id_from='file_name', **kwargs)
        return [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]

    def test_two_images_of_one_stem(self, coco):
        with pytest.raises(ValueError, match=r"labels of .*/a\.jpg and .*/a\.png would be one, 'a'.*id_from='id'"):
            self.ids(coco, 'a.jpg', 'a.png')
        with pytest.raises(ValueError, match=r'labels of two entries for .*/a\.jpg would be one'):
            self.ids(coco, 'a.jpg', 'a.jpg')
        coco.write(files=('a.jpg', 'a.png'))
        assert [coco.build().get_data_info(index)['img_id'] for index in range(2)] == [1, 2]
        Image.new('L', SIZE[::-1]).save(coco.root / 'masks/a.png')
        with pytest.raises(ValueError, match=r'the mask of .*/a\.jpg and .*/a\.png would be one'):
            coco.build(masks=True)

    def test_subfolders(self, coco):
        assert self.ids(coco, 'fold1/001.jpg', 'fold2/001.jpg') == ['fold1/001', 'fold2/001']
        assert self.ids(coco, './fold1/001.jpg', 'v1.0/a') == ['fold1/001', 'v1.0/a']
        (coco.root / 'masks/v1.0').mkdir()
        Image.new('L', SIZE[::-1]).save(coco.root / 'masks/v1.0/a.png')
        coco.write(files=('v1.0/a',))
        assert coco.build(masks=True).get_data_info(0)['seg_map_path'].endswith('masks/v1.0/a.png')

    @pytest.mark.parametrize('name', ['../one.jpg', '/etc/passwd', 'a/../../one.jpg', 'a\0.jpg', '\ud800.jpg', '..'])
    def test_paths_out_of_the_folder(self, coco, name):
        coco.write(files=(name,))
        with pytest.raises(ValueError, match=r'boxes\.json: images\[0\].*file_name must be the path of a file below'):
            coco.build()


@pytest.mark.parametrize('value', ['0', 'false', 2, [], 0.5])
@pytest.mark.parametrize('field', ['iscrowd', 'ignore'])
def test_flags_are_numbers(tmp_path, field, value):
    coco = COCO(tmp_path)
    coco.write((0, 0, 4, 4))
    content = json.loads((tmp_path / 'boxes.json').read_text())
    content['annotations'][0][field] = value
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'boxes\.json: annotations\[0\] \(id 0\): {field} must be 0 or 1'):
        coco.build()


@pytest.mark.parametrize('encoding, works', [('utf-8-sig', True), ('utf-16', False)])
def test_encodings_of_json(tmp_path, encoding, works):
    path = tmp_path / 'boxes.json'
    path.write_text('{"images": [], "annotations": [], "categories": []}', encoding=encoding)
    if works:
        assert read_coco(path)['images'] == []
    else:
        with pytest.raises(ValueError, match=r'boxes\.json: not valid JSON .*; save as UTF-8'):
            read_coco(path)

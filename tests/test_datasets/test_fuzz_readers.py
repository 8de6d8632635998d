"""Readers of files that strangers made: whatever is in them, there is a result or an error that names the file."""

import io
import json

import numpy as np
import pytest
from fuzzing import changed, fails_by_name, fuzz, mutated
from hypothesis import strategies as st
from PIL import Image

from bana_mm.datasets import CocoPseudoMaskDataset, VOCBoxDataset
from bana_mm.datasets.coco_files import box_of, is_ignored, read_coco
from bana_mm.datasets.transforms.checked_loading import LoadCheckedDetAnnotations
from bana_mm.datasets.voc_files import read_ids, read_voc_xml
from bana_mm.labels import FilesSource
from bana_mm.structures import read_label_png, write_label_png
from bana_mm.structures.run_length import mask_of
from bana_mm.utils.safe_id import safe_id

XML = b"""<?xml version="1.0" encoding="utf-8"?>
<annotation><filename>a.jpg</filename><size><width>20</width><height>10</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>
</object><object><name>dog</name><bndbox><xmin>3.5</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
</annotation>"""
COCO = dict(
    images=[dict(id=5, file_name='a.jpg', height=10, width=20), dict(id=7, file_name='b/c.jpg', height=4, width=4)],
    annotations=[
        dict(id=1, image_id=5, category_id=3, bbox=[1, 2, 8, 6], iscrowd=0, segmentation=[[1, 2, 9, 2, 9, 8]]),
        dict(id=2, image_id=5, category_id=3, bbox=[0.5, 0, 3, 3], segmentation=dict(size=[10, 20], counts=[10, 190])),
        dict(
            id=3,
            image_id=5,
            category_id=3,
            bbox=[0, 0, 20, 10],
            segmentation=dict(size=[10, 20], counts='0P6'),
            unreliable=dict(size=[10, 20], counts=[200]),
        ),
    ],
    categories=[dict(id=3, name='cat')],
)
LIST = b'2007_000032\nIMG 20200101 (1)\r\nfold1/001\n\n  b  \n'


@fuzz(mutated(XML))
def test_xml(tmp_path, content):
    path = tmp_path / 'a.xml'
    path.write_bytes(content)
    read = fails_by_name(lambda: read_voc_xml(path), path)
    if read is not None:
        size, objects = read
        assert size is None or min(size) > 0
        assert all(np.isfinite(one.box).all() and isinstance(one.difficult, bool) for one in objects)


FIELDS = st.sampled_from(['', 'None', '0', '-3', '1', '7', '20', '21', '1e30', 'nan', 'inf', 'cat', 'true', ' 5 '])


@fuzz(st.lists(FIELDS, min_size=9, max_size=9), quick=100, long=5_000)
def test_the_voc_data_set(tmp_path, fields):
    """The whole data set with any text in any field: its boxes lie in the image."""
    for folder in ('JPEGImages', 'Annotations'):
        (tmp_path / folder).mkdir(exist_ok=True)
    Image.new('RGB', (20, 10)).save(tmp_path / 'JPEGImages/a.jpg')
    (tmp_path / 'list.txt').write_text('a\n')
    width, height, name, difficult, *corners = fields[:8]
    edges = ''.join(f'<{key}>{text}</{key}>' for key, text in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners))
    (tmp_path / 'Annotations/a.xml').write_text(
        f'<annotation><size><width>{width}</width><height>{height}</height></size><object><name>{name}</name>'
        f'<difficult>{difficult}</difficult><bndbox>{edges}</bndbox></object></annotation>'
    )

    def read():
        return VOCBoxDataset('list.txt', str(tmp_path), metainfo=dict(classes=('cat', 'lion'))).get_data_info(0)

    item = fails_by_name(read, tmp_path)
    if item is not None:
        assert (item['height'], item['width']) == (10, 20)
        for one in item['instances']:
            x1, y1, x2, y2 = one['bbox']
            assert 0 <= x1 < x2 <= 20 and 0 <= y1 < y2 <= 10 and one['bbox_label'] in (0, 1)


@fuzz(st.one_of(mutated(json.dumps(COCO).encode()), changed(COCO).map(lambda value: json.dumps(value).encode())))
def test_json(tmp_path, content):
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    read = fails_by_name(lambda: read_coco(path), path)
    if read is not None:
        images = {image['id']: image for image in read['images']}
        for annotation in read['annotations']:
            image = images[annotation['image_id']]
            box = box_of(annotation, image['width'], image['height'])
            assert box is None or (0 <= box[0] < box[2] <= image['width'] and 0 <= box[1] < box[3] <= image['height'])
            assert is_ignored(annotation) in (True, False)


@fuzz(changed(COCO['annotations']), quick=30, long=5_000)
def test_the_data_set_of_masks(tmp_path, annotations):
    """Masks of any kind up to the pixels: pycocotools would take any memory for some, or end the process."""
    path = tmp_path / 'a.json'
    path.write_text(json.dumps({**COCO, 'annotations': annotations}))
    (tmp_path / 'b').mkdir(exist_ok=True)
    for name, size in (('a.jpg', (20, 10)), ('b/c.jpg', (4, 4))):
        if not (tmp_path / name).exists():
            Image.new('RGB', size).save(tmp_path / name)

    def read():
        dataset = CocoPseudoMaskDataset('a.json', str(tmp_path), metainfo=dict(classes=('cat',)))
        load = LoadCheckedDetAnnotations(with_bbox=True, with_mask=True)
        results = []
        for index in range(len(dataset)):
            item = dataset.get_data_info(index)
            results.append(load(dict(item, ori_shape=(item['height'], item['width']))))
        return results

    results = fails_by_name(read, tmp_path)
    for result in results or ():
        assert result['gt_masks'].masks.shape[1:] == result['ori_shape']


@pytest.mark.parametrize('size', [25, 0.5, None, '10', [10], [10, 20, 1], True])
@pytest.mark.parametrize('field', ['segmentation', 'unreliable'])
def test_sizes_of_masks_that_are_none(tmp_path, field, size):
    content = json.loads(json.dumps(COCO))
    content['annotations'][2][field]['size'] = size
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'a\.json: annotation 3: {field} has height and width'):
        CocoPseudoMaskDataset('a.json', str(tmp_path), metainfo=dict(classes=('cat',)))


SEGMENTATION = st.one_of(
    st.builds(
        lambda size, counts: dict(size=size, counts=counts),
        st.sampled_from([[10, 20], [20, 10], [], [10]]),
        st.one_of(
            st.lists(st.one_of(st.sampled_from([0, 1, 10, 190, 200, 2**31, -5]), st.integers(0, 200)), max_size=7),
            st.text(st.characters(min_codepoint=48, max_codepoint=113), max_size=30),
        ),
    ),
    st.lists(
        st.lists(
            st.one_of(st.floats(-30, 30), st.sampled_from([1e9, -1e9, 2**40, float('nan'), float('inf'), '1', None])),
            max_size=10,
        ),
        max_size=3,
    ),
)


@fuzz(SEGMENTATION, quick=500)
def test_masks(tmp_path, segmentation):
    try:
        found = mask_of(segmentation, (10, 20))
    except ValueError:
        return
    from pycocotools import mask as mask_api

    assert mask_api.decode(found).shape == (10, 20)


RESULTS = [
    dict(image_id='a', category_id=1, bbox=[1, 2, 8, 6], segmentation=dict(size=[10, 20], counts=[10, 190]), score=0.5),
    dict(image_id='a', category_id=90, bbox=[0, 0, 20, 10], segmentation=dict(size=[10, 20], counts='0P6'),
         unreliable=dict(size=[10, 20], counts=[200])),
]  # fmt: skip


@fuzz(st.one_of(mutated(json.dumps(RESULTS).encode()), changed(RESULTS).map(lambda value: json.dumps(value).encode())))
def test_results_as_a_source(tmp_path, content):
    """Masks in COCO's format of results, as a source of labels."""
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    boxes = np.array([[1, 2, 9, 8], [0, 0, 20, 10]], float)

    def label():
        source = FilesSource(path)
        source.bind(('cat', 'dog'), (1, 90))
        return source(np.zeros((10, 20, 3), np.uint8), boxes, np.array([1, 2]), 'a')

    found = fails_by_name(label, path)
    if found is not None:
        assert found.shape == (10, 20) and np.isin(found, [0, 1, 2, 255]).all()


@fuzz(mutated(LIST))
def test_lists(tmp_path, content):
    path = tmp_path / 'a.txt'
    path.write_bytes(content)
    ids = fails_by_name(lambda: read_ids(path), path)
    for img_id in ids or ():
        assert safe_id(img_id) == img_id.strip() and '\n' not in img_id
        assert (tmp_path / 'root' / img_id).resolve().is_relative_to(tmp_path / 'root')


def _png(mode: str = 'L') -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 4, (12, 9), np.uint8))
    (image.convert(mode) if mode != 'L' else image).save(buffer, 'PNG')
    return buffer.getvalue()


@fuzz(st.one_of(mutated(_png()), mutated(_png('P')), mutated(_png('RGB'))), st.sampled_from([None, (12, 9)]))
def test_label_png(tmp_path, content, size):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    label = fails_by_name(lambda: read_label_png(path, size, 3), path)
    if label is not None:
        assert label.dtype == np.uint8 and label.ndim == 2 and np.isin(label, [0, 1, 2, 3, 255]).all()
        assert size is None or label.shape == size


BILLION_LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + ''.join(f'<!ENTITY {new} "{10 * f"&{old};"}">' for old, new in zip('abcdefgh', 'bcdefghi'))
    + ']>'
)


@pytest.mark.parametrize(
    'head, text',
    [
        (BILLION_LAUGHS, '&i;'),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>', '&x;'),
        ('<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/evil.dtd"> %x;]>', 'cat'),
        ('<!DOCTYPE a [<!ENTITY x "cat">]>', '&x;'),
    ],
    ids=['bomb', 'local file', 'remote file', 'harmless'],
)
def test_entities_are_refused(tmp_path, head, text):
    path = tmp_path / 'a.xml'
    path.write_text(f'{head}<annotation><object><name>{text}</name></object></annotation>')
    with pytest.raises(ValueError, match=r'a\.xml is not valid XML: it defines the entity'):
        read_voc_xml(path)


def test_a_document_type_alone_is_read(tmp_path):
    path = tmp_path / 'a.xml'
    path.write_text('<!DOCTYPE annotation SYSTEM "http://127.0.0.1:1/voc.dtd"><annotation/>')
    assert read_voc_xml(path) == (None, [])


@pytest.mark.parametrize('depth', [10**3, 10**5])
def test_json_in_json_in_json(tmp_path, depth):
    path = tmp_path / 'a.json'
    for content in ('[' * depth + ']' * depth, '{"images": [{"id": ' + '[' * depth + ']' * depth + '}]}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r'a\.json'):
            read_coco(path)


def test_masks_that_declare_a_huge_size(tmp_path):
    """Refused before there is memory for them, whether or not the size is known."""
    import struct
    import zlib

    path = tmp_path / 'a.png'
    write_label_png(path, np.zeros((4, 4), np.uint8))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack('>II', 30_000, 30_000)
    content[29:33] = struct.pack('>I', zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    for size in (None, (4, 4)):
        with pytest.raises(ValueError, match=r'a\.png: label map cannot be read .*900000000'):
            read_label_png(path, size)

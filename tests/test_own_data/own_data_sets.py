"""Tiny data sets in every format, with the same boxes, for the tests of what reads them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (20, 40)  # height and width
NAMES = ('lion', 'zebra')
# Two boxes of the image a, xyxy in pixel edges, 0-based and half-open; the image b is background.
BOXES = {'lion': [4, 6, 16, 14], 'zebra': [0, 0, 40, 20]}


def save_image(path, seed=0, size=SIZE):
    """Noise, so that no two images are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def save_mask(path, classes, size=SIZE):
    """A mask with a value a class in a corner of its box, by class index 1..L."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size, np.uint8)
    for index, (x, y) in classes.items():
        mask[y : y + 3, x : x + 3] = index
    Image.fromarray(mask).save(path)


def voc_xml(objects, size=SIZE):
    """XML of (name, xmin, ymin, xmax, ymax), 1-based and inclusive."""
    keys = ('xmin', 'ymin', 'xmax', 'ymax')
    nodes = ''
    for name, *corners in objects:
        edges = ''.join(f'<{key}>{value}</{key}>' for key, value in zip(keys, corners))
        nodes += f'<object><name>{name}</name><bndbox>{edges}</bndbox></object>'
    return f'<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>{nodes}</annotation>'


def write_voc(root: Path, suffixes=('.jpg', '.jpg')):
    for number, (img_id, suffix) in enumerate(zip('ab', suffixes)):
        save_image(root / f'JPEGImages/{img_id}{suffix}', number)
    (root / 'Annotations').mkdir()
    (root / 'Annotations/a.xml').write_text(voc_xml([('lion', 5, 7, 16, 14), ('zebra', 1, 1, 40, 20)]))
    (root / 'Annotations/b.xml').write_text(voc_xml([]))


def write_coco(root: Path):
    for number, img_id in enumerate('ab'):
        save_image(root / f'images/{img_id}.jpg', number)
    content = dict(
        images=[dict(id=n, file_name=f'{i}.jpg', height=SIZE[0], width=SIZE[1]) for n, i in enumerate('ab', 3)],
        annotations=[
            dict(id=7, image_id=3, category_id=1, bbox=[4, 6, 12, 8]),
            dict(id=9, image_id=3, category_id=5, bbox=[0, 0, 40, 20]),
        ],
        categories=[dict(id=1, name='lion'), dict(id=5, name='zebra')],
    )
    (root / 'annotations').mkdir()
    (root / 'annotations/boxes.json').write_text(json.dumps(content))


def write_yolo(root: Path):
    for number, img_id in enumerate('ab'):
        save_image(root / f'images/train/{img_id}.jpg', number)
    (root / 'labels/train').mkdir(parents=True)
    # centre 10, 10 of 40 x 20 pixels, 12 wide and 8 high; and the whole image
    (root / 'labels/train/a.txt').write_text('0 0.25 0.5 0.3 0.4\n1 0.5 0.5 1 1\n')
    (root / 'labels/train/b.txt').write_text('')
    (root / 'data.yaml').write_text('path: ../elsewhere/zoo\ntrain: ../images/train\nnames: [lion, zebra]\n')


def shape(kind, label, points, **more):
    return dict(label=label, shape_type=kind, points=points, group_id=None, flags={}, **more)


def write_labelme(root: Path, shapes=None):
    shapes = shapes or [
        shape('rectangle', 'lion', [[16, 14], [4, 6]]),  # drawn from the lower right
        shape('polygon', 'zebra', [[0, 0], [40, 0], [20, 20]]),
    ]
    for number, img_id in enumerate('ab'):
        save_image(root / f'{img_id}.jpg', number)
        content = dict(version='5.4.1', flags={}, shapes=shapes if img_id == 'a' else [], imagePath=f'{img_id}.jpg')
        content.update(imageData=None, imageHeight=SIZE[0], imageWidth=SIZE[1])
        (root / f'{img_id}.json').write_text(json.dumps(content))


def labelme_mask(mask):
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


CVAT_SHAPES = (
    '<box label="lion" xtl="4.00" ytl="6.00" xbr="16.00" ybr="14.00" occluded="0"/>'
    '<polygon label="zebra" points="0.0,0.0;40.0,0.0;20.0,20.0"/>'
)


def write_cvat(root: Path, shapes=CVAT_SHAPES):
    for number, img_id in enumerate('ab'):
        save_image(root / f'images/{img_id}.jpg', number)
    labels = ''.join(f'<label><name>{name}</name></label>' for name in NAMES)
    images = ''.join(
        f'<image id="{n}" name="{i}.jpg" width="{SIZE[1]}" height="{SIZE[0]}">{shapes if i == "a" else ""}</image>'
        for n, i in enumerate('ab')
    )
    text = (
        f'<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>{images}</annotations>'
    )
    (root / 'annotations.xml').write_text(text)


WRITERS = dict(voc=write_voc, coco=write_coco, yolo=write_yolo, labelme=write_labelme, cvat=write_cvat)

"""A small synthetic data set in COCO's format, for tests."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bana_mm.structures import encode_mask

from .synthetic_images import draw_image, tight_box


def make_tiny_coco(
    root: str | os.PathLike,
    num_train: int = 6,
    num_val: int = 2,
    classes: Sequence[str] = ('ring', 'triangle'),
    more_categories: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Write images of about 64 x 48 pixels with boxes and exact masks.

    Layout: ``train2017/ID.jpg``, ``val2017/ID.jpg`` and ``annotations/instances_{train,val}2017.json``. As in COCO, ids
    of images, annotations and categories have gaps, and masks are of the visible part.

    Args:
        root (str | os.PathLike): Folder to fill.
        num_train (int): Training images. Defaults to 6.
        num_val (int): Validation images. Defaults to 2.
        classes (Sequence[str]): Classes to draw, see ``SYNTHETIC_CLASSES``.
            Defaults to ring and triangle.
        more_categories (Sequence[str]): Names of further categories, which no image shows. Defaults to none.
        seed (int): Defaults to 0.

    Returns:
        Path: ``root``.
    """
    root = Path(root)
    (root / 'annotations').mkdir(parents=True)
    names = (*classes, *more_categories)
    categories = [dict(id=2 * number + 3, name=name) for number, name in enumerate(names)]
    for split, (name, count) in enumerate((('train2017', num_train), ('val2017', num_val))):
        (root / name).mkdir()
        images, annotations = [], []
        for index in range(count):
            rng = np.random.default_rng([seed, split, index])
            height, width = (int(side) for side in rng.integers(48, 64, size=2, endpoint=True))
            image, visible = draw_image(rng, classes, (height, width))
            img_id = 1000 * split + 5 * index + 4
            file_name = f'{img_id:012d}.jpg'
            Image.fromarray(image).save(root / name / file_name, quality=95, subsampling=0)
            images.append(dict(id=img_id, file_name=file_name, height=height, width=width))
            for label, mask in visible:
                x1, y1, x2, y2 = (float(edge) for edge in tight_box(mask))
                annotations.append(
                    dict(
                        id=10000 * split + 3 * len(annotations) + 2,
                        image_id=img_id,
                        iscrowd=0,
                        area=float(mask.sum()),
                        category_id=categories[names.index(label)]['id'],
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                        segmentation=encode_mask(mask, mask.shape),
                    )
                )
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / f'annotations/instances_{name}.json').write_text(json.dumps(content))
    return root

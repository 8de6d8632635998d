"""A COCO file of the boxes of any data set."""

import os
from typing import Any

from ..item import LabelItems


def coco_boxes(items: LabelItems) -> dict[str, Any]:
    """The images and boxes of a data set as COCO's JSON of instances.

    Images and annotations are numbered from 1 on in the order of the data set; ``file_name`` is the path from the
    folder that all images have in common, and ``img_id`` the image's id in the data set. Boxes that the data set
    ignores, as VOC's difficult objects, are marked ``ignore``.

    Args:
        items (LabelItems): The data set.

    Returns:
        dict: With ``images``, ``annotations`` (without masks) and ``categories``, ready for JSON.
    """
    paths = [items.path(index) for index in range(len(items))]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ''
    images, annotations = [], []
    for number, path in enumerate(paths, start=1):
        info = items.dataset.get_data_info(number - 1)
        height, width = items[number - 1].layout.size
        name = os.path.relpath(path, folder) if folder else path
        images.append(dict(id=number, file_name=name, height=height, width=width, img_id=str(info['img_id'])))
        for instance in info['instances']:
            x1, y1, x2, y2 = (float(edge) for edge in instance['bbox'])
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=instance['bbox_label'] + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=0,
                    ignore=int(instance['ignore_flag']),
                )
            )
    categories = [dict(id=number, name=name) for number, name in enumerate(items.classes, start=1)]
    return dict(images=images, annotations=annotations, categories=categories)

"""Labels in the files of other programs."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bana_mm.structures import encode_mask
from bana_mm.utils.atomic import whole_file

from .polygons import join_rings, mask_polygons

if TYPE_CHECKING:
    from .result import BoxLabels

LABELME_VERSION = '5.0.0'  # of the format; LabelMe reads files of all versions


def coco_content(results: Sequence['BoxLabels'], names: Sequence[str] | None = None) -> dict[str, Any]:
    """COCO's JSON of instances of some images, ids from 1 on.

    Args:
        results (Sequence[BoxLabels]): Labels, all with the same classes.
        names (Sequence[str] | None): ``file_name`` of each. Defaults to None, that of its file, or its name.
    """
    images, annotations = [], []
    for image_id, result in enumerate(results, start=1):
        height, width = result.size
        name = names[image_id - 1] if names else os.path.basename(result.path or result.name)
        images.append(dict(id=image_id, file_name=name, height=height, width=width))
        parts = zip(result.masks, result.unreliable, result.boxes.tolist(), result.box_classes.tolist(), result.scores)
        for mask, unreliable, (x1, y1, x2, y2), category, score in parts:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=category,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=int(mask.sum()),
                    iscrowd=0,
                    segmentation=encode_mask(mask, result.size),
                    unreliable=encode_mask(unreliable, result.size),
                    score=round(float(score), 6),
                )
            )
    classes = results[0].classes if results else ()
    categories = [dict(id=number, name=name) for number, name in enumerate(classes, start=1)]
    return dict(images=images, annotations=annotations, categories=categories)


def labelme_content(result: 'BoxLabels', folder: str | Path | None = None) -> dict[str, Any]:
    """LabelMe's JSON of an image, its pixels not in it.

    Args:
        result (BoxLabels): The labels.
        folder (str | Path | None): Where the JSON will lie. Defaults to None: ``imagePath`` is the file's name.
    """
    path = result.path or f'{result.name}.png'
    if folder is not None and result.path is not None:
        path = Path(os.path.relpath(path, folder)).as_posix()
    shapes = [
        dict(
            label=name,
            points=join_rings(rings).astype(float).tolist(),
            group_id=number,
            description='',
            shape_type='polygon',
            flags={},
        )
        for number, (name, mask) in enumerate(zip(result.box_names, result.masks))
        for rings in mask_polygons(mask)
    ]
    return dict(
        version=LABELME_VERSION,
        flags={},
        shapes=shapes,
        imagePath=path if folder is not None else os.path.basename(path),
        imageData=None,
        imageHeight=result.size[0],
        imageWidth=result.size[1],
    )


def yolo_lines(result: 'BoxLabels') -> Iterator[str]:
    """A line for each box, see :meth:`BoxLabels.to_yolo`."""
    height, width = result.size
    for index, mask in zip(result.box_classes.tolist(), result.masks):
        outline = join_rings([ring for rings in mask_polygons(mask) for ring in rings])
        yield f'{index - 1} ' + ' '.join(f'{share:.6f}' for share in (outline / (width, height)).ravel().tolist())


def write_json(path: str | Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON file, as a whole or not at all, and hand its content back."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content) + '\n', encoding='utf-8')
    return content

"""What only the pixels of a data set tell: images that can't be decoded, copies, masks that don't fit the boxes."""

import os
from collections.abc import Sequence
from typing import Any

from bana_mm.utils.problems import Problems
from bana_mm.utils.progress import Progress
from bana_mm.utils.run_options import usable_cores
from bana_mm.utils.worker_pool import Failed, WorkerPool

from .image_look import ImageLook, look_at_image
from .reading import Part

_A_WORKERS_WORTH = 500  # images that take about as long as a worker process takes to start


def look_at_images(parts: Sequence[Part], problems: Problems, workers: int | None = None) -> dict[str, ImageLook]:
    """Decode all images and masks of a data set.

    Args:
        parts (Sequence[Part]): Its parts.
        problems (Problems): What is told of all that is wrong. Masks of training images, which a training does not
            read unless it is told to, are warnings.
        workers (int | None): Processes. Defaults to None, as many as are worth it.

    Returns:
        dict[str, ImageLook]: By the path of the image.
    """
    tasks: dict[str, tuple[Part, dict[str, Any]]] = {}
    for part in parts:
        for item in part.items:
            path = item['img_path']
            key = os.path.abspath(path)
            if key in tasks:
                first = tasks[key][0].mode
                problems.warn('same-image', f'{path}: is in {first} and in {part.mode}', path)
            else:
                tasks[key] = part, item
    if workers is None:
        workers = min(usable_cores(), len(tasks) // _A_WORKERS_WORTH)
    looks: dict[str, ImageLook] = {}
    first_of: dict[str, str] = {}
    queue = ((item['img_path'], (item, len(part.classes)), (part, item)) for part, item in tasks.values())
    with WorkerPool(look_at_image, workers, keep_going=True) as pool, Progress(len(tasks), title='pixels') as progress:
        for done in pool.map(queue):
            part, item = done.context
            if isinstance(done, Failed):
                look = ImageLook(problems=[('unreadable-image', f'{done.name}: {done.reason}')])
            else:
                look = done.result
            looks[item['img_path']] = look
            _tell(look, part, item, problems)
            if look.digest is not None:
                first = first_of.setdefault(look.digest, item['img_path'])
                if first != item['img_path']:
                    problems.warn('same-image', f'{item["img_path"]}: has the pixels of {first}', item['img_path'])
            progress.update()
    return looks


def _tell(look: ImageLook, part: Part, item: dict[str, Any], problems: Problems) -> None:
    image, mask = item['img_path'], item.get('seg_map_path')
    for kind, message in look.problems:
        if kind != 'unreadable-mask':
            problems.error(kind, ValueError(message), image)
        elif part.mode == 'train':
            problems.warn(kind, message, mask)
        else:
            problems.error(kind, ValueError(message), mask)
    labels = {one['bbox_label'] for one in item['instances']}
    for label in look.mask_classes:
        if label - 1 not in labels and not item.get('lacks_boxes'):
            name = part.classes[label - 1]
            text = f'{mask}: has pixels of {name!r} (class {label}), of which the image has no box'
            problems.warn('class-without-box', text, mask, f'class {name}')
    for number in look.unmarked:
        one = item['instances'][number]
        corners = ', '.join(f'{value:g}' for value in one['bbox'])
        name = part.classes[one['bbox_label']]
        entry = f'box of {name} at {corners}'
        text = f'{mask}: has no pixel of {name!r} in its box with the edges {corners} (x1, y1, x2, y2)'
        problems.warn('box-without-mask', text, mask, entry)

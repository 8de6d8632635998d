"""One image and its mask, decoded as a training decodes them; quick to import, for worker processes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bana_mm.utils.image_files import check_image_size


@dataclass
class ImageLook:
    """What an image and its mask hold.

    Args:
        digest (str | None): Tells apart the pixels of images. Defaults to None, not decoded.
        has_mask (bool): Whether it has a mask that can be read. Defaults to False.
        mask_classes (tuple[int, ...]): Classes 1..L of its pixels. Defaults to none.
        unmarked (tuple[int, ...]): Numbers of the boxes in which the mask has no pixel of their class, though less
            than half of them is ignored. Defaults to none.
        problems (list): Kind and message of what is wrong with image or mask.
    """

    digest: str | None = None
    has_mask: bool = False
    mask_classes: tuple[int, ...] = ()
    unmarked: tuple[int, ...] = ()
    problems: list[tuple[str, str]] = field(default_factory=list)


def look_at_image(item: dict[str, Any], num_classes: int) -> ImageLook:
    """Decode an image and its mask.

    Args:
        item (dict): Of a data set: ``img_path``, ``height``, ``width``, ``instances`` and maybe ``seg_map_path``.
        num_classes (int): Object classes L of the data set.
    """
    # slow to import: worker processes do so once they have something to do
    from bana_mm.datasets.transforms.checked_loading import LoadCheckedImage, load_mask

    look = ImageLook()
    try:
        pixels = LoadCheckedImage().transform(dict(img_path=item['img_path']))['img']
    except (OSError, ValueError) as error:
        look.problems.append(('unreadable-image', str(error)))
        return look
    look.digest = hashlib.sha1(pixels.tobytes() + repr(pixels.shape).encode()).hexdigest()
    try:
        check_image_size(item['img_path'], pixels.shape[:2], (item['height'], item['width']))
    except ValueError as error:
        look.problems.append(('size', str(error)))
        return look
    if item.get('seg_map_path'):
        try:
            _look_at_mask(look, load_mask(item, num_classes), item['instances'])
        except (OSError, ValueError) as error:
            look.problems.append(('unreadable-mask', str(error)))
    return look


def _look_at_mask(look: ImageLook, mask: Any, instances: Sequence[dict[str, Any]]) -> None:
    import numpy as np

    counts = np.bincount(mask.ravel(), minlength=256)
    look.has_mask = True
    look.mask_classes = tuple(int(label) for label in np.flatnonzero(counts[1:255]) + 1)
    unmarked = []
    for number, one in enumerate(instances):
        if one['ignore_flag']:
            continue
        x1, y1, x2, y2 = one['bbox']
        inside = mask[int(y1) : max(int(y2 + 0.999), int(y1) + 1), int(x1) : max(int(x2 + 0.999), int(x1) + 1)]
        if not (inside == one['bbox_label'] + 1).any() and 2 * (inside == 255).sum() < inside.size:
            unmarked.append(number)
    look.unmarked = tuple(unmarked)

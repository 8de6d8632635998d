"""Whether masks and boxes mean the same classes by the same numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from .image_look import ImageLook
from .reading import Part


def better_order(parts: Sequence[Part], looks: Mapping[str, ImageLook]) -> list[str] | None:
    """The order of the classes that fits the masks, where it is another than the given one.

    Index and class fit in as far as they are in the same images: by the number of images with both over that with
    either. Of all ways to give each class an index, the one with the largest sum counts (ours).

    Args:
        parts (Sequence[Part]): A data set.
        looks (Mapping[str, ImageLook]): What is known of its masks.

    Returns:
        list[str] | None: Names of the classes in the order of the indices 1..L; None where the given order is as good,
        or an index of the masks fits none of the classes in more than half of the images.
    """
    items = [item for part in parts for item in part.items]
    items = [item for item in items if item['img_path'] in looks and looks[item['img_path']].has_mask]
    if not items:
        return None
    classes = parts[0].classes
    by_box, by_mask = (np.zeros((len(items), len(classes)), bool) for _ in range(2))
    for row, item in enumerate(items):
        by_box[row, [one['bbox_label'] for one in item['instances'] if one['bbox_label'] >= 0]] = True
        by_mask[row, [index - 1 for index in looks[item['img_path']].mask_classes]] = True
    both = by_mask.T.astype(int) @ by_box.astype(int)
    either = by_mask.sum(0)[:, None] + by_box.sum(0)[None] - both
    fit = both / np.maximum(either, 1)
    indices, labels = linear_sum_assignment(fit, maximize=True)
    # where it makes no difference, as for classes that no mask has, the given order stays
    moved = [(index, label) for index, label in zip(indices, labels) if index != label and by_mask[:, index].any()]
    if not moved or fit[indices, labels].sum() <= np.trace(fit) + 1e-9:
        return None
    if any(fit[index, label] <= 0.5 for index, label in moved):
        return None
    return [classes[label] for label in labels]

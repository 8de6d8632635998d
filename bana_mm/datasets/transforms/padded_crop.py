"""Random crops that put an image smaller than the crop into its middle, as in the reference code.

mmdet's and mmseg's crops leave such an image as it is, and the data preprocessor pads it at the bottom and right, after
all transforms. Here the padding is part of the crop: the grid of background queries sees the image in the middle, and
colour jitter sees the padding.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import mmcv
import numpy as np

from bana_mm.registry import TRANSFORMS
from bana_mm.structures import IGNORE

# ImageNet's mean colour, BGR (reference code)
MEAN_COLOR = (104, 117, 123)


def pad_around(results: dict, size: tuple[int, int], pad_val: Sequence[float] = MEAN_COLOR) -> dict:
    """Pad an image on all sides to a size that it does not reach; of an odd number of pixels the odd one is in front.

    Boxes move with the image. The padding is neither object nor background: it becomes ignored boxes, up to four
    strips, which all transforms that follow move along, and is 255 in every map of ``seg_fields``.

    Args:
        results (dict): Of a pipeline: ``img`` and perhaps ``gt_bboxes`` (with ``gt_bboxes_labels`` and
            ``gt_ignore_flags``) and ``seg_fields``. Changed in place, ``img_shape`` too.
        size (tuple[int, int]): Least height and width in pixels.
        pad_val (Sequence[float]): Colour of the padding in the order of the image's channels. Defaults to ImageNet's
            mean colour, BGR.

    Returns:
        dict: ``results``.

    Raises:
        ValueError: If instance masks are loaded, which would have to move too.
    """
    height, width = results['img'].shape[:2]
    missing = [max(0, least - length) for least, length in zip(size, (height, width))]
    if not any(missing):
        return results
    if results.get('gt_masks') is not None:
        raise ValueError(f'{results.get("img_path")}: padding around an image does not move instance masks')
    top, left = ((number + 1) // 2 for number in missing)
    bottom, right = missing[0] - top, missing[1] - left
    around = (left, top, right, bottom)
    results['img'] = mmcv.impad(results['img'], padding=around, pad_val=pad_val)
    results['img_shape'] = results['img'].shape[:2]
    for key in results.get('seg_fields', ()):
        results[key] = mmcv.impad(results[key], padding=around, pad_val=IGNORE)
    if results.get('gt_bboxes') is not None:
        _add_strips(results, around)
    return results


def _add_strips(results: dict, around: tuple[int, int, int, int]) -> None:
    """Move the boxes, and add the padding as ignored ones."""
    (left, top, right, bottom), (height, width) = around, results['img_shape']
    boxes = results['gt_bboxes']
    boxes.translate_((left, top))
    strips = [
        (0, 0, left, height),
        (width - right, 0, width, height),
        (0, 0, width, top),
        (0, height - bottom, width, height),
    ]
    strips = [strip for strip in strips if strip[0] < strip[2] and strip[1] < strip[3]]
    results['gt_bboxes'] = boxes.cat([boxes, type(boxes)(strips, dtype=boxes.dtype, device=boxes.device)])
    for key, value in (('gt_bboxes_labels', 0), ('gt_ignore_flags', True)):
        given = results[key]
        results[key] = np.concatenate([given, np.full(len(strips), value, given.dtype)])


if find_spec('mmdet'):
    from mmdet.datasets.transforms import RandomCrop as BoxCrop

    @TRANSFORMS.register_module()
    class PaddedRandomCrop(BoxCrop):
        """mmdet's ``RandomCrop``, whose crops all have the same size, see :func:`pad_around`.

        Args:
            crop_size (tuple[int, int]): Width and height in pixels, as mmdet has them.
            pad_val (Sequence[float]): Colour of the padding, BGR. Defaults to ImageNet's mean colour.
            kwargs: See mmdet's ``RandomCrop``; ``crop_type`` is 'absolute'.
        """

        def __init__(self, crop_size: tuple[int, int], pad_val: Sequence[float] = MEAN_COLOR, **kwargs: object) -> None:
            super().__init__(crop_size, crop_type='absolute', **kwargs)
            self.pad_val = pad_val

        def transform(self, results: dict) -> dict | None:
            """Crop and pad; None where mmdet's crop finds no box and must."""
            results = super().transform(results)
            return results if results is None else pad_around(results, self.crop_size[::-1], self.pad_val)


if find_spec('mmseg'):
    from mmseg.datasets.transforms import RandomCrop as SegCrop

    @TRANSFORMS.register_module()
    class PaddedSegRandomCrop(SegCrop):
        """mmseg's ``RandomCrop``, whose crops all have the same size, see :func:`pad_around`.

        Args:
            crop_size (int | tuple[int, int]): Height and width in pixels, as mmseg has them.
            pad_val (Sequence[float]): Colour of the padding, BGR. Defaults to ImageNet's mean colour.
            kwargs: See mmseg's ``RandomCrop``.
        """

        def __init__(
            self, crop_size: int | tuple[int, int], pad_val: Sequence[float] = MEAN_COLOR, **kwargs: object
        ) -> None:
            super().__init__(crop_size, **kwargs)
            self.pad_val = pad_val

        def transform(self, results: dict) -> dict:
            """Crop and pad."""
            return pad_around(super().transform(results), self.crop_size, self.pad_val)

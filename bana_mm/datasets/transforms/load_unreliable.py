"""Where pseudo masks are not to be trusted."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks

from bana_mm.registry import TRANSFORMS
from bana_mm.structures import ReliableMasks, decode_mask


@TRANSFORMS.register_module()
class LoadUnreliable(BaseTransform):
    """Add the unreliable pixels of each instance to its mask.

    Comes right after ``LoadAnnotations(with_mask=True)``. All transforms that move masks by the methods of
    ``BitmapMasks`` (resize, flip, crop, pad, expand, rotate, shear, translate, mosaic, mix-up) then move both, and
    ``ReliableMaskHead`` leaves the unreliable pixels out; other heads take the masks as they are. ``CopyPaste`` and
    ``Albu`` rebuild masks pixel by pixel and end in an error.

    Required Keys: ``gt_masks`` (BitmapMasks); ``instances``, of which each may have ``unreliable``: COCO's run
    lengths, a dict of ``size`` and ``counts``. An instance without it, as in any other data set, is reliable
    everywhere. Modified Keys: ``gt_masks`` (ReliableMasks).

    Raises:
        TypeError: If masks are not loaded, or are polygons (``poly2mask=False``).
        ValueError: If the pixels are of another size than the mask, or if a transform before this one has removed
            instances or changed the masks' size.
    """

    def transform(self, results: dict) -> dict:
        """Add the pixels of one image."""
        masks = results.get('gt_masks')
        if not isinstance(masks, BitmapMasks):
            raise TypeError(
                'LoadUnreliable comes after LoadAnnotations with with_mask=True and poly2mask=True, but '
                f'gt_masks is {type(masks).__name__}'
            )
        instances = results.get('instances', [])
        if len(instances) != len(masks) or results.get('flip') or 'scale_factor' in results:
            raise ValueError('LoadUnreliable must come right after LoadAnnotations, before any other transform')
        size = (masks.height, masks.width)
        unreliable = np.zeros((len(masks), *size), np.uint8)
        for plane, instance in zip(unreliable, instances):
            pixels = instance.get('unreliable')
            if pixels is None:
                continue
            try:
                plane[:] = decode_mask(pixels, size)
            except ValueError as error:
                raise ValueError(
                    f'{results.get("img_path")}: unreliable pixels of annotation {instance.get("ann_id")} do not fit '
                    f'its mask ({error})'
                ) from error
        results['gt_masks'] = ReliableMasks(masks.masks, *size, unreliable)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'

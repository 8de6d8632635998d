"""The classes of an image, from its boxes."""

import numpy as np
from mmcv.transforms import BaseTransform

from bana_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ImageLabels(BaseTransform):
    """Note which classes an image shows, for an ``ImageClassifier``.

    Comes right after ``LoadAnnotations``: the classes of those boxes that survive a crop would tell where objects are.
    A class that has only ignored boxes is unknown, neither present nor absent; a data set that keeps difficult objects
    (``difficult='keep'``) has the image labels that are in common use.

    Required Keys: ``gt_bboxes_labels`` (K,) int64 in 0..L-1, ``gt_ignore_flags`` (K,) bool. Added Keys:
    ``gt_image_labels`` and ``gt_image_unknown``, int64, in ascending order, each once.

    Raises:
        ValueError: If boxes may be missing already: after a transform that resizes, crops or flips.
    """

    def transform(self, results: dict) -> dict:
        """Add the classes of one image."""
        if 'scale_factor' in results or 'flip' in results:
            raise ValueError('ImageLabels must come before the transforms that resize, crop or flip the image')
        labels, ignored = results['gt_bboxes_labels'], np.asarray(results['gt_ignore_flags'], dtype=bool)
        present = np.unique(labels[~ignored])
        results['gt_image_labels'] = present.astype(np.int64)
        results['gt_image_unknown'] = np.setdiff1d(labels[ignored], present).astype(np.int64)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'

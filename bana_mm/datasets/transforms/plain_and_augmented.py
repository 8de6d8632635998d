"""The ordinary test pipeline and test-time augmentation of an image in one go."""

import copy
from collections.abc import Sequence

import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement

from bana_mm.registry import TRANSFORMS

# What the model undoes in its prediction; equal inputs that differ here are different views.
_UNDONE = ('ori_shape', 'flip', 'flip_direction', 'padding_size', 'img_padding_size')


@TRANSFORMS.register_module()
class PlainAndAugmented(BaseTransform):
    """Runs two pipelines on an image: the ordinary one and one of test-time augmentation.

    The result is the augmentation's, a list of views. If one of them is what the ordinary pipeline gives, to the pixel,
    it counts as both, so the network runs once on it; otherwise the ordinary one is appended. The metainfo of each
    sample says which it is, ``plain`` and ``augmented``, for a TTA model such as ``LogitTTAModel``. (ours)

    Args:
        plain (Sequence[dict]): The test pipeline, which ends with packing.
        augmented (Sequence[dict]): The TTA pipeline, which ends with ``TestTimeAug``.
    """

    def __init__(self, plain: Sequence[dict], augmented: Sequence[dict]) -> None:
        self.plain, self.augmented = Compose(plain), Compose(augmented)

    def transform(self, results: dict) -> dict:
        """Make the views of one image.

        Returns:
            dict: ``inputs``, (3, h, w) tensors, and as many ``data_samples``.

        Raises:
            TypeError: If the augmented pipeline makes no list of views.
        """
        views = self.augmented(copy.deepcopy(results))
        if not isinstance(views['inputs'], list):
            raise TypeError(
                'PlainAndAugmented: the augmented pipeline must end with TestTimeAug, which makes a list '
                f'of views; it made a {type(views["inputs"]).__name__}'
            )
        plain = self.plain(results)
        marks = [dict(plain=False, augmented=True) for _ in views['inputs']]
        same = (
            index
            for index, view in enumerate(zip(views['inputs'], views['data_samples']))
            if torch.equal(view[0], plain['inputs']) and _undone(view[1]) == _undone(plain['data_samples'])
        )
        found = next(same, None)
        if found is not None:
            marks[found]['plain'] = True
        else:
            for key, values in views.items():
                values.append(plain[key])
            marks.append(dict(plain=True, augmented=False))
        for sample, mark in zip(views['data_samples'], marks):
            sample.set_metainfo(mark)
        return views


def _undone(sample: BaseDataElement) -> list:
    return [sample.get(key) or None for key in _UNDONE]

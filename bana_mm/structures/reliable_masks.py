"""Instance masks that know where they are not to be trusted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmdet.structures.mask import BitmapMasks


def _on_both(name: str) -> Callable[..., 'ReliableMasks']:
    """A method of ``BitmapMasks`` that makes new masks, applied to the masks and to their unreliable pixels."""

    def method(self: 'ReliableMasks', *args: Any, **kwargs: Any) -> 'ReliableMasks':
        masks = getattr(BitmapMasks, name)(self, *args, **kwargs)
        return ReliableMasks(masks.masks, masks.height, masks.width, getattr(self.unreliable, name)(*args, **kwargs))

    method.__name__, method.__doc__ = name, f'See ``BitmapMasks.{name}``; acts on the unreliable pixels too.'
    return method


class ReliableMasks(BitmapMasks):
    """mmdet's ``BitmapMasks`` with a second plane for each mask: its unreliable pixels.

    Every geometric method acts on both planes in the same way, so all transforms that use them keep the planes aligned.
    What a transform adds around the image is reliable background. ``areas``, ``to_tensor``, ``crop_and_resize`` and
    iteration give the masks alone: for whoever does not know of the second plane, this is a ``BitmapMasks``.

    Args:
        masks (Sequence[np.ndarray] | np.ndarray): Masks, (N, H, W) uint8 0 or 1.
        height (int): H in pixels.
        width (int): W in pixels.
        unreliable (Sequence[np.ndarray] | np.ndarray | BitmapMasks): Unreliable pixels, likewise.

    Raises:
        TypeError: Without ``unreliable``, or if other code replaces the masks: both are done by transforms that put
            masks together pixel by pixel (``CopyPaste``, ``Albu``) and would lose the second plane.
        ValueError: If the two planes differ in number or size.
    """

    def __init__(
        self,
        masks: Sequence[np.ndarray] | np.ndarray,
        height: int,
        width: int,
        unreliable: Sequence[np.ndarray] | np.ndarray | BitmapMasks | None = None,
    ) -> None:
        super().__init__(masks, height, width)
        if unreliable is None:
            raise TypeError(_LOST)
        self.unreliable = unreliable if isinstance(unreliable, BitmapMasks) else BitmapMasks(unreliable, height, width)
        if self.unreliable.masks.shape != self.masks.shape:
            raise ValueError(
                f'masks are of shape {self.masks.shape}, their unreliable pixels of {self.unreliable.masks.shape}'
            )

    @property
    def masks(self) -> np.ndarray:
        """The masks, (N, H, W)."""
        return self._masks

    @masks.setter
    def masks(self, masks: np.ndarray) -> None:
        if '_masks' in self.__dict__:
            raise TypeError(_LOST)
        self._masks = masks

    __getitem__ = _on_both('__getitem__')
    rescale = _on_both('rescale')
    resize = _on_both('resize')
    flip = _on_both('flip')
    pad = _on_both('pad')
    crop = _on_both('crop')
    expand = _on_both('expand')
    translate = _on_both('translate')
    shear = _on_both('shear')
    rotate = _on_both('rotate')

    @classmethod
    def cat(cls, masks: Sequence[BitmapMasks]) -> 'ReliableMasks':
        """Masks of several images of one size in one; plain ``BitmapMasks`` among them are reliable everywhere."""
        joined = BitmapMasks.cat(masks)
        unreliable = BitmapMasks.cat([unreliable_pixels(one) for one in masks])
        return cls(joined.masks, joined.height, joined.width, unreliable)


def unreliable_pixels(masks: BitmapMasks) -> BitmapMasks:
    """The unreliable pixels of masks, none for plain ``BitmapMasks``."""
    if isinstance(masks, ReliableMasks):
        return masks.unreliable
    return BitmapMasks(np.zeros_like(masks.masks), masks.height, masks.width)


_LOST = (
    'ReliableMasks: these masks were put together without their unreliable pixels, as CopyPaste and Albu do. '
    'Leave that transform out, or bana_mm.LoadUnreliable, without which all pixels are reliable'
)

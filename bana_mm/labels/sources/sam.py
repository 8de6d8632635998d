"""Masks of a SAM that is prompted with the boxes."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bana_mm.functional.mask_trust import threshold_band
from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask, paint_masks
from bana_mm.utils.stopwatch import measured

from ..item import LabelItem
from .answer import Answer, Kind, Masks, Task
from .base import LabelSource

if TYPE_CHECKING:  # worker processes have no network, and do without what it imports
    from ..sam import BoxPrompter, EncodedImage, PromptedMask


@LABEL_SOURCES.register_module(name=['sam', 'SamSource'])
class SamSource(LabelSource):
    """SAM, SAM-HQ, SAM 2, EdgeTAM or SAM 3's tracker, through transformers; docs/sam.md says which models there are.

    Each box is a prompt and gets the mask of its object, cut to the box, with its holes and pieces. Unreliable are the
    pixels of which a small change of the threshold would decide; the score is the IoU that the model predicts. Where it
    finds nothing in a box, the mask is the whole box, all of it unreliable, with the score 0.

    Args:
        model (str): Name on the Hugging Face hub, such as 'nielsr/slimsam-77-uniform', or a local folder.
        revision (str | None): Commit or branch on the hub. Defaults to None, the newest.
        multimask (bool): See :class:`bana_mm.labels.sam.BoxPrompter`. Defaults to False.
        choice (str): See there. Defaults to 'iou'.
        offset (float): Logits so close to the threshold are unreliable. Defaults to 1.0, as in SAM's stability score.
        amp (bool): Whether the image encoder runs in bfloat16. Defaults to False.
        chunk (int): Boxes that the decoder takes at once. Defaults to 32.
        device (str | None): Where it runs. Defaults to None: on a GPU where there is one, except in a data loader's
            worker process.
    """

    name = 'sam'
    text_fields = ('model',)
    has_network = True
    score_is_iou = True

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        multimask: bool = False,
        choice: str = 'iou',
        offset: float = 1.0,
        amp: bool = False,
        chunk: int = 32,
        device: str | None = None,
    ) -> None:
        if not offset >= 0:
            raise ValueError(f'sam: offset must be at least 0, got {offset!r}')
        self.model = str(model)
        self.revision = revision
        self.multimask = multimask
        self.choice = choice
        self.offset = offset
        self.amp = amp
        self._chunk = chunk  # changes nothing of the masks, so it is no part of their record
        self._device = device
        self._encoded: tuple[tuple[np.ndarray, ...], list[EncodedImage]] = ((), [])

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self), _encoded=((), []))  # what is on a device never travels to another process

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        self._prompter()  # finds out now that there is no such model

    def use_device(self, device: str) -> None:
        self._device = self._device or device

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        from ..sam import weights_digest

        return [(self.name, dict(checkpoint=weights_digest(self.model, self._prompter().model)))]

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        with measured('network'):
            prompter = self._prompter()
            encoded = self._encode(prompter, tuple(item.image for item in items))
            found = [prompter.decode(image, item.layout.boxes) for image, item in zip(encoded, items)]
        return [(None, [self._mask(one) for one in masks]) for masks in found]

    def finish(self, item: LabelItem, kind: Kind, context: Masks, result: Any) -> Answer:
        if kind == 'masks':
            return context
        return {self.name: paint_masks(item.layout, [one.mask for one in context])}

    def _mask(self, found: 'PromptedMask') -> InstanceMask:
        if not found.found():
            return InstanceMask.stand_in(found.logits.shape)
        return InstanceMask(
            found.mask(), threshold_band(found.logits, self.offset), min(max(found.predicted_iou, 0.0), 1.0)
        )

    def _encode(self, prompter: 'BoxPrompter', images: tuple[np.ndarray, ...]) -> list['EncodedImage']:
        """Of the last images once, however often they are asked for with other boxes."""
        known, encoded = self._encoded
        if len(known) != len(images) or any(one is not other for one, other in zip(known, images)):
            encoded = prompter.encode(images)
            self._encoded = (images, encoded)
        return encoded

    def _prompter(self) -> 'BoxPrompter':
        in_loader = torch.utils.data.get_worker_info() is not None  # forked, where CUDA can't be used
        device = self._device or ('cuda' if torch.cuda.is_available() and not in_loader else 'cpu')
        return _prompter(self.model, self.revision, self.multimask, self.choice, self.amp, self._chunk, device)


@lru_cache(maxsize=2)
def _prompter(
    model: str, revision: str | None, multimask: bool, choice: str, amp: bool, chunk: int, device: str
) -> 'BoxPrompter':
    """A process's own: of several sources with one model the same."""
    from ..sam import load_box_prompter

    return load_box_prompter(
        model,
        device,
        revision,
        multimask=multimask,
        choice=choice,
        chunk=chunk,
        encoder_dtype=torch.bfloat16 if amp else torch.float32,
    )

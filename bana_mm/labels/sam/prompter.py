"""Masks of boxes from a SAM: the image encoder once for each image, the decoder for its boxes in chunks."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bana_mm.functional import pixel_boxes

from .preparation import SamPreparation

CHOICES = ('iou', 'box')


@dataclass
class EncodedImage:
    """What the image encoder says of an image, on its device.

    Args:
        inputs (dict[str, Any]): Arguments of the model's ``forward`` in place of the pixels.
        size (tuple[int, int]): Height and width of the image in pixels.
    """

    inputs: dict[str, Any]
    size: tuple[int, int]


@dataclass
class PromptedMask:
    """The object in a box as the decoder sees it.

    Args:
        logits (np.ndarray): (y2 - y1, x2 - x1) float16, above the threshold where the object is. Holes and separate
            pieces are kept.
        window (tuple[int, int, int, int]): The pixels that ``logits`` covers, xyxy, half-open: the box with
            its margin.
        predicted_iou (float): What the decoder thinks the mask's IoU is. SAM's and SAM-HQ's may lie slightly outside
            [0, 1].
    """

    logits: np.ndarray
    window: tuple[int, int, int, int]
    predicted_iou: float

    def found(self, threshold: float = 0.0) -> bool:
        """Whether any pixel of the window lies above the threshold."""
        return bool((self.logits > threshold).any())

    def mask(self, threshold: float = 0.0) -> np.ndarray:
        """The pixels above the threshold, or the whole window where there are none: (y2 - y1, x2 - x1) bool."""
        mask = self.logits > threshold
        return mask if mask.any() else np.ones_like(mask)


class BoxPrompter:
    """Prompt a SAM with boxes::

        encoded = prompter.encode(images)  # one pass of the image encoder for all of them
        masks = prompter.decode(encoded[0], boxes)

    Only the encoder runs in half precision where that is asked for: in bfloat16 the coordinates of a box would be
    rounded to several pixels.

    Args:
        model (nn.Module): One of transformers' ``SamModel``, ``SamHQModel``, ``Sam2Model``, ``EdgeTamModel`` and
            ``Sam3TrackerModel``, in evaluation mode, on its device, float32.
        preparation (SamPreparation): Of its images.
        multimask (bool): Whether the decoder gives three masks, of which ``choice`` takes one. A box says clearly which
            object is meant, for which SAM has its single mask. Defaults to False.
        choice (str): 'iou' takes the mask with the highest predicted IoU; 'box' the one whose extent has the highest
            IoU with the box (ours: boxes are tight). Defaults to 'iou'.
        margin (float): By how much a mask may reach out of its box, as a share of the box's longer side. Defaults to
            0.0, masks are cut to their boxes.
        chunk (int): Boxes that the decoder takes at once, about 30 MB each in models of full size. Defaults to 32.
        encoder_dtype (torch.dtype): torch.float32, or torch.bfloat16 or torch.float16 by autocast. Defaults to
            torch.float32.

    Raises:
        ValueError: If a parameter is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        preparation: SamPreparation,
        multimask: bool = False,
        choice: str = 'iou',
        margin: float = 0.0,
        chunk: int = 32,
        encoder_dtype: torch.dtype = torch.float32,
    ) -> None:
        if choice not in CHOICES:
            raise ValueError(f'sam: choice must be one of {", ".join(CHOICES)}, got {choice!r}')
        if not margin >= 0:
            raise ValueError(f'sam: margin must be at least 0, got {margin!r}')
        if chunk < 1:
            raise ValueError(f'sam: chunk must be at least 1, got {chunk!r}')
        self.model = model
        self.preparation = preparation
        self.multimask = multimask
        self.choice = choice
        self.margin = margin
        self.chunk = chunk
        self.encoder_dtype = encoder_dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def encode(self, images: Sequence[np.ndarray]) -> list[EncodedImage]:
        """Run the image encoder, once for all images.

        Args:
            images (Sequence[np.ndarray]): (H, W, 3) uint8 RGB each, of any sizes.

        Returns:
            list[EncodedImage]: One an image.
        """
        if not images:
            return []
        pixels = self.preparation.network_input(images, self.device)
        half = self.encoder_dtype != torch.float32
        with torch.autocast(self.device.type, self.encoder_dtype) if half else nullcontext():
            embeddings = self.model.get_image_embeddings(pixels)
        inputs = dict(image_embeddings=embeddings)
        if isinstance(embeddings, tuple):  # of SAM-HQ: beside them the encoder's early features
            inputs = dict(zip(('image_embeddings', 'intermediate_embeddings'), embeddings))
        return [EncodedImage(_of_image(inputs, number), image.shape[:2]) for number, image in enumerate(images)]

    @torch.no_grad()
    def decode(
        self, image: EncodedImage, boxes: np.ndarray | Tensor, windows: np.ndarray | Tensor | None = None
    ) -> list[PromptedMask]:
        """The mask of each box.

        Args:
            image (EncodedImage): From :meth:`encode`.
            boxes (np.ndarray | Tensor): (K, 4), xyxy in pixel edges; rounded and clipped to the image.
            windows (np.ndarray | Tensor | None): (K, 4), the pixels on which each mask is wanted, likewise. Defaults to
                None, the boxes with their margin.

        Returns:
            list[PromptedMask]: One a box.
        """
        boxes = _pixels(boxes, image.size)
        if windows is None:
            longer = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
            around = (self.margin * longer).round() * torch.tensor([-1, -1, 1, 1])
            windows = boxes + around
        windows = _pixels(windows, image.size)
        prompts = self.preparation.prompt_boxes(boxes, image.size).to(self.device)
        masks: list[PromptedMask] = []
        axes = None
        for start in range(0, len(boxes), self.chunk):
            chosen = prompts[start : start + self.chunk]
            output = self.model(**image.inputs, input_boxes=chosen[None], multimask_output=self.multimask)
            logits, ious = output.pred_masks[0].float(), output.iou_scores[0].float()  # (k, C, h, w), (k, C)
            best = (torch.arange(len(chosen), device=self.device), self._best(logits, ious, chosen))
            logits, ious = logits[best], ious[best]
            if axes is None:
                axes = self.preparation.upsampling(logits.shape[1:], image.size, self.device)
            masks += _cut(logits, ious, windows[start : start + self.chunk].tolist(), *axes)
        return masks

    def _best(self, logits: Tensor, ious: Tensor, prompts: Tensor) -> Tensor:
        """Which of the C masks of each box is taken: (k,) int64."""
        if self.choice == 'iou' or logits.size(1) == 1:
            return ious.argmax(dim=1)
        height, width = logits.shape[2:]
        side = self.preparation.side
        cells = prompts * torch.tensor([width / side, height / side] * 2, device=prompts.device)
        return _extent_iou(logits > 0, cells).argmax(dim=1)


def _of_image(value: Any, number: int) -> Any:
    """One image's part of a batch of tensors, in lists and dicts too, in float32."""
    if isinstance(value, Mapping):
        return {name: _of_image(part, number) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_of_image(part, number) for part in value]
    return value[number : number + 1].float()


def _pixels(boxes: np.ndarray | Tensor, size: tuple[int, int]) -> Tensor:
    return pixel_boxes(torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4).cpu(), size)


def _cut(logits: Tensor, ious: Tensor, windows: list[list[int]], rows: Tensor, columns: Tensor) -> list[PromptedMask]:
    """Masks (k, h, w) on the pixels of their windows, copied from the device at once."""
    parts = [(rows[y1:y2] @ one @ columns[x1:x2].T).flatten().half() for one, (x1, y1, x2, y2) in zip(logits, windows)]
    sizes = [len(part) for part in parts]
    flat = torch.cat(parts).cpu().numpy()
    masks = []
    for part, iou, window in zip(np.split(flat, np.cumsum(sizes)[:-1]), ious.tolist(), windows):
        x1, y1, x2, y2 = window
        masks.append(PromptedMask(part.reshape(y2 - y1, x2 - x1), (x1, y1, x2, y2), iou))
    return masks


def _extent_iou(masks: Tensor, boxes: Tensor) -> Tensor:
    """IoU of each mask's bounding box with a box, 0 for empty masks.

    Args:
        masks (Tensor): (K, C, h, w) bool.
        boxes (Tensor): (K, 4) float, xyxy in edges of their cells.

    Returns:
        Tensor: (K, C) float.
    """
    low, high = [], []
    for axis in (2, 3):  # over rows: extent in x; over columns: extent in y
        line = masks.any(dim=axis)
        cells = torch.arange(line.size(-1), device=line.device)
        low.append(torch.where(line, cells, line.size(-1)).amin(dim=-1))
        high.append(torch.where(line, cells + 1, 0).amax(dim=-1))
    left_top, right_bottom = torch.stack(low, dim=-1), torch.stack(high, dim=-1)  # (K, C, 2) each
    box_low, box_high = boxes[:, None, :2], boxes[:, None, 2:]
    overlap = (torch.minimum(right_bottom, box_high) - torch.maximum(left_top, box_low)).clamp(min=0).prod(dim=-1)
    areas = (right_bottom - left_top).clamp(min=0).prod(dim=-1) + (box_high - box_low).clamp(min=0).prod(dim=-1)
    return overlap / (areas - overlap).clamp(min=1e-6)

"""How images go into a SAM, and how its masks come back to their pixels, from the settings of its own processor.

transformers' processors of the newer families refuse to work without torchvision; their settings don't.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bana_mm.functional import interpolation_matrix

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class SamPreparation:
    """What a network wants to see.

    Args:
        side (int): Height and width of its input in pixels.
        keep_ratio (bool): True scales the longer edge to ``side`` and adds zeros at the right or below (SAM, SAM-HQ);
            False scales both edges to it (SAM 2, EdgeTAM, SAM 3).
        mean (tuple[float, float, float]): Subtracted from the scaled colours, RGB.
        std (tuple[float, float, float]): They are divided by it.
        scale (float): Factor of colours in 0..255. Defaults to 1 / 255.
        resample (int): Pillow's filter. Defaults to bilinear, over the area of a pixel when an image is made smaller.
    """

    side: int
    keep_ratio: bool
    mean: Triple
    std: Triple
    scale: float = 1 / 255
    resample: int = Image.Resampling.BILINEAR

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], default: 'SamPreparation', name: str = '') -> 'SamPreparation':
        """From the settings of an image processor (``preprocessor_config.json``).

        Args:
            settings (Mapping): Fields that are missing are those of ``default``.
            default (SamPreparation): Of the family, with the side that the network was built for.
            name (str): Of the model, for error messages. Defaults to ''.

        Raises:
            ValueError: If the processor makes images that the network can't take.
        """
        keep_ratio, side = default.keep_ratio, default.side
        size = settings.get('size')
        if isinstance(size, Mapping):
            keep_ratio = 'longest_edge' in size
            edges = {size['longest_edge']} if keep_ratio else {size.get('height'), size.get('width')}
            if edges != {side}:
                raise ValueError(
                    f"{name}: its image processor makes images of {dict(size)} pixels, but the network's input is "
                    f'{side} x {side}; set size in preprocessor_config.json to that'
                )
        normalized, resample = settings.get('do_normalize', True), settings.get('resample')
        return cls(
            side=side,
            keep_ratio=keep_ratio,
            mean=tuple(settings.get('image_mean') or default.mean) if normalized else (0.0, 0.0, 0.0),
            std=tuple(settings.get('image_std') or default.std) if normalized else (1.0, 1.0, 1.0),
            scale=settings.get('rescale_factor', default.scale) if settings.get('do_rescale', True) else 1.0,
            resample=default.resample if resample is None else resample,  # 0 is a filter too
        )

    def scaled_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of an image of ``size`` inside the network's input, in pixels."""
        if not self.keep_ratio:
            return self.side, self.side
        factor = self.side / max(size)
        height, width = (max(1, int(edge * factor + 0.5)) for edge in size)
        return height, width

    def network_input(self, images: Sequence[np.ndarray], device: torch.device | str = 'cpu') -> Tensor:
        """Images as the network takes them.

        Args:
            images (Sequence[np.ndarray]): N images of any sizes, (H, W, 3) uint8 RGB.
            device (torch.device | str): Defaults to 'cpu'.

        Returns:
            Tensor: (N, 3, side, side) float32.
        """
        return torch.cat([self._one(image, device) for image in images])

    def _one(self, image: np.ndarray, device: torch.device | str) -> Tensor:
        height, width = self.scaled_size(image.shape[:2])
        scaled = np.asarray(Image.fromarray(image).resize((width, height), self.resample))
        pixels = torch.from_numpy(np.array(scaled)).to(device).permute(2, 0, 1).float()
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (self.mean, self.std))
        pixels = (pixels * self.scale - mean) / std
        return F.pad(pixels, (0, self.side - width, 0, self.side - height))[None]  # black after normalisation: zeros

    def prompt_boxes(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Boxes in pixels of the network's input.

        Args:
            boxes (Tensor): (K, 4), xyxy in pixel edges of the image.
            size (tuple[int, int]): Height and width of the image in pixels.

        Returns:
            Tensor: (K, 4) float32.
        """
        height, width = self.scaled_size(size)
        factor = torch.tensor([width / size[1], height / size[0]] * 2, dtype=torch.float64, device=boxes.device)
        return (boxes.double() * factor).float()

    def upsampling(
        self, grid: tuple[int, int], size: tuple[int, int], device: torch.device | str = 'cpu'
    ) -> tuple[Tensor, Tensor]:
        """The network's masks on the pixels of an image, as one matrix for each axis.

        Bilinear as in the processors' ``post_process_masks``: from the grid to the network's input, without what was
        added there, and from that to the image; where both edges were scaled, from the grid to the image at once.

        Args:
            grid (tuple[int, int]): Height h and width w of a mask.
            size (tuple[int, int]): Height H and width W of the image in pixels.
            device (torch.device | str): Defaults to 'cpu'.

        Returns:
            tuple[Tensor, Tensor]: (H, h) and (W, w) float32: ``rows @ mask @ columns.T`` is the mask at image size.
        """
        axes = []
        for cells, kept, pixels in zip(grid, self.scaled_size(size), size):
            if self.keep_ratio:
                to_input = interpolation_matrix(cells, self.side, align_corners=False, device=device)[:kept]
                axes.append(interpolation_matrix(kept, pixels, align_corners=False, device=device) @ to_input)
            else:
                axes.append(interpolation_matrix(cells, pixels, align_corners=False, device=device))
        return axes[0], axes[1]

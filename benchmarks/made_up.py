"""Inputs that need no data set: photographs, probabilities, features, and a small data set in VOC's layout."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Options


def clouds(channels: int, height: int, width: int, finest: int, generator: torch.Generator) -> Tensor:
    """Noise of every scale down to ``finest`` pixels, stronger where coarser: (channels, H, W), variance 1."""
    total = torch.zeros(channels, height, width)
    scale = 128
    while scale >= finest:
        grid = torch.randn(1, channels, height // scale + 2, width // scale + 2, generator=generator)
        total += scale**0.7 * F.interpolate(grid, (height, width), mode='bicubic', align_corners=True)[0]
        scale //= 2
    return total / total.std()


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    """(H, W, 3) uint8; needs about as many lattice vertices of the CRF as the median photograph of VOC."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(3, height, width, generator=generator)
    color = 120 + 25 * clouds(3, height, width, 8, generator) + noise
    return color.clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def probability(num_classes: int, height: int, width: int) -> Tensor:
    """(C, H, W) float32."""
    generator = torch.Generator().manual_seed(num_classes)
    return (1.5 * clouds(num_classes, height, width, 16, generator)).softmax(0)


def photographs(options: Options) -> dict[str, Tensor]:
    """The chosen ones by name, (H, W, 3) uint8 RGB, or a synthetic one."""
    if not options.images:
        size = (30, 40) if options.quick else (375, 500)
        return {f'{size[1]} x {size[0]}': photograph(*size)}
    import cv2

    images = {}
    for path in options.images:
        image = cv2.imread(path)
        if image is None:
            raise SystemExit(f'{path}: not an image')
        images[Path(path).stem] = torch.from_numpy(np.ascontiguousarray(image[..., ::-1]))
    return images


def features(channels: int, height: int, width: int) -> Tensor:
    """(D, h, w) float32, >= 0, alike in neighbouring cells as those of a network are."""
    generator = torch.Generator().manual_seed(0)
    return clouds(channels, height, width, 2, generator).relu()


def voc_folder(root: Path, num_images: int, height: int = 375, width: int = 500) -> None:
    """JPEGs of one size with one to three boxes each, listed in ``ImageSets/Segmentation/train_aug.txt``."""
    import cv2

    from bana_mm.datasets.voc_files import write_voc_xml

    rng = np.random.default_rng(0)
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    names = [f'{i:06}' for i in range(num_images)]
    (root / 'ImageSets/Segmentation/train_aug.txt').write_text('\n'.join(names))
    for seed, name in enumerate(names):
        cv2.imwrite(str(root / f'JPEGImages/{name}.jpg'), photograph(height, width, seed).numpy())
        low = rng.integers(0, (width // 2, height // 2), (rng.integers(1, 4), 2))
        high = low + rng.integers(height // 10, height // 2, low.shape)
        boxes = [('dog', box.tolist()) for box in np.concatenate([low, high], axis=1)]
        write_voc_xml(root / f'Annotations/{name}.xml', f'{name}.jpg', (height, width), boxes)

"""Time and agreement of the two DenseCRF backends.

python benchmarks/crf.py                            # a made-up photograph of 500 x 375
python benchmarks/crf.py --threads 1 *.jpg          # real ones
python benchmarks/crf.py --device cuda
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import dense_crf

# Name, classes, bilateral, gaussian: for labels, and for the predictions of DeepLab-V1 and V2.
CASES = [
    ('labels', 3, (4, 55, 3), (3, 3)),
    ('labels', 21, (4, 55, 3), (3, 3)),
    ('DeepLab-V1', 21, (4, 121, 5), (3, 3)),
    ('DeepLab-V2', 21, (4, 67, 3), (3, 1)),
]


def clouds(channels: int, height: int, width: int, finest: int, generator: torch.Generator) -> Tensor:
    """Noise of every scale down to ``finest`` pixels, stronger where coarser: (channels, H, W), variance 1."""
    total = torch.zeros(channels, height, width)
    scale = 128
    while scale >= finest:
        grid = torch.randn(1, channels, height // scale + 2, width // scale + 2, generator=generator)
        total += scale**0.7 * F.interpolate(grid, (height, width), mode='bicubic', align_corners=True)[0]
        scale //= 2
    return total / total.std()


def made_up_photograph(height: int, width: int) -> Tensor:
    """(H, W, 3) uint8; needs about as many lattice vertices as the median photograph of VOC."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, height, width, generator=generator)
    color = 120 + 25 * clouds(3, height, width, 8, generator) + noise
    return color.clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def made_up_probability(num_classes: int, height: int, width: int) -> Tensor:
    """(C, H, W) float32."""
    generator = torch.Generator().manual_seed(num_classes)
    return (1.5 * clouds(num_classes, height, width, 16, generator)).softmax(0)


def timed(function: Callable[[], Tensor], repeats: int) -> tuple[Tensor, float]:
    """The result and the shortest time in seconds, after one call to warm up."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function().cpu()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def read(path: str) -> Tensor:
    """(H, W, 3) uint8, RGB."""
    import cv2
    image = cv2.imread(path)
    if image is None:
        raise SystemExit(f'{path}: not an image')
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1]))


def main() -> None:
    """Print one line for each image and case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='*', help='photographs; read with OpenCV')
    parser.add_argument('--device', default='cpu', help='of the torch backend')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='of the torch backend on the CPU')
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    print(f'torch {torch.__version__} on {args.device}, {args.threads} threads; pydensecrf on 1')
    print(f'{"image":24} {"setting":10} {"classes":>7} {"pydensecrf":>10} {"torch":>9} {"ratio":>6} {"same label":>10} '
          f'{"difference":>10}')
    images = {path: read(path) for path in args.images} or {'made up': made_up_photograph(375, 500)}
    for path, image in images.items():
        for name, num_classes, bilateral, gaussian in CASES:
            prob = made_up_probability(num_classes, *image.shape[:2])
            inputs, settings = (image.to(args.device), prob.to(args.device)), (bilateral, gaussian)
            ours, our_time = timed(lambda: dense_crf(*inputs, *settings, backend='torch'), args.repeats)  # noqa: B023
            theirs, their_time = timed(
                lambda: dense_crf(image, prob, *settings, backend='pydensecrf'), args.repeats)  # noqa: B023
            same = (ours.argmax(0) == theirs.argmax(0)).double().mean().item()
            print(f'{path[-24:]:24} {name:10} {num_classes:7} {their_time:8.3f} s {our_time:7.3f} s '
                  f'{our_time / their_time:6.2f} {100 * same:8.4f} % {(ours - theirs).abs().max().item():10.0e}')


if __name__ == '__main__':
    main()

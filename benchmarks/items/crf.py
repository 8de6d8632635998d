"""Target 4: DenseCRF in PyTorch against pydensecrf, at the three settings in use."""

from collections.abc import Iterator
from importlib.util import find_spec

import torch

from bana_mm.functional import dense_crf
from benchmarks.harness import Options, Row, SkipItem, take_turns
from benchmarks.synthetic import photographs, probability

# Name, classes, bilateral, gaussian: for labels, and for the predictions of DeepLab-V1 and V2.
CASES = [
    ('labels', 3, (4, 55, 3), (3, 3)),
    ('labels', 21, (4, 55, 3), (3, 3)),
    ('DeepLab-V1', 21, (4, 121, 5), (3, 3)),
    ('DeepLab-V2', 21, (4, 67, 3), (3, 1)),
]


def rows(options: Options) -> Iterator[Row]:
    """One photograph after the other; pydensecrf always runs on one thread of the CPU."""
    if find_spec('pydensecrf') is None:
        raise SkipItem('pydensecrf is not installed (pip install pydensecrf2)')
    target = '>= 10' if options.device.startswith('cuda') else 'parity'
    for image_name, image in photographs(options).items():
        for name, num_classes, bilateral, gaussian in CASES:
            prob = probability(num_classes, *image.shape[:2])
            inputs = image.to(options.device), prob.to(options.device)
            results = {}

            def torch_version(inputs=inputs, settings=(bilateral, gaussian), results=results):
                results['ours'] = dense_crf(*inputs, *settings, backend='torch').cpu()

            def cpp_version(inputs=(image, prob), settings=(bilateral, gaussian), results=results):
                results['theirs'] = dense_crf(*inputs, *settings, backend='pydensecrf')

            ours, theirs = take_turns([torch_version, cpp_version], options)
            yield Row(
                f'CRF {name}, {num_classes} classes, {image_name}',
                ours,
                'pydensecrf',
                theirs,
                target,
                note=agreement(results['ours'], results['theirs']),
            )
    if options.device.startswith('cuda'):
        yield _batch(options)


def _batch(options: Options) -> Row:
    """Eight images at once, which a GPU may need to be busy."""
    _, num_classes, *settings = CASES[0]
    image = next(iter(photographs(options).values())).to(options.device)
    prob = probability(num_classes, *image.shape[:2]).to(options.device)
    images, probs = (each.expand(8, *each.shape).contiguous() for each in (image, prob))
    times = take_turns(
        [
            lambda: dense_crf(images, probs, *settings, backend='torch'),
            lambda: [dense_crf(image, prob, *settings, backend='torch') for _ in range(8)],
        ],
        options,
    )
    return Row('CRF labels, 8 images at once', times[0], 'one by one', times[1])


def agreement(ours: torch.Tensor, theirs: torch.Tensor) -> str:
    """How many pixels of two posteriors (C, H, W) have one label, and how far the posteriors lie apart."""
    same = (ours.argmax(0) == theirs.argmax(0)).double().mean().item()
    return f'same label {100 * same:.4f} %, posterior within {(ours - theirs).abs().max().item():.0e}'

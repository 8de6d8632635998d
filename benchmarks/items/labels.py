"""Target 3: stage 2 without network and CRF against the computation on image-size features."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import dense_crf
from benchmarks.harness import Candidate, Options, Row, SkipItem, extra_memory, peak_of_process, take_turns
from benchmarks.items.step import build_classifier
from benchmarks.slow.labels import image_size_retrieval, image_size_unaries
from benchmarks.synthetic import features, photograph

SECONDS, TARGET = 0.08, 'process <= 1300 MB'  # for an image
SIZE = (375, 500)
BOXES, LABELS = [[40, 60, 260, 330], [220, 100, 470, 300]], [7, 14]
CHANNELS, CLASSES = 1024, 20
# The reference code's, which the slow version follows.
RECIPE = dict(background='attention', threshold=0.99, threshold_mode='relative', normalise='box', temperature=1.0)


def rows(options: Options) -> Iterator[Row]:
    """An image of 500 x 375 with two classes: unaries and Y_ret. The CRF runs once, to compare labels."""
    channels = 16 if options.quick else CHANNELS
    try:
        ours, slow = (make(name, channels, options.device) for name in ('ours', 'slow'))
    except ImportError as error:
        raise SkipItem(f'label generation needs the mm* packages: {error}') from error
    times = take_turns([ours, slow], options)
    (probability, y_ret), (slow_probability, slow_y_ret) = ours(), slow()
    labels = [_crf_rows(each) for each in (probability, slow_probability)]
    note = f'same Y_crf {_same(*labels)}, Y_ret {_same(y_ret, slow_y_ret)}'
    candidates = [Candidate(make, (name, channels, options.device)) for name in ('ours', 'slow')]
    memory = [None if options.quick else _peak(candidate, options.device) for candidate in candidates]
    yield Row('stage 2, one image', times[0], 'image-size features', times[1], TARGET, memory, note)
    yield Row('stage 2, one image', times[0], 'target', SECONDS, '>= 1')
    everything, network, crf = make_everything(options.quick, options.device)
    times = take_turns([everything, network, crf], options)
    peak = None if options.quick else _peak(Candidate(_everything, (options.device,)), options.device)
    yield Row(
        'stage 2, network and CRF too',
        times[0],
        'network and CRF alone',
        times[1] + times[2],
        f'>= 0.77; {TARGET}',
        [peak, None],
        f'network {times[1]:.3g} s, CRF {times[2]:.3g} s',
    )


def _peak(candidate: Candidate, device: str) -> int | None:
    """Of the whole process on a CPU; beyond weights and features on a GPU."""
    return extra_memory(candidate, device) if device.startswith('cuda') else peak_of_process(candidate)


def make(name: str, channels: int, device: str) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """A function that gives the CRF's input, (C + 1, H, W), and Y_ret for a synthetic Y_crf, (H, W)."""
    feats = features(channels, 47, 63).to(device)
    weight = (torch.randn(CLASSES + 1, channels, generator=torch.Generator().manual_seed(1)) * 0.01).to(device)
    y_crf = np.zeros(SIZE, dtype=np.uint8)
    for (x1, y1, x2, y2), label in zip(BOXES, LABELS):
        y_crf[y1 + 20 : y2 - 20, x1 + 20 : x2 - 20] = label + 1

    def slow() -> tuple[np.ndarray, np.ndarray]:
        probability = image_size_unaries(feats, weight, SIZE, BOXES, LABELS)
        return probability.cpu().numpy(), image_size_retrieval(feats, weight, SIZE, BOXES, LABELS, y_crf)

    if name == 'slow':
        return slow
    from bana_mm.labels.generator import LabelGenerator
    from bana_mm.structures import BoxLayout

    generator = LabelGenerator(weight, RECIPE)
    layout = BoxLayout.from_boxes(SIZE, BOXES, [label + 1 for label in LABELS])
    image = photograph(*SIZE).numpy()

    def ours() -> tuple[np.ndarray, np.ndarray]:
        task = generator.prepare([dict(last=feats)], image, layout)
        return task.probability, generator.retrieve([dict(last=feats)], layout, y_crf)

    return ours


def _crf_rows(probability: np.ndarray) -> np.ndarray:
    """(H, W) rows, with the parameters of stage 2."""
    return dense_crf(photograph(*SIZE).numpy(), probability).argmax(0)


def make_everything(quick: bool, device: str) -> tuple[Callable[[], object], ...]:
    """Functions that label one image, run the network alone, and run the CRF alone."""
    from bana_mm.labels.generator import LabelGenerator
    from bana_mm.structures import BoxLayout

    model = build_classifier(quick).to(device).eval()
    generator = LabelGenerator(model.bap_head.weight, RECIPE)
    image, layout = photograph(*SIZE), BoxLayout.from_boxes(SIZE, BOXES, [label + 1 for label in LABELS])
    inputs = image.permute(2, 0, 1)[None].float() - 120

    @torch.inference_mode()
    def network() -> Tensor:
        return model.extract_feat(inputs.to(device))[0]

    def everything() -> np.ndarray:
        feats = network()
        task = generator.prepare([dict(last=feats)], image.numpy(), layout)
        return generator.retrieve([dict(last=feats)], layout, task.run())

    task = generator.prepare([dict(last=network())], image.numpy(), layout)
    return everything, network, task.run


def _everything(device: str) -> Callable[[], object]:
    return make_everything(False, device)[0]


def _same(a: np.ndarray, b: np.ndarray) -> str:
    return f'{100 * (a == b).mean():.4f} %'

"""Labels of one large photograph with two classes: on a smaller copy against a limit, and against the whole image."""

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.harness import Candidate, Options, Row, SkipItem, peak_of_process, take_turns
from benchmarks.synthetic import photograph

SECONDS, TARGET = 60.0, '>= 1; process <= 2700 MB'  # for an image, on two cores
MEGAPIXELS, WHOLE = (12, 50), 3  # the whole image is labelled at this size, which takes long enough
SOURCES = ('grabcut', 'box_crf')


def rows(options: Options) -> Iterator[Row]:
    """Time and peak memory by size, and the share of pixels that are labelled alike on the copy and on the whole."""
    for name in SOURCES:
        try:
            for megapixels in (0.01,) if options.quick else MEGAPIXELS:
                candidate = Candidate(make, (name, megapixels, options.quick))
                (seconds,) = take_turns([make(*candidate.args)], options)
                memory = [None if options.quick else peak_of_process(candidate), None]
                yield Row(f'{name}, {megapixels} MP', seconds, 'target', SECONDS, TARGET, memory)
            size = 0.01 if options.quick else WHOLE
            candidates = [Candidate(make, (name, size, options.quick, whole)) for whole in (False, True)]
            functions = [one.make(*one.args) for one in candidates]
            times = take_turns(functions, options)
            memory = [None if options.quick else peak_of_process(one) for one in candidates]
            note = f'same labels {100 * (functions[0]() == functions[1]()).mean():.2f} %'
            yield Row(f'{name}, {size} MP', times[0], 'the whole image', times[1], memory=memory, note=note)
        except ImportError as error:
            raise SkipItem(f'label generation needs the mm* packages: {error}') from error


def make(name: str, megapixels: float, quick: bool, whole: bool = False) -> Callable[[], np.ndarray]:
    """A function that labels two ellipses of other colours in a photograph."""
    from bana_mm.labels import LabelItem, build_label_source, label_map
    from bana_mm.labels.sources.base import WORKING_PIXELS

    height, width = (round((megapixels * 1e6 * ratio) ** 0.5) for ratio in (3 / 4, 4 / 3))
    image = photograph(height, width).numpy()
    y, x = np.ogrid[:height, :width]
    boxes = []
    for column, colour in ((0.3, (80, 0, 0)), (0.7, (0, 0, 80))):
        inside = ((x / width - column) / 0.17) ** 2 + ((y / height - 0.5) / 0.35) ** 2 < 1
        image[inside] = (image[inside] // 2 + np.array(colour)).astype(np.uint8)
        boxes.append([(column - 0.17) * width, 0.15 * height, (column + 0.17) * width, 0.85 * height])
    item = LabelItem.from_array(image, np.array(boxes), [1, 2])
    working_pixels = None if whole else 2000 if quick else WORKING_PIXELS
    source = build_label_source(name, working_pixels=working_pixels)
    return lambda: label_map(source, item)

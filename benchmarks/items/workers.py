"""Target 5: the CRF of stage 2 in two worker processes against one."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bana_mm.functional import dense_crf
from benchmarks.harness import Options, Row, SkipItem, take_turns
from benchmarks.synthetic import photograph, probability

CLASSES = 3


def rows(options: Options) -> Iterator[Row]:
    """Twelve images of 500 x 375; the start of the processes does not count."""
    try:
        from bana_mm.utils.worker_pool import WorkerPool
    except ImportError as error:
        raise SkipItem(f'the worker pool needs the mm* packages: {error}') from error
    size = (30, 40) if options.quick else (375, 500)
    images = 4 if options.quick else 12
    image, prob = photograph(*size).numpy(), probability(CLASSES, *size).numpy()
    with WorkerPool(label, 1) as one, WorkerPool(label, 2) as two:

        def labels_of(pool: WorkerPool) -> Callable[[], list]:
            return lambda: list(pool.map((str(i), (image, prob), None) for i in range(images)))

        # the workers' seconds are not on this process' clock
        times = take_turns([labels_of(two), labels_of(one)], replace(options, clock='wall'))
    yield Row(f'CRF of {images} images, 2 workers', times[0], '1 worker', times[1], '>= 1.7')


def label(image: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """What a worker does."""
    return dense_crf(image, prob).argmax(0).astype(np.uint8)

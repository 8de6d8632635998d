"""Target 2: the training pipeline of stage 1, one core, against what a GPU's step needs of each of 16 cores."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Options, Row, SkipItem, take_turns

CONFIG = Path(__file__).parents[2] / 'configs/bana/bap_vgg16_voc.py'
NEEDED = 16 * 0.1 / 20 / 3  # seconds an image: 16 cores, three times 20 images in 0.1 s


def rows(options: Options) -> Iterator[Row]:
    """Reading, scaling, cropping, flipping and jittering images of 500 x 375, without worker processes."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = seconds_an_image(options, Path(folder))
    yield Row(
        'data of stage 1, one image, one core',
        seconds,
        'what 3 x a GPU step takes',
        NEEDED,
        '>= 1',
        note=f'{1 / seconds:.0f} images/s; needed {1 / NEEDED:.1f}',
    )


def seconds_an_image(options: Options, folder: Path) -> float:
    """Of ``--voc-root``, or of synthetic images that are written to ``folder``."""
    try:
        import cv2
        from mmengine.config import Config
        from mmengine.registry import init_default_scope

        from bana_mm.registry import DATASETS
    except ImportError as error:
        raise SkipItem(f'the data pipeline needs the mm* packages: {error}') from error
    from benchmarks.synthetic import voc_folder

    if options.voc_root is None:
        voc_folder(folder, 4 if options.quick else 32)
    cfg = Config.fromfile(CONFIG).train_dataloader.dataset
    init_default_scope('mmdet')
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in the loader's workers
    dataset = DATASETS.build(dict(cfg, data_root=options.voc_root or str(folder)))
    count = min(len(dataset), 64)

    def run() -> None:
        for index in range(count):
            dataset[index]

    (seconds,) = take_turns([run], options)
    cv2.setNumThreads(threads)
    return seconds / count

"""Predictions in the form that the evaluation server of PASCAL VOC takes."""

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bana_mm.datasets.voc_box import VOC_CLASSES
from bana_mm.datasets.voc_files import image_size
from bana_mm.structures import read_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress

# The development kit's competitions in segmentation. Weights from ImageNet or COCO, and boxes of SBD, mean comp6.
COMPETITIONS = dict(comp5="trained on VOC's own trainval images alone", comp6='trained on any data but the test images')
ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz')
NUM_TEST_IMAGES = 1456  # of VOC2012's segmentation task


def archive_stem(archive: str | Path) -> Path:
    """An archive's path without its ending.

    Raises:
        ValueError: If the ending is none of :data:`ARCHIVES`.
    """
    for ending in ARCHIVES:
        if str(archive).endswith(ending) and Path(archive).name != ending:
            return Path(str(archive).removesuffix(ending))
    raise ValueError(f'{archive}: an archive of results ends with {", ".join(ARCHIVES)}')


def results_folder(competition: str = 'comp6') -> Path:
    """Folder of the label maps inside the archive, as the development kit asks.

    Args:
        competition (str): One of :data:`COMPETITIONS`. Defaults to 'comp6'.

    Raises:
        ValueError: If the competition is another.
    """
    if competition not in COMPETITIONS:
        raise ValueError(f'competition must be one of {", ".join(COMPETITIONS)}, got {competition!r}')
    return Path('results/VOC2012/Segmentation') / f'{competition}_test_cls'


def check_voc_classes(classes: Sequence[str] | None) -> None:
    """Refuse data whose label maps mean something else than the server thinks.

    Args:
        classes (Sequence[str] | None): The data set's classes, background first.

    Raises:
        ValueError: If they are not the background and VOC's twenty in VOC's order; the message says which they are.
    """
    given = tuple(classes or ())
    if given != ('background', *VOC_CLASSES):
        raise ValueError(
            f"the server of PASCAL VOC scores 21 classes, the background and VOC's 20 in their order, but "
            f'the test set has {len(given)} ({", ".join(given)})'
        )


def pack_results(
    folder: str | Path, images: Sequence[str | Path], archive: str | Path, competition: str = 'comp6'
) -> int:
    """Check the label maps of a test set and put them into an archive.

    Args:
        folder (str | Path): Holds ``results/VOC2012/Segmentation/COMPETITION_test_cls/ID.png``; files of other images
            are left out.
        images (Sequence[str | Path]): Images of the test set, ``ID.jpg``; each gives its map's name and size.
        archive (str | Path): File to write, .zip, .tar, .tgz or .tar.gz; its folder is made.
        competition (str): See :func:`results_folder`. Defaults to 'comp6'.

    Returns:
        int: Number of label maps in the archive, one for each image.

    Raises:
        FileNotFoundError: If a label map is missing: how many, and the first.
        ValueError: If two images share a name, or a label map has another size than its image or a value that is none
            of 0..20; the message names the file.
    """
    archive_stem(archive)
    inside = results_folder(competition)
    sizes = {Path(image).stem: image for image in images}
    if len(sizes) < len(images):
        raise ValueError(f'{len(images)} images have only {len(sizes)} different names, by which the server knows them')
    paths = {img_id: Path(folder) / inside / f'{img_id}.png' for img_id in sizes}
    missing = [path for path in paths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f'{missing[0]}: {len(missing)} of {len(paths)} label maps are missing')
    with Progress(len(paths), title='check') as progress:
        for img_id, path in paths.items():
            label = read_label_png(path, size=image_size(sizes[img_id]))
            if label.max() > len(VOC_CLASSES):
                raise ValueError(f'{path}: label map holds class {label.max()}; allowed are 0..{len(VOC_CLASSES)}')
            progress.update()
    Path(archive).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(archive) as partial:
        _write(partial, Path(archive).suffix, [(path, inside / path.name) for path in paths.values()])
    return len(paths)


def _write(path: Path, suffix: str, members: Sequence[tuple[Path, Path]]) -> None:
    if suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as file:  # not compressed: PNGs are
            for source, name in members:
                file.write(source, name.as_posix())
    else:
        with tarfile.open(path, 'w' if suffix == '.tar' else 'w:gz') as file:
            for source, name in members:
                file.add(source, name.as_posix())

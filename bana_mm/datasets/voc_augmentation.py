"""The augmented training set of PASCAL VOC 2012: VOC's own masks, and those of SBD where VOC has none.

SBD (Semantic Boundaries Dataset, Hariharan et al., ICCV 2011) has masks of 11,355 images of VOC 2011. ``train_aug`` is
all of VOC's and SBD's images with masks except VOC's validation images.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from bana_mm.structures import read_label_png, write_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress

from .voc_files import image_size, read_ids, write_ids

NUM_CLASSES = 20
COUNTS = {'VOC train': 1464, 'VOC val': 1449, 'SBD train': 8498, 'SBD val': 2857, 'train_aug': 10582}
MARKER = 'voc_aug.txt'  # tells our masks from those that came from elsewhere


def find_sbd(root: str | Path) -> Path:
    """The folder of SBD that holds ``cls``, ``train.txt`` and ``val.txt``.

    Args:
        root (str | Path): That folder, ``benchmark_RELEASE`` around it, or what the archive was unpacked to.

    Raises:
        FileNotFoundError: If none of them is it.
    """
    for folder in (Path(root), Path(root, 'dataset'), Path(root, 'benchmark_RELEASE', 'dataset')):
        if (folder / 'cls').is_dir():
            return folder
    raise FileNotFoundError(
        f'{root}: holds no SBD; it must have the folder cls, dataset/cls or benchmark_RELEASE/dataset/cls'
    )


def read_sbd_mask(path: str | Path) -> np.ndarray:
    """Read a class mask of SBD, field ``GTcls.Segmentation`` of a MATLAB file.

    Args:
        path (str | Path): A file in ``cls``.

    Returns:
        np.ndarray: (H, W) uint8: 0 background, 1..20.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it can't be read or holds something else.
    """
    try:
        content = loadmat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: mask is missing') from None
    except Exception as error:  # the reader fails in many ways on broken files
        raise ValueError(f'{path}: not a MATLAB file that can be read ({error})') from error
    try:
        mask = content['GTcls'][0, 0]['Segmentation']
        values = np.unique(mask)
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(
            f'{path}: has no field GTcls.Segmentation; the class masks of SBD are in its folder cls'
        ) from None
    if mask.ndim != 2 or not mask.size or not np.isin(values, np.arange(NUM_CLASSES + 1)).all():
        raise ValueError(
            f'{path}: GTcls.Segmentation must be a matrix of classes 0..{NUM_CLASSES}, got shape '
            f'{mask.shape} and values {values[:1]}..{values[-1:]}'
        )
    return mask.astype(np.uint8)


def augmented_split(
    voc_root: str | Path, sbd_root: str | Path, check_counts: bool = True
) -> tuple[list[str], dict[str, Path]]:
    """Which images ``train_aug`` has, and where each image's mask comes from.

    Args:
        voc_root (str | Path): ``VOCdevkit/VOC2012``.
        sbd_root (str | Path): See :func:`find_sbd`.
        check_counts (bool): Whether the lists must have the lengths of the complete data sets. Defaults to True.

    Returns:
        tuple[list[str], dict[str, Path]]: The ids in ``train_aug``, sorted, and for them and VOC's validation images
        the file of the mask: a PNG of VOC's train and val, else a MATLAB file of SBD.

    Raises:
        FileNotFoundError: If a list, an image or a mask is missing.
        ValueError: If a list is malformed, or has another length than it must.
    """
    voc, sbd = Path(voc_root), find_sbd(sbd_root)
    lists = {
        'VOC train': voc / 'ImageSets/Segmentation/train.txt',
        'VOC val': voc / 'ImageSets/Segmentation/val.txt',
        'SBD train': sbd / 'train.txt',
        'SBD val': sbd / 'val.txt',
    }
    ids = {}
    for name, path in lists.items():
        ids[name] = read_ids(path)
        if check_counts and len(ids[name]) != COUNTS[name]:
            raise ValueError(
                f'{path}: lists {len(ids[name])} images, but {name} has {COUNTS[name]}; for a part of the '
                'data sets, switch this check off (--subset)'
            )
    masks = {img_id: sbd / 'cls' / f'{img_id}.mat' for img_id in ids['SBD train'] + ids['SBD val']}
    masks.update({img_id: voc / 'SegmentationClass' / f'{img_id}.png' for img_id in ids['VOC train'] + ids['VOC val']})
    train_aug = sorted(masks.keys() - set(ids['VOC val']))
    if check_counts and len(train_aug) != COUNTS['train_aug']:
        raise ValueError(
            f'train_aug has {len(train_aug)} images instead of {COUNTS["train_aug"]}: the lists '
            f'{", ".join(map(str, lists.values()))} do not belong together'
        )
    _check_files(masks.values(), 'mask')
    _check_files([voc / 'JPEGImages' / f'{img_id}.jpg' for img_id in masks], 'image')
    return train_aug, masks


def build_voc_aug(
    voc_root: str | Path, sbd_root: str | Path, check_counts: bool = True, overwrite: bool = False
) -> tuple[int, int]:
    """Write ``SegmentationClassAug`` and ``ImageSets/Segmentation/train_aug.txt``.

    A run that was killed goes on where it stopped; the list comes last.

    Args:
        voc_root (str | Path): ``VOCdevkit/VOC2012``.
        sbd_root (str | Path): See :func:`find_sbd`.
        check_counts (bool): See :func:`augmented_split`. Defaults to True.
        overwrite (bool): Drop masks and the list that are there. Defaults to False.

    Returns:
        tuple[int, int]: Images in ``train_aug``, and masks in all.

    Raises:
        FileNotFoundError: If a list, an image or a mask is missing.
        FileExistsError: If there are masks from elsewhere, or another ``train_aug.txt``.
        ValueError: If a list or a mask is not what it must be. Every message names the file.
    """
    train_aug, masks = augmented_split(voc_root, sbd_root, check_counts)
    voc = Path(voc_root)
    list_path = voc / 'ImageSets/Segmentation/train_aug.txt'
    if list_path.exists() and not overwrite and set(read_ids(list_path)) != set(train_aug):
        raise FileExistsError(
            f'{list_path}: lists other images than VOC and SBD make up; move it away, or replace it with --overwrite'
        )
    folder = voc / 'SegmentationClassAug'
    _begin(folder, overwrite)
    todo = [img_id for img_id in sorted(masks) if not (folder / f'{img_id}.png').exists()]
    with Progress(len(masks), len(masks) - len(todo), 'masks') as progress:
        for img_id in todo:
            size = image_size(voc / 'JPEGImages' / f'{img_id}.jpg')
            path = masks[img_id]
            if path.suffix == '.png':
                mask = read_label_png(path, size, NUM_CLASSES)
            else:
                mask = read_sbd_mask(path)
                if mask.shape != size:
                    raise ValueError(
                        f'{path}: mask is {mask.shape[0]} x {mask.shape[1]} (height x width), but its '
                        f'image is {size[0]} x {size[1]}'
                    )
            write_label_png(folder / f'{img_id}.png', mask)
            progress.update()
    if overwrite or not list_path.exists():
        write_ids(list_path, train_aug)
    return len(train_aug), len(masks)


def _begin(folder: Path, overwrite: bool) -> None:
    """Create the folder of the masks or go on with it."""
    folder.mkdir(exist_ok=True)
    old = list(folder.glob('*.png'))
    if overwrite:
        for path in old:
            path.unlink()
    elif old and not (folder / MARKER).exists():
        raise FileExistsError(
            f'{folder}: holds {len(old)} masks from elsewhere (there is no {MARKER}); move them '
            'away, or make all anew with --overwrite'
        )
    for leftover in folder.glob('.*.part'):  # of a run that was killed
        leftover.unlink()
    with whole_file(folder / MARKER) as partial:
        partial.write_text(
            'Made by tools/dataset_converters/voc_aug.py: the masks of SegmentationClass for '
            "VOC's train and val, SBD's for all other images.\n"
        )


def _check_files(paths: Iterable[Path], what: str) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
        raise FileNotFoundError(f'{missing[0]}{more}: {what} is missing')

"""Label maps of a split against its masks: stored ones, their agreement, and those that a source makes from boxes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.labels import LabelItem, LabelSource, MergedSource, label_map
from bana_mm.labels.item import read_rgb
from bana_mm.structures import LabelStore, agree, read_label_png
from bana_mm.utils.progress import Progress
from bana_mm.utils.table import figure_cell, format_table, percent
from bana_mm.utils.worker_pool import WorkerPool

from .confusion import ConfusionMatrix
from .contours import ContourCounts

# Makes the label map (H, W) uint8 of an image from its id, its size (H, W) and the number of object classes.
LabelReader = Callable[[str, tuple[int, int], int], np.ndarray]


@dataclass
class StoredMap:
    """One map of a label store."""

    store: LabelStore
    map_name: str

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        return self.store.read(self.map_name, img_id, size, num_classes)

    def missing(self, img_ids: Sequence[str]) -> list[str]:
        """Images without this map."""
        return [img_id for img_id in img_ids if not self.store.path(self.map_name, img_id).exists()]


class AgreedMaps:
    """What several maps agree on; the rest is 255.

    Args:
        *maps (LabelReader): At least two.
    """

    def __init__(self, *maps: LabelReader) -> None:
        self.maps = maps

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        return agree(*(one(img_id, size, num_classes) for one in self.maps))[0]


@dataclass
class SourceLabels:
    """What a source makes of images and boxes.

    Args:
        source (LabelSource): The source.
        items (Mapping[str, dict]): Dataset items (``img_path``, ``instances``) by image id.
    """

    source: LabelSource
    items: Mapping[str, dict[str, Any]]

    def __call__(self, img_id: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        item = self.items[img_id]
        # The same array for all rows: sources with one network then share what they compute of it.
        item = LabelItem.from_info({**item, 'img_id': img_id}, _read_rgb(item['img_path']))
        return label_map(self.source, item)

    def only(self, img_id: str) -> 'SourceLabels':
        """The same for one image: little to send to a worker process."""
        return SourceLabels(self.source, {img_id: self.items[img_id]})


class LabelCounts(ConfusionMatrix):
    """Counts of a row of labels: pixels and, where asked for, contours.

    Args:
        num_classes (int): See :class:`ConfusionMatrix`.
        leave_out_ignored (bool): Likewise; contours take pixels without a class as background in any case. Defaults to
            False.
        contours (float | None): Tolerance, see :class:`ContourCounts`. Defaults to None, no contours.

    Attributes:
        contours (ContourCounts | None): Counts of contours.
    """

    def __init__(self, num_classes: int, leave_out_ignored: bool = False, contours: float | None = None) -> None:
        super().__init__(num_classes, leave_out_ignored)
        self.contours = None if contours is None else ContourCounts(num_classes, contours)

    def update(self, ground_truth: np.ndarray, prediction: np.ndarray, image: str | None = None) -> None:
        """See :meth:`ConfusionMatrix.update`."""
        super().update(ground_truth, prediction, image)
        if self.contours is not None:
            self.contours.update(ground_truth, prediction)

    def parts(self) -> list[np.ndarray]:
        """The counts, to send to another process."""
        return [self.counts] if self.contours is None else [self.counts, self.contours.counts]

    def add(self, parts: Sequence[np.ndarray]) -> None:
        """Add the :meth:`parts` of another one."""
        for own, other in zip(self.parts(), parts):
            own += other


def evaluate_labels(
    rows: Mapping[str, LabelReader],
    ground_truth_dir: str | Path,
    img_ids: Sequence[str],
    num_classes: int,
    workers: int = 0,
    contours: float | None = None,
) -> dict[str, LabelCounts]:
    """Compare label maps with masks.

    Pixels that a map leaves at 255 are wrong, but for rows of what several maps agree on (:class:`AgreedMaps`, merged
    sources), which are about the other pixels.

    Args:
        rows (Mapping[str, LabelReader]): What to compare, by name.
        ground_truth_dir (str | Path): Folder of the masks ``ID.png``.
        img_ids (Sequence[str]): Images.
        num_classes (int): Number L of object classes.
        workers (int): Worker processes; they pay where labels are made, not just read. Defaults to 0.
        contours (float | None): Tolerance at which contours are compared as well. Defaults to None, not at all.

    Returns:
        dict[str, LabelCounts]: One for each row.

    Raises:
        FileNotFoundError: If masks or stored maps are missing: how many, and the first of them.
        RuntimeError: If an image fails; the message names it and the file.
        ValueError: If the masks of all images hold no pixel of any class.
    """
    ground_truth_dir = Path(ground_truth_dir)
    check_files(rows, ground_truth_dir, img_ids)
    totals = {name: LabelCounts(num_classes, _is_agreement(reader), contours) for name, reader in rows.items()}
    jobs = (
        (img_id, (img_id, ground_truth_dir, num_classes, _for_image(rows, img_id), contours), None)
        for img_id in img_ids
    )
    with WorkerPool(compare_image, workers) as pool, Progress(len(img_ids), title='compare') as progress:
        for _, _, counts in pool.map(jobs):
            for name, total in totals.items():
                total.add(counts[name])
            progress.update()
    for total in totals.values():
        total.require_objects(str(ground_truth_dir))
    return totals


def check_files(rows: Mapping[str, LabelReader], ground_truth_dir: str | Path, img_ids: Sequence[str]) -> None:
    """Find out before any work that masks or stored maps are missing.

    Args:
        rows, ground_truth_dir, img_ids: As for :func:`evaluate_labels`.

    Raises:
        FileNotFoundError: How many are missing, and the first of them.
    """
    ground_truth_dir = Path(ground_truth_dir)
    _refuse(
        ground_truth_dir,
        [img_id for img_id in img_ids if not (ground_truth_dir / f'{img_id}.png').exists()],
        len(img_ids),
        'masks',
    )
    for name, reader in rows.items():
        if isinstance(reader, StoredMap):
            _refuse(reader.store.root / reader.map_name, reader.missing(img_ids), len(img_ids), 'label maps')
        elif isinstance(reader, SourceLabels):
            _refuse(name, reader.source.missing(img_ids), len(img_ids), 'label maps')


def compare_image(
    img_id: str,
    ground_truth_dir: Path,
    num_classes: int,
    rows: Mapping[str, LabelReader],
    contours: float | None = None,
) -> dict[str, list[np.ndarray]]:
    """Counts of one image for each row, see :meth:`LabelCounts.parts`. Runs in any process."""
    ground_truth = read_label_png(ground_truth_dir / f'{img_id}.png', num_classes=num_classes)
    counts = {}
    for name, reader in rows.items():
        row = LabelCounts(num_classes, contours=contours)
        row.update(ground_truth, reader(img_id, ground_truth.shape, num_classes), f'{img_id}, {name}')
        counts[name] = row.parts()
    return counts


def class_indices(chosen: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Indices of some classes and, in any case, of the background.

    Args:
        chosen (Sequence[str]): Names to look up.
        class_names (Sequence[str]): Object classes 1..L.

    Raises:
        ValueError: If a name is unknown.
    """
    names = ['background', *class_names]
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f'unknown class {unknown[0]!r}; known are {", ".join(names)}')
    return sorted({0, *map(names.index, chosen)})


def summarise(confusion: ConfusionMatrix, class_names: Sequence[str], chosen: Sequence[int] = ()) -> dict[str, Any]:
    """The figures of a row, in percent.

    Args:
        confusion (ConfusionMatrix): Counts, or :class:`LabelCounts`, which may have contours.
        class_names (Sequence[str]): Object classes 1..L.
        chosen (Sequence[int]): Class indices of a second mean, see :func:`class_indices`. Defaults to none.

    Returns:
        dict: ``mIoU`` over background and classes that the ground truth holds; ``mIoU_chosen`` if some are chosen;
        ``ignored``, the share of pixels; ``IoU`` by class that the ground truth holds; with contours also
        ``contour_F``, the mean over the object classes, ``contour_F_chosen`` and ``contours`` by class. NaN becomes
        None, as JSON wants it.
    """
    names = ['background', *class_names]
    result = dict(mIoU=percent(confusion.mean_iou()))
    if chosen:
        result.update(mIoU_chosen=percent(confusion.mean_iou(chosen)))
    iou, present = confusion.iou(), confusion.present()
    result.update(
        ignored=percent(confusion.ignored_share()),
        IoU={name: percent(iou[c]) for c, name in enumerate(names) if present[c]},
    )
    contours = getattr(confusion, 'contours', None)
    if contours is not None:
        result.update(contour_F=percent(contours.mean_f()))
        if chosen:
            result.update(contour_F_chosen=percent(contours.mean_f(chosen)))
        scores, shown = contours.f_score(), contours.present()
        result.update(contours={name: percent(scores[c]) for c, name in enumerate(class_names) if shown[c]})
    return result


def label_table(summaries: Mapping[str, dict[str, Any]]) -> str:
    """Table of summaries that belong to the same masks: a column each, means on top, classes below.

    Args:
        summaries (Mapping[str, dict]): Results of :func:`summarise` by name of the row of labels.

    Returns:
        str: The table.
    """

    def line(title: str, values: Sequence[float | None]) -> list[str]:
        return [title, *map(figure_cell, values)]

    columns = list(summaries.values())
    lines = [line('mIoU, all present', [column['mIoU'] for column in columns])]
    if 'mIoU_chosen' in columns[0]:
        lines.append(line('mIoU, chosen', [column['mIoU_chosen'] for column in columns]))
    lines.append(line('ignored pixels, %', [column['ignored'] for column in columns]))
    for key, title in (('contour_F', 'contour F, all present'), ('contour_F_chosen', 'contour F, chosen')):
        if key in columns[0]:
            lines.append(line(title, [column[key] for column in columns]))
    lines += [line(name, [column['IoU'][name] for column in columns]) for name in columns[0]['IoU']]
    for name in columns[0].get('contours', ()):
        lines.append(line(f'{name}, contour F', [column['contours'][name] for column in columns]))
    return format_table(['', *summaries], lines)


def splits_table(summaries: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """Table of several splits: a line for each row of labels, for each split its means and its ignored pixels.

    Args:
        summaries (Mapping[str, Mapping[str, dict]]): Results of :func:`summarise` by split and by row of labels.

    Returns:
        str: The table.
    """
    first = next(iter(summaries.values()))
    titles = dict(
        mIoU='all', mIoU_chosen='chosen', ignored='ignored', contour_F='contour F', contour_F_chosen='F chosen'
    )
    fields = [name for name in titles if name in next(iter(first.values()))]
    header = ['', *(f'{split}: {titles[name]}' for split in summaries for name in fields)]
    lines = [[row, *(figure_cell(rows[row][name]) for rows in summaries.values() for name in fields)] for row in first]
    return format_table(header, lines)


def _is_agreement(reader: LabelReader) -> bool:
    """Whether a row is what several maps agree on, so that 255 says nothing against it."""
    return isinstance(reader, AgreedMaps) or isinstance(getattr(reader, 'source', None), MergedSource)


def _for_image(rows: Mapping[str, LabelReader], img_id: str) -> dict[str, LabelReader]:
    return {name: reader.only(img_id) if isinstance(reader, SourceLabels) else reader for name, reader in rows.items()}


@lru_cache(maxsize=1)
def _read_rgb(path: str) -> np.ndarray:
    return read_rgb(path)


def _refuse(folder: str | Path, missing: Sequence[str], total: int, what: str) -> None:
    if missing:
        names = ', '.join(f'{img_id}.png' for img_id in missing[:3]) + (', ...' if len(missing) > 3 else '')
        raise FileNotFoundError(f'{folder}: {len(missing)} of {total} {what} are missing: {names}')

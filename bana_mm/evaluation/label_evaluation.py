"""Label maps of a split against its masks: stored ones, their agreement, and those that a source makes from boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bana_mm.structures import read_label_png
from bana_mm.utils.progress import Progress
from bana_mm.utils.worker_pool import WorkerPool

from .confusion import ConfusionMatrix
from .contours import ContourCounts
from .label_readers import LabelReader, SourceLabels, StoredMap, is_agreement, readers_of_image


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
    totals = {name: LabelCounts(num_classes, is_agreement(reader), contours) for name, reader in rows.items()}
    jobs = (
        (img_id, (img_id, ground_truth_dir, num_classes, readers_of_image(rows, img_id), contours), None)
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


def _refuse(folder: str | Path, missing: Sequence[str], total: int, what: str) -> None:
    if missing:
        names = ', '.join(f'{img_id}.png' for img_id in missing[:3]) + (', ...' if len(missing) > 3 else '')
        raise FileNotFoundError(f'{folder}: {len(missing)} of {total} {what} are missing: {names}')

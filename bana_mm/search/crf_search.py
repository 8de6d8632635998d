"""The best parameters of the CRF on images with masks, by a grid search."""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bana_mm.evaluation.confusion import ConfusionMatrix
from bana_mm.search.crf_inputs import label_crf_input
from bana_mm.structures import read_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress
from bana_mm.utils.worker_pool import WorkerPool


class CRFPoint(NamedTuple):
    """A point of the grid. Standard deviations in pixels and 8-bit steps of colour, see ``dense_crf``.

    Args:
        bilateral_weight (float): Of the kernel of position and colour.
        bilateral_xy (float): Its standard deviation of the position.
        bilateral_rgb (float): Its standard deviation of the colour.
        gaussian_weight (float): Of the kernel of position alone.
        gaussian_xy (float): Its standard deviation.
        iterations (int): Mean-field steps; 0 for the unaries alone.
        temperature (float): Factor on the temperature of the softmax that made the unaries. Defaults to 1.0.
    """

    bilateral_weight: float
    bilateral_xy: float
    bilateral_rgb: float
    gaussian_weight: float
    gaussian_xy: float
    iterations: int
    temperature: float = 1.0

    @classmethod
    def of(cls, *values: float) -> 'CRFPoint':
        """A point of whole iterations and otherwise floats, which a CSV file gives back as they are."""
        *others, iterations, temperature = map(float, values)
        return cls(*others, int(iterations), temperature)

    @property
    def crf(self) -> dict[str, Any]:
        """Keyword arguments of :func:`bana_mm.functional.dense_crf`."""
        return dict(
            bilateral=(self.bilateral_weight, self.bilateral_xy, self.bilateral_rgb),
            gaussian=(self.gaussian_weight, self.gaussian_xy),
            iterations=self.iterations,
        )

    def check(self) -> None:
        """Refuse values that the CRF would refuse only once it runs.

        Raises:
            ValueError: For a weight below 0, another value that is not above 0, or iterations below 0.
        """
        for name, value in self._asdict().items():
            from_zero = name.endswith('weight') or name == 'iterations'
            if not (np.isfinite(value) and value >= 0 and (from_zero or value > 0)):
                raise ValueError(f'{name} must be finite and {"at least" if from_zero else "above"} 0, got {value!r}')


def grid(values: Mapping[str, Sequence[float]]) -> list[CRFPoint]:
    """All combinations.

    Args:
        values (Mapping[str, Sequence[float]]): Values of each field of :class:`CRFPoint`.

    Returns:
        list[CRFPoint]: In the order of fields and values, the last field changing fastest; each point once.

    Raises:
        ValueError: If a value is out of range.
    """
    values = [values[name] for name in CRFPoint._fields]
    points = [CRFPoint.of(*combination) for combination in itertools.product(*values)]
    for point in points:
        point.check()
    return list(dict.fromkeys(points))


@dataclass
class StoredImage:
    """An image of the search: its stored CRF input, see :func:`bana_mm.search.crf_inputs.write_crf_input`, and mask."""

    name: str
    input_path: Path
    ground_truth_path: Path


class SearchTable:
    """IoU of every point that is done, in a CSV file that is whole at any time.

    Args:
        path (str | Path): The file; read if it is there.
        class_names (Sequence[str]): Object classes 1..L.

    Attributes:
        rows (dict[CRFPoint, np.ndarray]): (L + 1,) float64 by point: IoU in percent of background and classes, NaN
            for classes that the masks don't hold.

    Raises:
        ValueError: If the file has other columns or can't be read.
    """

    def __init__(self, path: str | Path, class_names: Sequence[str]) -> None:
        self.path = Path(path)
        self.header = [*CRFPoint._fields, 'mIoU', 'background', *class_names]
        self.rows: dict[CRFPoint, np.ndarray] = {}
        if self.path.exists():
            self._read()

    def add(self, point: CRFPoint, confusion: ConfusionMatrix) -> None:
        """Add a point that is done, and write the file.

        Args:
            point (CRFPoint): The point.
            confusion (ConfusionMatrix): Counts over all images.

        Raises:
            ValueError: If the masks hold no object at all.
        """
        confusion.require_objects(str(self.path))
        self.rows[point] = 100 * np.where(confusion.present(), confusion.iou(), np.nan)
        with whole_file(self.path) as partial, open(partial, 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(self.header)
            for done, iou in self.rows.items():
                writer.writerow([*done, self.mean_iou(done), *('' if np.isnan(v) else v for v in iou.tolist())])

    def mean_iou(self, point: CRFPoint, classes: Sequence[int] | None = None) -> float:
        """Mean IoU of a point in percent.

        Args:
            point (CRFPoint): A point that is done.
            classes (Sequence[int] | None): Class indices to average over. Defaults to None, all that the masks hold.

        Returns:
            float: NaN if the masks hold none of them.
        """
        iou = self.rows[point] if classes is None else self.rows[point][list(classes)]
        iou = iou[~np.isnan(iou)]
        return float(iou.mean()) if len(iou) else float('nan')

    def ranking(self, points: Sequence[CRFPoint] | None = None, classes: Sequence[int] | None = None) -> list[CRFPoint]:
        """Points, the best first; of equals the one with the smaller parameters, in the order of its fields.

        Args:
            points (Sequence[CRFPoint] | None): Which ones. Defaults to None, all that are done.
            classes (Sequence[int] | None): See :meth:`mean_iou`. Defaults to None.
        """
        chosen = self.rows if points is None else points
        return sorted(chosen, key=lambda point: (-self.mean_iou(point, classes), point))

    def _read(self) -> None:
        with open(self.path, newline='') as file:
            reader = csv.reader(file)
            if next(reader, None) != self.header:
                raise ValueError(f'{self.path}: has other columns than {", ".join(self.header)}; choose another folder')
            for number, row in enumerate(reader, start=2):
                try:
                    *values, _ = map(float, row[: len(CRFPoint._fields) + 1])
                    point = CRFPoint.of(*values)
                    iou = np.array([float(text) if text else np.nan for text in row[len(values) + 1 :]])
                except (TypeError, ValueError, IndexError):
                    iou = np.empty(0)
                if len(row) != len(self.header) or not len(iou):
                    raise ValueError(f'{self.path}: line {number} cannot be read; remove it and start again')
                self.rows[point] = iou


def search_crf(
    points: Sequence[CRFPoint],
    images: Sequence[StoredImage],
    table: SearchTable,
    workers: int = 0,
    backend: str = 'auto',
) -> None:
    """Evaluate the points that a table lacks, and add each to it as soon as it is done.

    Images run in parallel, those of the next point too, so no worker waits for the end of a point. The table depends
    neither on the number of workers nor on the order of the images.

    Args:
        points (Sequence[CRFPoint]): The grid.
        images (Sequence[StoredImage]): With stored inputs.
        table (SearchTable): Where the results go.
        workers (int): Processes for the CRF; 0 runs it in this one. Defaults to 0.
        backend (str): See ``dense_crf``. Defaults to 'auto'.

    Raises:
        RuntimeError: If an image fails; the message names it.
        ValueError: If a mask holds an unknown class, or is of another size than the image.
    """
    num_classes = len(table.header) - len(CRFPoint._fields) - 2
    truths = {image.name: read_label_png(image.ground_truth_path, num_classes=num_classes) for image in images}
    todo = [point for point in points if point not in table.rows]

    def jobs() -> Iterator[tuple[str, tuple, tuple[CRFPoint, str]]]:
        for point in todo:
            for image in images:
                yield (
                    image.name,
                    (image.input_path, {**point.crf, 'backend': backend}, point.temperature),
                    (point, image.name),
                )

    total = len(points) * len(images)
    with (
        WorkerPool(label_crf_input, workers) as pool,
        Progress(total, total - len(todo) * len(images), 'search', 'CRFs') as progress,
    ):
        confusion = ConfusionMatrix(num_classes)
        for count, (_, (point, name), label) in enumerate(pool.map(jobs()), start=1):  # in the order of submission
            confusion.update(truths[name], label)
            progress.update()
            if count % len(images) == 0:
                table.add(point, confusion)
                confusion = ConfusionMatrix(num_classes)

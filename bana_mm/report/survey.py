"""Label maps and predictions of the images of a run: how good they are, image by image and class by class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from bana_mm.datasets.image_ids import image_id
from bana_mm.datasets.metainfo import without_background
from bana_mm.evaluation import ConfusionMatrix
from bana_mm.evaluation.filling_rates import GROUND_TRUTH, FillingRates
from bana_mm.labels.data import config_scope
from bana_mm.structures import IGNORE, read_label_png
from bana_mm.utils.config import find_pseudo_labels
from bana_mm.utils.config.datasets import inner_dataset
from bana_mm.utils.progress import Progress

from .gather import Findings, Training

Truth = Callable[..., np.ndarray | None]


@dataclass
class MapFolder:
    """Label maps ``ID.png`` of one kind.

    Args:
        caption (str): What the page calls them.
        folder (Path): Where they are.
        kind (str): 'labels', 'prediction', or 'region', which is drawn but not compared with masks.
    """

    caption: str
    folder: Path
    kind: str

    def has(self, img_id: str) -> bool:
        """Whether there is one of this image."""
        return self._path(img_id).is_file()

    def read(self, info: Mapping[str, Any], size: tuple[int, int] | None = None) -> np.ndarray | None:
        """The map of an image, (H, W) uint8; None where there is none.

        Raises:
            ValueError: If it can't be read, or has another size than (H, W); the message names the file.
        """
        img_id = image_id(info)
        return read_label_png(self._path(img_id), size) if self.has(img_id) else None

    def _path(self, img_id: str) -> Path:
        return self.folder / f'{img_id}.png'


@dataclass
class ImageSet:
    """The images that the page is about.

    Args:
        dataset (BaseDataset): Items with ``img_path``, and ``instances`` where they have them.
        split (str): Its name.
        truth (Callable): True label map of an item, (H, W) uint8, whose size may be asked for; None without one.
    """

    dataset: Any
    split: str
    truth: Truth


def mask_file(info: Mapping[str, Any], size: tuple[int, int] | None = None) -> np.ndarray | None:
    """The mask of an item in a file of its own, where it has one.

    Raises:
        ValueError: If it can't be read, or has another size than (H, W); the message names the file.
    """
    return read_label_png(info['seg_map_path'], size) if info.get('seg_map_path') else None


@dataclass
class ImageFigures:
    """Figures of an image.

    Args:
        info (dict): The data set's item.
        img_id (str): Its id.
        scores (dict[str, float | None]): mIoU in [0, 1] over the classes that its mask holds, by caption of the maps.
    """

    info: Mapping[str, Any]
    img_id: str
    scores: dict[str, float | None] = field(default_factory=dict)


@dataclass
class Survey:
    """What maps of a data set are worth.

    Args:
        classes (tuple[str, ...]): Object classes 1..L.
        split (str): Name of the list of images.
        total (int): Images of the data set.
        images (list[ImageFigures]): Those that were looked at.
        maps (list[MapFolder]): What was looked at.
        truth (Callable): See :class:`ImageSet`. Defaults to :func:`mask_file`.
        confusions (dict[str, ConfusionMatrix]): Against the masks, by caption; empty without masks.
        rates (dict[str, FillingRates]): Of the boxes, by caption, and :data:`GROUND_TRUTH`.
    """

    classes: tuple[str, ...]
    split: str
    total: int
    images: list[ImageFigures]
    maps: list[MapFolder]
    truth: Truth = mask_file
    confusions: dict[str, ConfusionMatrix] = field(default_factory=dict)
    rates: dict[str, FillingRates] = field(default_factory=dict)

    @property
    def ranked_by(self) -> MapFolder | None:
        """The maps whose scores order the images: the last predictions, else the first labels; None without masks."""
        scored = [one for one in self.maps if any(image.scores.get(one.caption) is not None for image in self.images)]
        return next((one for one in scored[::-1] if one.kind == 'prediction'), scored[0] if scored else None)

    def choose(self, number: int) -> list[tuple[str, ImageFigures]]:
        """The best, median and worst images, a third each; without scores some that lie evenly.

        Args:
            number (int): How many in all.

        Returns:
            list[tuple[str, ImageFigures]]: 'best', 'median', 'worst' or 'evenly chosen', and the image.
        """
        by = self.ranked_by
        ranked = [] if by is None else [one for one in self.images if one.scores.get(by.caption) is not None]
        if not ranked:
            positions = np.linspace(0, len(self.images) - 1, min(number, len(self.images))).round().astype(int)
            return [('evenly chosen', self.images[position]) for position in positions]
        ranked.sort(key=lambda one: -one.scores[by.caption])
        number = min(number, len(ranked))
        best = -(-number // 3)
        worst = -(-(number - best) // 2)
        between = number - best - worst
        start = min(max((len(ranked) - between) // 2, best), len(ranked) - worst - between)
        return [
            *(('best', one) for one in ranked[:best]),
            *(('median', one) for one in ranked[start : start + between]),
            *(('worst', one) for one in ranked[len(ranked) - worst :]),
        ]


def map_folders(findings: Findings, main: Training | None, given: Mapping[str, str | Path]) -> list[MapFolder]:
    """Labels and predictions that are there.

    Args:
        findings (Findings): What was found.
        main (Training | None): The training whose labels are shown, and whose predictions come last.
        given (Mapping[str, str | Path]): Further predictions: caption to folder.
    """
    maps = []
    labels = main_labels(findings, main)
    if labels is not None:
        maps += [MapFolder(name, labels.store.root / name, 'labels') for name in labels.store.maps]
    predicted = [one for one in findings.trainings if one.predictions is not None]
    for training in sorted(predicted, key=lambda one: one is main):  # the main one last
        caption = f'prediction, {training.name}' if len(predicted) > 1 else 'prediction'
        maps.append(MapFolder(caption, training.predictions, 'prediction'))
    return [*(MapFolder(name, Path(folder), 'prediction') for name, folder in given.items()), *maps]


def main_labels(findings: Findings, main: Training | None) -> Any:
    """The labels that a training was trained on, else the first ones; None without any."""
    folder = None if main is None else main.pseudo_labels.get('dir')
    if folder:
        for one in findings.labels:
            if one.store.root.resolve() == Path(folder).resolve():
                return one
    return findings.labels[0] if findings.labels else None


def build_images(cfg: Config, maps: Sequence[MapFolder]) -> ImageSet | None:
    """The images of a config that the maps are about.

    Args:
        cfg (Config): Config of a training.
        maps (Sequence[MapFolder]): Labels and predictions.

    Returns:
        ImageSet | None: The first of its test, validation and training sets of which maps are there, else the test set;
        None where it has no data set of images with boxes or masks, or its files are not there.
    """
    masks = 'json' in (find_pseudo_labels(cfg) or {})  # that file is the data set's own; labels in folders are not
    changes = {} if masks else dict(pseudo_labels=None)
    first = None
    for mode in ('test', 'val', 'train'):
        dataset = build_dataset(cfg, mode, **changes)
        if dataset is None:
            continue
        found = ImageSet(dataset, str(Path(getattr(dataset, 'ann_file', '') or mode).stem), mask_file)
        ids = [image_id(dataset.get_data_info(index)) for index in range(min(len(dataset), 50))]
        if any(one.has(img_id) for one in maps for img_id in ids):
            return found
        first = first or found
    return first


def build_dataset(cfg: Config, mode: str, **changes: Any) -> Any:
    """A data set of a config without its transforms, all images of it.

    Args:
        cfg (Config): Config of a training.
        mode (str): 'train', 'val' or 'test'.
        changes (Any): Further arguments of the data set in place of those of the config; None takes one away.

    Returns:
        BaseDataset | None: None where it has none, or its files are not there, which is said.
    """
    loader = cfg.get(f'{mode}_dataloader')
    if not loader:
        return None
    config = dict(inner_dataset(loader['dataset']), pipeline=[], test_mode=True, **changes)
    if mode == 'train':
        config['filter_cfg'] = None
    try:
        with config_scope(cfg):
            dataset = DATASETS.build({key: value for key, value in config.items() if value is not None})
        dataset.full_init()
    except FileNotFoundError as error:
        print(f'no pictures of the {mode} set: {error}')
        return None
    return dataset


def survey_images(images: ImageSet, maps: Sequence[MapFolder], most: int) -> Survey:
    """Compare maps with masks, and measure how far they fill the boxes.

    Args:
        images (ImageSet): The images.
        maps (Sequence[MapFolder]): What to look at; a map that is missing for an image counts there as not given.
        most (int): At most this many images, evenly from the data set.

    Raises:
        ValueError: If a map or mask can't be read or is of another size than its image; the message names it.
    """
    dataset, compared = images.dataset, [one for one in maps if one.kind != 'region']
    classes = tuple(without_background(dataset.metainfo.get('classes') or ()))
    positions = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int)).tolist()
    survey = Survey(classes, images.split, len(dataset), [], list(maps), images.truth)
    confusions = {one.caption: ConfusionMatrix(len(classes)) for one in compared}
    rates = {name: FillingRates() for name in (GROUND_TRUTH, *confusions)}
    with Progress(len(positions), title='report') as progress:
        for position in positions:
            info = dataset.get_data_info(position)
            image = ImageFigures(info, image_id(info))
            survey.images.append(image)
            ground_truth = images.truth(info)
            size = None if ground_truth is None else ground_truth.shape
            read = {one.caption: one.read(info, size) for one in compared}
            labels = {caption: label for caption, label in read.items() if label is not None}
            boxes, indices = boxes_of(info)
            valid = None
            if ground_truth is not None:
                valid = ground_truth != IGNORE
                rates[GROUND_TRUTH].update(ground_truth, boxes, indices)
            for caption, label in labels.items():
                rates[caption].update(label, boxes, indices, valid)
                if ground_truth is not None:
                    own = ConfusionMatrix(len(classes))
                    own.update(ground_truth, label, image.img_id)
                    confusions[caption].counts += own.counts
                    score = own.mean_iou()
                    image.scores[caption] = score if score == score else None
            progress.update()
    survey.confusions = {name: one for name, one in confusions.items() if one.counts.any()}
    survey.rates = {name: one for name, one in rates.items() if len(one.rates)}
    return survey


def boxes_of(info: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of an item that are not ignored, (K, 4) float xyxy, and their class indices 1..L, (K,)."""
    kept = [one for one in info.get('instances') or () if not one.get('ignore_flag')]
    boxes = np.array([one['bbox'] for one in kept], dtype=float).reshape(-1, 4)
    return boxes, np.array([one['bbox_label'] + 1 for one in kept], dtype=np.int64)

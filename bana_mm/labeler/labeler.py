"""Masks from boxes in Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.labels import LabelItems, LabelSource, MemorySink, build_label_source
from bana_mm.labels.runner import check_complete, label_images
from bana_mm.labels.sources import SourceConfig
from bana_mm.utils.run_options import RunOptions, default_device

from .batch import BatchLabels
from .both import BothSource
from .items import CHANNEL_ORDERS, GivenItems, given_item, images_in, of_images
from .result import BoxLabels

Image = np.ndarray | str | Path


class BoxLabeler:
    """Makes masks of the objects in boxes, with any source of labels::

        from bana_mm import BoxLabeler

        labeler = BoxLabeler('grabcut')  # no model, no training
        result = labeler('dog.jpg', [[48, 240, 195, 371]], ['dog'])
        result.label_map  # (H, W) uint8: 0 background, 1..L classes, 255 ignored
        result.masks  # (K, H, W) bool, one a box
        result.show()

    **Arrays are BGR** unless ``channel_order='rgb'`` says otherwise, as in mmcv, mmdet and mmseg: what ``mmcv.imread``
    and ``cv2.imread`` give. Files need no such care.

    Args:
        source (LabelSource | str | dict | Sequence): As ``tools/generate_labels.py --source`` takes it: 'box',
            'grabcut', 'box_crf', 'sam:MODEL', 'classifier:CONFIG:CHECKPOINT', 'A+B', 'A|B', ..., see
            :func:`bana_mm.labels.build_label_source`. Defaults to 'grabcut'.
        classes (Sequence[str] | None): Names of the object classes 1..L. Defaults to None: those that a trained model
            of the source knows; without one, those that a call names, in the order in which they come.
        channel_order (str): Of images given as arrays, 'bgr' or 'rgb'. Defaults to 'bgr'.
        device (str | None): Of the source's network. Defaults to None, 'cuda' where there is one, else 'cpu'.
        batch_size (int): Most images of one size that the network sees at once. Defaults to 1.
        workers (int): Processes for what needs no network (GrabCut, the CRF). They pay for many images. Defaults to 0.
        progress (bool | None): Whether to show progress. Defaults to None: of more than one image.

    Raises:
        KeyError: If no source has that name.
        FileNotFoundError: If a file of the source is missing.
        ValueError: For another channel order, or parameters that the source doesn't take.
    """

    def __init__(
        self,
        source: LabelSource | SourceConfig = 'grabcut',
        classes: Sequence[str] | None = None,
        channel_order: str = 'bgr',
        device: str | None = None,
        batch_size: int = 1,
        workers: int = 0,
        progress: bool | None = None,
    ) -> None:
        if channel_order not in CHANNEL_ORDERS:
            raise ValueError(f'channel_order must be one of {", ".join(CHANNEL_ORDERS)}, got {channel_order!r}')
        self.options = RunOptions(workers, None, batch_size, device or default_device())
        self.source = build_label_source(source)
        self.source.use_device(self.options.device)
        self.classes = self.source.class_names if classes is None else tuple(classes)
        self.channel_order = channel_order
        self.progress = progress
        self.source.bind(self.classes or ())  # finds out now what is missing

    def __call__(
        self,
        image: Image | Sequence[Image],
        boxes: Any,
        classes: Any = None,
        ignored: Any = None,
    ) -> 'BoxLabels | BatchLabels':
        """Label an image, several, or a folder of them.

        ========================  ==========================================  =========================================
        ``image``                 ``boxes`` and ``ignored``                   ``classes``
        ========================  ==========================================  =========================================
        an array or a file        (K, 4) numbers                              K names, or indices 1..L
        several in a list         as many of these in a list                  as many of these in a list
        a folder                  a dict of these by file name                a dict of these by file name
        a folder                  COCO's JSON of its boxes (a path)           None: those of the file
        ========================  ==========================================  =========================================

        Args:
            image (np.ndarray | str | Path | Sequence): (H, W, 3) uint8 (see ``channel_order``), a file, a folder, or
                several arrays and files. Files are turned by their EXIF orientation.
            boxes (array-like | Mapping | str | Path): xyxy in pixel edges, 0-based, half-open: [0, 0, W, H] is the
                whole image, [3, 5, 4, 6] the pixel in column 3 and row 5. Rounded to whole pixels; what reaches out of
                the image is cut off.
            classes (Sequence | Mapping | None): Of each box. Defaults to None, for COCO's JSON alone.
            ignored (array-like | Mapping | None): Boxes of objects that are neither to be found nor background; pixels
                in these alone are 255. Defaults to None, none.

        Returns:
            BoxLabels | BatchLabels: Of one image its labels; of several, a list of them in the order of the images (of
            a folder by name).

        Raises:
            TypeError: If an image is neither array nor path.
            FileNotFoundError: If a file is missing, or the source has no labels of an image.
            ValueError: If boxes and classes are not as many, a box is empty or lies outside its image, a class is
                unknown, or an image can't be read.
            RuntimeError: If the source fails on an image; the message names it.
        """
        if isinstance(image, (str, Path)) and Path(image).is_dir():
            if isinstance(boxes, (str, Path)):
                return self._label(self._of_coco(boxes, image))
            return self._label(self._of_folder(image, boxes, classes, ignored))
        if isinstance(boxes, (str, Path)):
            raise ValueError(f"{boxes}: COCO's JSON goes with the folder of its images, got {image!r} as image")
        if isinstance(image, (list, tuple)) or (isinstance(image, np.ndarray) and image.ndim == 4):
            images = list(image)
            return self._label(self._given(images, boxes, classes, ignored, [_name(*one) for one in enumerate(images)]))
        return self._label(self._given([image], [boxes], [classes], [ignored], [_name(None, image)]))[0]

    def __repr__(self) -> str:
        return f'BoxLabeler({self.source!r}, classes={self.classes!r}, device={self.options.device!r})'

    def _label(self, items: GivenItems | LabelItems) -> BatchLabels:
        self.source.bind(items.classes, items.category_ids)
        check_complete(self.source, items)
        sink = MemorySink(len(items), 'masks')
        shown = len(items) > 1 if self.progress is None else self.progress
        label_images(BothSource(self.source), items, sink, self.options, range(len(items)), progress=shown)
        return BatchLabels(
            BoxLabels(items[index], items.classes, sink.answers[index].maps, sink.answers[index])
            for index in range(len(items))
        )

    def _of_folder(self, folder: str | Path, boxes: Any, classes: Any, ignored: Any) -> GivenItems:
        for what, given in (('boxes', boxes), ('classes', classes)):
            if not isinstance(given, Mapping):
                raise ValueError(f"{folder}: of a folder, {what} are a dict by file name, or boxes are COCO's JSON")
        paths = images_in(folder)
        given = [of_images(one, folder, paths, what) for one, what in ((boxes, 'boxes'), (classes, 'classes'))]
        left = dict.fromkeys(boxes, ()) if ignored is None else {**dict.fromkeys(boxes, ()), **ignored}
        names = [path.relative_to(folder).with_suffix('').as_posix() for path in paths]
        return self._given(paths, *given, of_images(left, folder, paths, 'ignored boxes'), names)

    def _of_coco(self, ann_file: str | Path, folder: str | Path) -> LabelItems:
        from bana_mm.labels.data import build_coco_dataset

        return LabelItems(build_coco_dataset(ann_file, folder, id_from='file_name'))

    def _given(
        self, images: Sequence[Image], boxes: Any, classes: Any, ignored: Any, names: Sequence[str]
    ) -> GivenItems:
        ignored = [None] * len(images) if ignored is None else ignored
        for what, given in (('boxes', boxes), ('classes', classes), ('ignored', ignored)):
            if given is None or len(given) != len(images):
                number = 'none' if given is None else len(given)
                raise ValueError(f'{len(images)} images need a list of {what} each, got {number}')
        known = self.classes if self.classes is not None else _named(classes)
        indices = [_indices(of_image, known, name) for of_image, name in zip(classes, names)]
        if known is None:
            known = tuple(str(index) for index in range(1, max(map(max, filter(None, indices)), default=0) + 1))
        items = [
            given_item(image, of_image, index, name, self.channel_order, left)
            for image, of_image, index, name, left in zip(images, boxes, indices, names, ignored)
        ]
        return GivenItems(items, known)


def _name(number: int | None, image: Any) -> str:
    if isinstance(image, (str, Path)):
        return Path(image).stem
    return 'image' if number is None else f'image_{number}'


def _named(classes: Sequence[Any]) -> tuple[str, ...] | None:
    """Names in the order in which they come; None where there are none."""
    names = dict.fromkeys(one for of_image in classes for one in _listed(of_image) if isinstance(one, str))
    return tuple(names) or None


def _listed(classes: Any) -> list[str | int]:
    if isinstance(classes, str) or classes is None:
        raise ValueError(f'classes are a list with one name or index for each box, got {classes!r}')
    return classes.tolist() if hasattr(classes, 'tolist') else list(classes)


def _indices(classes: Any, known: Sequence[str] | None, image: str) -> list[int]:
    """Class indices 1..L of names and indices."""
    indices = []
    for one in _listed(classes):
        if isinstance(one, str):
            if one not in (known or ()):
                raise ValueError(f'{image}: there is no class {one!r}; the classes are {", ".join(known or ())}')
            indices.append(known.index(one) + 1)
        else:
            if one != int(one) or not 1 <= one <= (254 if known is None else len(known)):
                told = '254' if known is None else f'{len(known)} ({", ".join(known)})'
                raise ValueError(f'{image}: class indices lie in 1..{told}, got {one!r}; 0 is the background')
            indices.append(int(one))
    return indices

"""An image that is to be labelled."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from bana_mm.structures import BoxLayout
from bana_mm.utils.image_files import check_image_file, check_image_size, image_size


def read_rgb(path: str, backend_args: Mapping[str, Any] | None = None) -> np.ndarray:
    """An image as the pipelines read it: (H, W, 3) uint8, RGB, turned by its EXIF orientation.

    Args:
        path (str): The file.
        backend_args (Mapping | None): Of mmengine's file backend. Defaults to None, the local disk.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it can't be read, see :func:`bana_mm.utils.image_files.check_image_file`.
    """
    import mmcv  # slow to import, and only who reads images needs it

    if backend_args is None:
        check_image_file(path)
    image = mmcv.imread(path, backend_args=backend_args)  # None for what is no image; asked for RGB it would fail
    if image is None:
        raise ValueError(f'{path}: image cannot be read')
    return mmcv.bgr2rgb(image)


@dataclass(eq=False)
class LabelItem:
    """An image and its boxes.

    Args:
        layout (BoxLayout): Its boxes and their classes 1..L.
        img_id (str | None): Its id, for sources that look labels up and for naming files. Defaults to None.
        img_path (str | None): The file, for messages and for reading it when it is first asked for. Defaults to None.
        pixels (np.ndarray | None): (H, W, 3) uint8 RGB. Defaults to None, read from ``img_path``.
        number (int | None): The image's number in a COCO file, where its id is another. Defaults to None.
        backend_args (Mapping | None): See :func:`read_rgb`. Defaults to None.
        original (LabelItem | None): The image of which this is a smaller copy. Defaults to None, it is none.
        copies (dict): Pixels of smaller copies by height and width, once they were asked for; the image with other
            boxes (``dataclasses.replace``) shares them.
    """

    layout: BoxLayout
    img_id: str | None = None
    img_path: str | None = None
    pixels: np.ndarray | None = None
    number: int | None = None
    backend_args: Mapping[str, Any] | None = None
    original: 'LabelItem | None' = None
    copies: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def from_array(
        cls,
        image: np.ndarray,
        boxes: np.ndarray,
        classes: np.ndarray | Sequence[int],
        img_id: str | None = None,
        ignored: np.ndarray | None = None,
    ) -> 'LabelItem':
        """From an image in memory.

        Args:
            image (np.ndarray): (H, W, 3) uint8 RGB.
            boxes, classes, ignored: See :meth:`BoxLayout.from_boxes`.
            img_id (str | None): Its id. Defaults to None.

        Raises:
            ValueError: If image, boxes or classes have another shape or type, or a box is not finite.
        """
        _check_image(image)
        return cls(BoxLayout.from_boxes(image.shape[:2], boxes, classes, ignored), img_id, pixels=image)

    @classmethod
    def from_info(
        cls,
        info: Mapping[str, Any],
        image: np.ndarray | None = None,
        backend_args: Mapping[str, Any] | None = None,
    ) -> 'LabelItem':
        """From an item of a data set.

        Args:
            info (Mapping): With ``img_path`` and ``instances``, and maybe ``img_id``, ``height`` and ``width``.
            image (np.ndarray | None): (H, W, 3) uint8 RGB, where it is in memory. Defaults to None.
            backend_args (Mapping | None): See :func:`read_rgb`. Defaults to None.

        Raises:
            ValueError: If ``image`` has another size than the item says, or is no such array.
        """
        size = (info['height'], info['width']) if info.get('height') and info.get('width') else None
        if image is not None:
            _check_image(image)
            if size is not None:
                check_image_size(info.get('img_path'), image.shape[:2], size)
            size = image.shape[:2]
        elif size is None:
            size = image_size(info['img_path'])
        img_id = info.get('img_id')
        return cls(
            BoxLayout.from_instances(size, info['instances']),
            None if img_id is None else str(img_id),
            info.get('img_path'),
            image,
            info.get('coco_id'),
            backend_args,
        )

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB; read when it is first asked for.

        Raises:
            FileNotFoundError: If its file is missing.
            ValueError: If it can't be read, or has another size than its annotations say.
        """
        if self.pixels is None:
            self.pixels = self._read() if self.original is None else self.original._copy(self.layout.size)
        return self.pixels

    def at_working_size(self, most: int | None) -> 'LabelItem':
        """The image with its boxes, made smaller where it has more pixels than a source is to work on.

        Args:
            most (int | None): Most pixels; None for any number.

        Returns:
            LabelItem: A copy of about that many pixels and of the same shape, with the boxes of
            :meth:`BoxLayout.scaled`; the image itself where it is no larger, or a copy already. The pixels of a copy
            are read when they are first asked for, and then those of the image are not kept for it.
        """
        height, width = self.layout.size
        if most is None or height * width <= most or self.original is not None:
            return self
        scale = math.sqrt(most / (height * width))
        size = max(1, int(height * scale)), max(1, int(width * scale))
        return replace(self, layout=self.layout.scaled(size), pixels=None, original=self)

    def without_pixels(self) -> 'LabelItem':
        """The same with no pixels in memory that can be read again; of a copy, also without its original."""
        return replace(self, pixels=self.pixels if self.img_path is None else None, original=None, copies={})

    def _read(self) -> np.ndarray:
        pixels = read_rgb(self.img_path, self.backend_args)
        check_image_size(self.img_path, pixels.shape[:2], self.layout.size)
        return pixels

    def _copy(self, size: tuple[int, int]) -> np.ndarray:
        """The pixels of a smaller copy, each the mean of those that it covers: (h, w, 3) uint8 RGB."""
        if size not in self.copies:
            pixels = self._read() if self.pixels is None else self.pixels
            self.copies[size] = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
        return self.copies[size]


class LabelItems(Sequence[LabelItem]):
    """The images of a data set, as label sources take them.

    Args:
        dataset (BaseDataset): Items with ``img_path`` and ``instances``; ``img_id``, ``height`` and ``width`` where
            they have them.
    """

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset
        self.backend_args = getattr(dataset, 'backend_args', None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> LabelItem:
        return LabelItem.from_info(self.dataset.get_data_info(index), backend_args=self.backend_args)

    @property
    def img_ids(self) -> list[str]:
        """Ids of all images."""
        return [str(self.dataset.get_data_info(index)['img_id']) for index in range(len(self))]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the object classes 1..L."""
        return tuple(name for name in self.dataset.metainfo['classes'] if name != 'background')

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """Ids of the object classes in a COCO file, if the data set is one."""
        label_of = getattr(self.dataset, 'cat2label', None)
        if not label_of:
            return None
        return tuple(category for category, _ in sorted(label_of.items(), key=lambda pair: pair[1]))

    @property
    def ann_file(self) -> str | None:
        """The COCO file that they come from, if they do."""
        return None if self.category_ids is None else self.dataset.ann_file

    def size(self, index: int) -> tuple[int | None, int | None]:
        """Height and width of an image as its annotations name them."""
        info = self.dataset.get_data_info(index)
        return info.get('height'), info.get('width')

    @property
    def most_pixels(self) -> int:
        """Pixels of the largest image; of images whose annotations name no size as their files say."""
        most = 0
        for index in range(len(self)):
            height, width = self.size(index)
            if not height or not width:
                try:
                    height, width = image_size(self.path(index))
                except (OSError, ValueError):  # said when it is this image's turn
                    continue
            most = max(most, height * width)
        return most

    def path(self, index: int) -> str:
        """The file of an image."""
        return self.dataset.get_data_info(index)['img_path']


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')

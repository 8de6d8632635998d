"""Images and boxes as people hand them over, checked and made into what label sources take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bana_mm.labels import LabelItem
from bana_mm.structures import BoxLayout
from bana_mm.utils.image_files import image_size

CHANNEL_ORDERS = ('bgr', 'rgb')


class GivenItems(Sequence[LabelItem]):
    """Images that belong to no data set; the part of :class:`bana_mm.labels.LabelItems` that labelling needs.

    Args:
        items (Sequence[LabelItem]): Each with an id.
        classes (Sequence[str]): Names of the object classes 1..L.
    """

    category_ids = None

    def __init__(self, items: Sequence[LabelItem], classes: Sequence[str]) -> None:
        self.items = items
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> LabelItem:
        item = self.items[index]
        return item if item.img_path is None else item.without_pixels()  # those that are read go with this one

    @property
    def img_ids(self) -> list[str]:
        """Ids of all images."""
        return [item.img_id for item in self.items]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image."""
        return self.items[index].layout.size

    def path(self, index: int) -> str:
        """The file of an image, or its id."""
        return self.items[index].img_path or self.items[index].img_id


def given_item(
    image: Any, boxes: Any, classes: Sequence[int], img_id: str, channel_order: str, ignored: Any = None
) -> LabelItem:
    """One image with its boxes.

    Args:
        image (np.ndarray | str | Path): (H, W, 3) uint8 with its channels in ``channel_order``, or a file.
        boxes (np.ndarray | Tensor | Sequence): (K, 4), xyxy in pixel edges, 0-based, half-open.
        classes (Sequence[int]): K class indices 1..L.
        img_id (str): What messages and files call it.
        channel_order (str): 'bgr' or 'rgb'.
        ignored (np.ndarray | Tensor | Sequence | None): (J, 4), boxes of objects that are neither to be found nor
            background. Defaults to None.

    Raises:
        TypeError: If ``image`` is neither.
        FileNotFoundError: If the file is missing.
        ValueError: If the file is no image, an array is no such image, or a box is empty or lies outside.
    """
    if isinstance(image, (str, Path)):
        size = image_size(image)
        kept, left = (_checked(one, size, str(image)) for one in (boxes, () if ignored is None else ignored))
        return LabelItem(BoxLayout.from_boxes(size, kept, classes, left), img_id, str(image))
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f'{img_id}: an image is a path or an array (H, W, 3) uint8 in {channel_order.upper()}, got '
            f'{type(image).__name__}'
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'{img_id}: an image is an array (H, W, 3) uint8, got {image.shape} {image.dtype}')
    rgb = np.ascontiguousarray(image[..., ::-1]) if channel_order == 'bgr' else image
    kept, left = (_checked(one, image.shape[:2], img_id) for one in (boxes, () if ignored is None else ignored))
    return LabelItem.from_array(rgb, kept, classes, img_id, left)


def images_in(folder: str | Path) -> list[Path]:
    """All images in a folder and the folders in it, by name.

    Raises:
        FileNotFoundError: If there are none.
    """
    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    found = sorted(path for path in Path(folder).rglob('*') if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise FileNotFoundError(f'{folder}: there is no image in this folder')
    return found


def of_images(given: Mapping[str, Any], folder: str | Path, paths: Sequence[Path], what: str) -> list[Any]:
    """What is given for the images of a folder, in the order of the images.

    Args:
        given (Mapping[str, Any]): By file name as seen from the folder, with or without its suffix.
        folder (str | Path): The folder.
        paths (Sequence[Path]): Its images.
        what (str): What it is, for messages: 'boxes' or 'classes'.

    Raises:
        ValueError: If an image has nothing.
        FileNotFoundError: If a name is that of no image.
    """
    names = [path.relative_to(folder).as_posix() for path in paths]
    keys = [name if name in given else str(Path(name).with_suffix('').as_posix()) for name in names]
    lacking = [name for name, key in zip(names, keys) if key not in given]
    if lacking:
        raise ValueError(
            f'{folder}: no {what} are given for {len(lacking)} of {len(names)} images ({", ".join(lacking[:3])}); give '
            'an empty list for those without an object'
        )
    unknown = sorted(set(given) - set(keys))
    if unknown:
        raise FileNotFoundError(f'{folder}: {what} are given for {unknown[0]!r}, but there is no such image')
    return [given[key] for key in keys]


def _checked(boxes: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """Boxes as an array (K, 4) float64, none of them empty or outside the image."""
    boxes = getattr(boxes, 'tensor', boxes)  # mmdet's boxes
    boxes = np.asarray(boxes.detach().cpu() if hasattr(boxes, 'detach') else boxes, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'{name}: boxes are (K, 4), each x1, y1, x2, y2, got shape {boxes.shape}')
    height, width = size
    for number, box in enumerate(boxes):
        x1, y1, x2, y2 = box.tolist()
        where = f'{name}: box {number} ({x1:g}, {y1:g}, {x2:g}, {y2:g})'
        if not np.isfinite(box).all():
            raise ValueError(f'{where}: its edges must be finite numbers')
        if x2 <= x1 or y2 <= y1:
            raise ValueError(
                f'{where}: is empty; x1 must be less than x2 and y1 less than y2 (not x, y, width, height)'
            )
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            raise ValueError(f'{where}: lies outside the image of {width} x {height} pixels (width x height)')
    return boxes

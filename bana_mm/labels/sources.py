"""Label maps from an image and its boxes, without a network."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from bana_mm.functional import inside_boxes, pixel_boxes
from bana_mm.registry import LABEL_SOURCES

from .merge import agree, reliable_region
from .png import IGNORE

PixelBox = tuple[int, int, int, int]
SourceConfig = str | dict[str, Any] | Sequence[str | dict[str, Any]]


def build_label_source(source: SourceConfig) -> 'LabelSource':
    """Build a label source by name or config, whatever the default scope is.

    Args:
        source (str | dict | Sequence): ``'box'``, ``'grabcut'``, ``'box_crf'``, ``'files:PATH'``, or a config such as
            ``dict(type='grabcut', iterations=3)``. Several of these, in a list or in one string joined by ``+`` (which
            no path then may contain), are merged, see :class:`MergedSource`.

    Returns:
        LabelSource: The source.

    Raises:
        KeyError: If no source has that name.
    """
    if isinstance(source, str):
        names = source.split('+')
        name, colon, path = source.partition(':')
        config = dict(type='merged', sources=names) if len(names) > 1 else dict(type=name)
        if len(names) == 1 and colon:
            config.update(path=path)
    else:
        config = dict(source) if isinstance(source, dict) else dict(type='merged', sources=source)
    name = config.pop('type', None)
    source_class = LABEL_SOURCES.get(name) if isinstance(name, str) else None
    if source_class is None:
        raise KeyError(f'no label source is called {name!r}; there are {", ".join(sorted(LABEL_SOURCES.module_dict))}')
    return source_class(**config)


def label_from_instances(source: 'LabelSource', image: np.ndarray, instances: Sequence[dict[str, Any]],
                         img_id: str | None = None) -> np.ndarray:
    """The label map that a source makes of a dataset item.

    Args:
        source (LabelSource): The source.
        image (np.ndarray): (H, W, 3) uint8, RGB.
        instances (Sequence[dict]): Each with ``bbox`` (xyxy in pixel edges), ``bbox_label`` (0..L-1) and
            ``ignore_flag``, as mmengine's datasets hold them.
        img_id (str | None): Id of the image, for sources that look its labels up. Defaults to None.

    Returns:
        np.ndarray: (H, W) uint8, 255 in pixels that lie in ignored boxes only.
    """
    def boxes(flag: bool) -> Tensor:
        chosen = [instance['bbox'] for instance in instances if bool(instance['ignore_flag']) == flag]
        return torch.tensor(chosen, dtype=torch.float64).reshape(-1, 4)

    labels = [instance['bbox_label'] + 1 for instance in instances if not instance['ignore_flag']]
    label_map = source(image, boxes(False).numpy(), np.array(labels, dtype=np.int64), img_id)
    size = image.shape[:2]
    label_map[(inside_boxes(boxes(True), size) & ~inside_boxes(boxes(False), size)).numpy()] = IGNORE
    return label_map


def reliable_label_from_instances(source: 'LabelSource', image: np.ndarray, instances: Sequence[dict[str, Any]],
                                  img_id: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The label map of a dataset item, and where it is reliable.

    Args:
        source (LabelSource): The source. Of merged ones the first gives the label; all must agree where it is reliable.
        image, instances, img_id: See :func:`label_from_instances`.

    Returns:
        tuple[np.ndarray, np.ndarray]: The label map (H, W) uint8, and the reliable region (H, W) bool, nowhere 255.
    """
    parts = source.sources if isinstance(source, MergedSource) else (source, )
    label_maps = [label_from_instances(part, image, instances, img_id) for part in parts]
    return label_maps[0], reliable_region(*label_maps)


class LabelSource(ABC):
    """Makes the label map of an image from its boxes, or looks it up."""

    def __call__(self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray,
                 img_id: str | None = None) -> np.ndarray:
        """Make the label map of an image.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) float, xyxy in pixel edges, 0-based, half-open; rounded and clipped to the image.
            labels (np.ndarray): (K,) int, class indices 1..L.
            img_id (str | None): Id of the image, for sources that look its labels up. Defaults to None.

        Returns:
            np.ndarray: (H, W) uint8, the caller's own. 0 background, 255 ignored.

        Raises:
            ValueError: If image, boxes or labels have another shape or type, or a box is not finite.
        """
        boxes = np.ascontiguousarray(boxes, dtype=np.float64).reshape(-1, 4)
        labels = np.asarray(labels).reshape(-1)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
        if len(boxes) != len(labels):
            raise ValueError(f'{len(boxes)} boxes but {len(labels)} labels')
        if not np.isfinite(boxes).all():
            raise ValueError(f'boxes must be finite, got {boxes.tolist()}')
        if len(labels) and not 1 <= labels.min() <= labels.max() < 255:
            raise ValueError(f'labels must lie in 1..254 (0 is background, 255 ignored), got {labels.tolist()}')

        whole = pixel_boxes(torch.from_numpy(boxes), image.shape[:2]).numpy()
        return self.label_map(image, whole, labels, img_id)

    @abstractmethod
    def label_map(self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None) -> np.ndarray:
        """What :meth:`__call__` returns, from checked input.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) int64, xyxy in whole pixels, not empty, inside the image.
            labels (np.ndarray): (K,) int, class indices 1..L.
            img_id (str | None): Id of the image.

        Returns:
            np.ndarray: (H, W) uint8.
        """

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        """Those of the images that are known to have no labels here, before any is read."""
        return []

    def __repr__(self) -> str:
        fields = ', '.join(f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({fields})'


def paint_smallest_in_front(size: tuple[int, int], boxes: np.ndarray, labels: np.ndarray,
                            object_mask: Callable[[int], np.ndarray]) -> np.ndarray:
    """Label map of one mask a box. Of two boxes of one size the later is in front.

    Args:
        size (tuple[int, int]): Height and width of the image in pixels.
        boxes (np.ndarray): (K, 4) int64, xyxy in whole pixels, not empty, inside the image.
        labels (np.ndarray): (K,) int, class indices 1..L.
        object_mask (Callable[[int], np.ndarray]): Which pixels of a box are its object, (y2 - y1, x2 - x1) bool, from
            the number of the box.

    Returns:
        np.ndarray: (H, W) uint8, 0 outside the objects.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    label_map = np.zeros(size, dtype=np.uint8)
    for k in np.argsort(-area, kind='stable'):
        x1, y1, x2, y2 = boxes[k]
        label_map[y1:y2, x1:x2][object_mask(k)] = labels[k]
    return label_map


class ObjectSource(LabelSource):
    """Looks for the object in one box after the other, and paints them, the smallest box in front."""

    def label_map(self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None) -> np.ndarray:
        return paint_smallest_in_front(image.shape[:2], boxes, labels,
                                       lambda k: self.object_mask(image, tuple(boxes[k].tolist())))

    @abstractmethod
    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        """Which pixels of a box belong to its object.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            box (tuple[int, int, int, int]): x1, y1, x2, y2 in whole pixels, not empty, inside the image.

        Returns:
            np.ndarray: (y2 - y1, x2 - x1) bool.
        """


@LABEL_SOURCES.register_module(name=['box', 'BoxSource'])
class BoxSource(ObjectSource):
    """The whole box is the object."""

    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        x1, y1, x2, y2 = box
        return np.ones((y2 - y1, x2 - x1), dtype=bool)


@LABEL_SOURCES.register_module(name=['grabcut', 'GrabCutSource'])
class GrabCutSource(ObjectSource):
    """GrabCut (Rother et al. 2004, OpenCV's) started from each box: all outside is background for good.

    The whole box is taken where GrabCut has no chance (the box leaves no background, or is a few pixels large) and
    where it finds no object at all.

    Args:
        iterations (int): Rounds of fitting colours and cutting. Defaults to 5.
        min_pixels (int): Smaller boxes, in pixels, are taken as a whole, as are boxes that leave fewer pixels of
            background: below it the two colour models (5 Gaussians each) can't be fitted. Defaults to 16.
        seed (int): Seed of OpenCV's random numbers, set anew for each box. Defaults to 0.
    """

    def __init__(self, iterations: int = 5, min_pixels: int = 16, seed: int = 0) -> None:
        self.iterations = iterations
        self.min_pixels = min_pixels
        self.seed = seed

    def object_mask(self, image: np.ndarray, box: PixelBox) -> np.ndarray:
        x1, y1, x2, y2 = box
        whole_box = np.ones((y2 - y1, x2 - x1), dtype=bool)
        background = image.shape[0] * image.shape[1] - whole_box.size
        if min(whole_box.size, background) < self.min_pixels:
            return whole_box
        state = np.full(image.shape[:2], cv2.GC_BGD, dtype=np.uint8)
        state[y1:y2, x1:x2] = cv2.GC_PR_FGD
        cv2.setRNGSeed(self.seed)
        cv2.grabCut(np.ascontiguousarray(image), state, None, None, None, self.iterations, cv2.GC_INIT_WITH_MASK)
        found = state[y1:y2, x1:x2] == cv2.GC_PR_FGD
        return found if found.any() else whole_box


@LABEL_SOURCES.register_module(name=['merged', 'MergedSource'])
class MergedSource(LabelSource):
    """What several sources agree on; the rest is 255.

    :func:`reliable_label_from_instances` keeps the first source's label there and says that it is not reliable.

    Args:
        sources (Sequence[str | dict]): At least two, each as in :func:`build_label_source`.

    Raises:
        ValueError: If there are fewer than two.
    """

    def __init__(self, sources: Sequence[str | dict[str, Any]]) -> None:
        if isinstance(sources, (str, dict)) or len(sources) < 2:
            raise ValueError(f'merging takes a list of at least two label sources, got {sources!r}')
        self.sources = tuple(build_label_source(source) for source in sources)

    def label_map(self, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, img_id: str | None) -> np.ndarray:
        return agree(*(source.label_map(image, boxes, labels, img_id) for source in self.sources))[0]

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        img_ids = list(img_ids)
        lacking = {img_id for source in self.sources for img_id in source.missing(img_ids)}
        return [img_id for img_id in img_ids if img_id in lacking]

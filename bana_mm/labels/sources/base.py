"""What every source of labels has in common.

A source answers for an image either with label maps or with one mask a box, whichever it is asked for. It never knows
where its answer goes; and what takes the answer never knows who gave it.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.utils.record import NETWORKS_FIELD

from ..item import LabelItem
from .answer import Answer, Kind, LabelMaps, Masks, Task
from .asking import label_map

# Images with more pixels are worked on as a smaller copy, unless a source is told otherwise.
WORKING_PIXELS = 1_000_000


class LabelSource:
    """Makes labels of an image from its boxes, or looks them up, in three steps.

    ::

        for task, context in source.prepare(items, kind):  # here, on the source's device, for several images at once
            result = task.run()  # in any process; nothing where task is None
            answer = source.finish(item, kind, context, result)  # here

    Whoever asks a source does so through :mod:`bana_mm.labels.sources.asking`, which shows it a smaller copy of a large
    image in place of the image, see :attr:`working_pixels`.

    A source without a network has nothing to prepare and leaves all to the task; it holds its parameters as public
    attributes and nothing else, so that it is quick to send to a worker process.

    Attributes:
        name (str): What :func:`bana_mm.labels.build_label_source` calls it.
        text_fields (tuple[str, ...]): Parameters that follow the name in its short form ``NAME:VALUE:...``.
        has_network (bool): Whether :meth:`prepare` runs one: then images are read ahead for it and come in batches.
        takes_any_box (bool): Whether it has an answer for boxes that are a few pixels off those of the data set.
        score_is_iou (bool): Whether the score of a mask predicts its IoU with the true one.
        takes_copies (bool): Whether it can work on a smaller copy of an image.
        in_boxes (bool): Whether its label maps have a class only inside the boxes of that class.
        paints_masks (bool): Whether its label maps are its masks, painted.
    """

    name: str
    text_fields: tuple[str, ...] = ()
    has_network: bool = False
    takes_any_box: bool = True
    score_is_iou: bool = False
    takes_copies: bool = True
    in_boxes: bool = True
    paints_masks: bool = False
    _working_pixels: int | None = WORKING_PIXELS

    @property
    def working_pixels(self) -> int | None:
        """Most pixels of an image that it works on: of a larger one it sees a smaller copy, and its labels are enlarged
        and decided anew along their borders, see :mod:`bana_mm.labels.enlarged`. None for any number. It is no
        parameter of the constructors, but of :func:`build_label_source` and of every source's config.
        """
        return self._working_pixels if self.takes_copies else None

    def work_at(self, pixels: int | None) -> None:
        """Set :attr:`working_pixels`; None works on every image at its own size.

        Raises:
            ValueError: If it is neither None nor an int of at least 1.
        """
        if pixels is not None and (not isinstance(pixels, int) or isinstance(pixels, bool) or pixels < 1):
            raise ValueError(f'{self.name}: working_pixels must be None or an int of at least 1, got {pixels!r}')
        self._working_pixels = pixels

    def working_sizes(self) -> list[int | None]:
        """:attr:`working_pixels` of each source that it asks and that takes copies, by default its own."""
        return [self._working_pixels] if self.takes_copies else []

    def sizes_seen(self) -> Set[int | None]:
        """The :attr:`working_pixels` with which it, or a source that it asks, looks at images."""
        return {self.working_pixels}

    @property
    def map_names(self) -> tuple[str, ...]:
        """Names of the label maps that it answers with; the first is the label of those who take one."""
        return (self.name,)

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        """What needs the source's device.

        Args:
            items (Sequence[LabelItem]): Images.
            kind (str): 'maps' or 'masks'.

        Returns:
            list[tuple[Task | None, Any]]: For each image what is left to do, and what :meth:`finish` is to get back.
        """
        return [(_SourceTask(self, item, kind), None) for item in items]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: Any) -> Answer:
        """The labels.

        Args:
            item (LabelItem): The image; its pixels need not be in memory any more.
            kind (str): 'maps' or 'masks'.
            context (Any): From :meth:`prepare`.
            result (Any): Of the task.

        Returns:
            dict[str, np.ndarray] | list[InstanceMask]: Label maps by the names of :attr:`map_names`, or one mask a box.
        """
        return result

    def answer(self, item: LabelItem, kind: Kind) -> Answer:
        """What a source without a network answers: runs in any process."""
        return self.label_maps(item) if kind == 'maps' else self.masks(item)

    def label_maps(self, item: LabelItem) -> LabelMaps:
        """The label maps of an image; of a source with a network see :meth:`finish`."""
        raise NotImplementedError(f'{self.name}: label maps come from its three steps')

    def masks(self, item: LabelItem) -> Masks:
        """One mask a box; of a source with a network see :meth:`finish`."""
        raise NotImplementedError(f'{self.name}: masks come from its three steps')

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        """Tell which classes are to be labelled, for sources that know classes by name or number.

        Args:
            classes (Sequence[str]): Names of the object classes 1..L of the data set.
            category_ids (Sequence[int] | None): Their ids in a COCO file. Defaults to None.
            same_as (Mapping[str, str | None] | None): See :func:`bana_mm.labels.class_weights.weight_of_classes`.
                Defaults to None.
        """

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the object classes that a network here was trained on; None where there is no such list."""
        return None

    def use_device(self, device: str) -> None:
        """Where networks run, of sources that don't say so themselves.

        Args:
            device (str): Such as 'cuda'.
        """

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        """Those of the images that are known to have no labels here, before any is read."""
        return []

    def record(self, classes: Sequence[str], kind: Kind) -> dict[str, Any]:
        """What decides on the labels, JSON-like, to be stored with them.

        Args:
            classes (Sequence[str]): Names of the object classes 1..L.
            kind (str): 'maps' or 'masks'.
        """
        record = dict(source=self.describe(), classes=list(classes))
        networks: dict[str, Any] = {}
        for name, network in self.networks(kind):
            taken = sum(other == name or other.rpartition('_')[0] == name for other in networks)
            networks[f'{name}_{taken + 1}' if taken else name] = network
        return {**record, NETWORKS_FIELD: networks} if networks else record

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        """What decides on the labels beyond :meth:`describe`, which names files and not what they hold.

        Args:
            kind (str): 'maps' or 'masks'.

        Returns:
            list[tuple[str, dict]]: Of each network or file that is asked, its source's name and, JSON-like,
            ``checkpoint`` or ``sha256``, see :func:`bana_mm.utils.record.file_digest`, ``recipe`` with all of its
            fields, where there is one, and ``model``, see :func:`bana_mm.utils.record.model_settings`.
        """
        return []

    def describe(self) -> dict[str, Any]:
        """Name and parameters, JSON-like: two sources with the same description make the same labels."""
        return dict(type=self.name, **{name: _plain(value) for name, value in self._parameters().items()})

    def _parameters(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith('_')}

    def __repr__(self) -> str:
        fields = ', '.join(f'{name}={value!r}' for name, value in self._parameters().items())
        return f'{type(self).__name__}({fields})'

    def __call__(
        self,
        image: np.ndarray,
        boxes: np.ndarray,
        classes: np.ndarray | Sequence[int],
        img_id: str | None = None,
        ignored: np.ndarray | None = None,
    ) -> np.ndarray:
        """The label map of an image in memory.

        Args:
            image (np.ndarray): (H, W, 3) uint8, RGB.
            boxes (np.ndarray): (K, 4) float, xyxy in pixel edges, 0-based, half-open; rounded and clipped to the image.
            classes (np.ndarray | Sequence[int]): (K,) int, class indices 1..L.
            img_id (str | None): Id of the image, for sources that look its labels up. Defaults to None.
            ignored (np.ndarray | None): (J, 4) float, boxes of objects that are neither to be found nor background.
                Defaults to None.

        Returns:
            np.ndarray: (H, W) uint8, the caller's own: what all maps of the source agree on. 0 background, 255 ignored,
            as are pixels that lie in ignored boxes only.

        Raises:
            ValueError: If image, boxes or classes have another shape or type, or a box is not finite.
        """
        return label_map(self, LabelItem.from_array(image, boxes, classes, img_id, ignored))


@dataclass
class _SourceTask:
    """All the work of a source without a network."""

    source: LabelSource
    item: LabelItem
    kind: Kind

    def run(self) -> Answer:
        _ = self.item.image  # refused for every source alike where it is not of the size that its boxes are for
        return self.source.answer(self.item, self.kind)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

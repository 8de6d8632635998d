"""The labels of one image."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bana_mm.labels import LabelItem
from bana_mm.labels.sources.answer import LabelMaps, Masks
from bana_mm.structures import IGNORE, reliable_region, write_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.visualization import draw_boxes, label_overlay, panel_row
from bana_mm.visualization.panels import IGNORED_COLOUR

from .export import coco_content, labelme_content, write_json, yolo_lines


class BoxLabels:
    """What a source made of an image and its boxes.

    Attributes:
        name (str): The image's file without suffix; 'image', or 'image_0', 'image_1', ... of arrays.
        path (str | None): Its file; None for an array.
        size (tuple[int, int]): Height and width in pixels.
        boxes (np.ndarray): (K, 4) int64, xyxy in pixels, half-open, inside the image.
        box_classes (np.ndarray): (K,) int64, class indices 1..L.
        classes (tuple[str, ...]): Names of the object classes 1..L.
        maps (dict[str, np.ndarray]): All label maps of the source by name, such as ``Y_crf`` and ``Y_ret`` of a
            classifier: (H, W) uint8, 0 background, 1..L classes, 255 ignored.
    """

    def __init__(self, item: LabelItem, classes: tuple[str, ...], maps: LabelMaps, masks: Masks) -> None:
        self._item = item
        self._masks = list(masks)
        self.name = item.img_id
        self.path = item.img_path
        self.size = item.layout.size
        self.boxes = item.layout.boxes.numpy()
        self.box_classes = np.array(item.layout.box_classes, dtype=np.int64)
        self.classes = tuple(classes)
        self.maps = maps

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 **RGB**; of a file read when it is asked for."""
        return self._item.image

    @property
    def label_map(self) -> np.ndarray:
        """(H, W) uint8: 0 background, 1..L classes, 255 ignored. Of several maps of the source the first."""
        return next(iter(self.maps.values()))

    @property
    def reliable(self) -> np.ndarray:
        """(H, W) bool: where all maps of the source name one class (the paper's region S), nowhere ignored."""
        return reliable_region(*self.maps.values())

    @property
    def masks(self) -> np.ndarray:
        """(K, H, W) bool, one mask a box, in the order of the boxes; they may overlap where boxes do."""
        return self._on_image([one.mask for one in self._masks])

    @property
    def unreliable(self) -> np.ndarray:
        """(K, H, W) bool: pixels of each box that are not to be trusted, inside its mask or outside."""
        return self._on_image([one.unreliable for one in self._masks])

    @property
    def scores(self) -> np.ndarray:
        """(K,) float32 in [0, 1], for ranking masks; 0 where nothing was found and the whole box stands in."""
        return np.array([one.score for one in self._masks], dtype=np.float32)

    @property
    def box_names(self) -> list[str]:
        """Name of the class of each box."""
        return [self.classes[index - 1] for index in self.box_classes]

    def to_coco(self, path: str | Path | None = None) -> dict[str, Any]:
        """The image as COCO's JSON of instances.

        A mask is run lengths on the whole image. Beside COCO's fields annotations have ``unreliable`` (run lengths) and
        ``score``, as the files of ``tools/generate_labels.py --out`` do.

        Args:
            path (str | Path | None): Where to write it. Defaults to None, nowhere.

        Returns:
            dict: ``images``, ``annotations`` and ``categories``, whose ids are 1..L.
        """
        content = coco_content([self])
        return content if path is None else write_json(path, content)

    def to_labelme(self, path: str | Path | None = None) -> dict[str, Any]:
        """The masks as polygons in LabelMe's JSON, one shape a piece; those of an object share a ``group_id``.

        Polygons run along the edges of the pixels; a hole is reached over a bridge of no width.

        Args:
            path (str | Path | None): Where to write it; ``imagePath`` is as seen from there. Defaults to None, nowhere.
        """
        content = labelme_content(self, None if path is None else Path(path).parent)
        return content if path is None else write_json(path, content)

    def to_yolo(self, path: str | Path | None = None) -> str:
        """The masks as YOLO's segments: a line for each box, its class 0..L-1 and the corners of its outline.

        Corners are shares of width and height, along the edges of the pixels. Pieces and holes of a mask are joined to
        one outline by bridges of no width.

        Args:
            path (str | Path | None): Where to write them. Defaults to None, nowhere.

        Returns:
            str: The lines; empty without boxes.
        """
        text = ''.join(f'{line}\n' for line in yolo_lines(self))
        if path is not None:
            with whole_file(path) as partial:
                partial.write_text(text, encoding='utf-8')
        return text

    def to_png(self, path: str | Path, reliable_only: bool = False) -> Path:
        """Write the label map as an 8-bit PNG in VOC's colours.

        Args:
            path (str | Path): The file; its folder must exist.
            reliable_only (bool): Whether pixels that are not reliable become 255. Defaults to False.
        """
        label = np.where(self.reliable, self.label_map, IGNORE).astype(np.uint8) if reliable_only else self.label_map
        write_label_png(path, label)
        return Path(path)

    def draw(self) -> np.ndarray:
        """Boxes on the image beside the labels over it (not reliable pixels white), with a legend: uint8 RGB."""
        label = np.where(self.reliable, self.label_map, IGNORE).astype(np.uint8)
        cells = dict(
            boxes=draw_boxes(self.image, self.boxes, self.box_classes), labels=label_overlay(self.image, label)
        )
        return panel_row(cells, self._legend(label))

    def overlay(self) -> np.ndarray:
        """The label map and the boxes over the image, of its size: (H, W, 3) uint8 RGB."""
        return draw_boxes(label_overlay(self.image, self.label_map), self.boxes, self.box_classes)

    def show(self, out_file: str | Path | None = None) -> None:
        """Show :meth:`draw`: in a notebook below the cell, else in a window; or write it.

        Args:
            out_file (str | Path | None): A picture to write instead. Defaults to None.
        """
        picture = Image.fromarray(self.draw())
        if out_file is not None:
            picture.save(out_file)
            return
        from matplotlib import pyplot

        figure = pyplot.figure(self.name, figsize=(picture.width / 100, picture.height / 100))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(picture)
        axes.set_axis_off()
        pyplot.show()

    def _repr_png_(self) -> bytes:
        """What a notebook shows of it."""
        file = io.BytesIO()
        Image.fromarray(self.draw()).save(file, format='PNG')
        return file.getvalue()

    def __repr__(self) -> str:
        found = ', '.join(f'{name} {score:.2f}' for name, score in zip(self.box_names, self.scores)) or 'no boxes'
        height, width = self.size
        return f'BoxLabels({self.name!r}, {height} x {width}: {found})'

    def _on_image(self, parts: list[np.ndarray]) -> np.ndarray:
        whole = np.zeros((len(parts), *self.size), dtype=bool)
        for one, part, (x1, y1, x2, y2) in zip(whole, parts, self.boxes.tolist()):
            one[y1:y2, x1:x2] = part
        return whole

    def _legend(self, label: np.ndarray) -> dict[str, Any]:
        from bana_mm.utils.palette import voc_palette

        palette = voc_palette(256)
        present = sorted({*self.box_classes.tolist(), *np.unique(label).tolist()} - {0, IGNORE})
        named = {i: self.classes[i - 1] if i <= len(self.classes) else str(i) for i in present}
        legend = {named[index]: palette[index] for index in present}
        return {**legend, 'not reliable': IGNORED_COLOUR} if (label == IGNORE).any() else legend

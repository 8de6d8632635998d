"""Names under which the labels and predictions of images are kept, and what goes wrong with them."""

import os.path as osp
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bana_mm.utils.problems import STOP, Problems


def image_id(item: dict[str, Any]) -> str:
    """Id of a data set's item: ``img_id``, else the stem of its path. COCO's ids are numbers."""
    return str(item['img_id']) if 'img_id' in item else Path(item['img_path']).stem


def prediction_name(img_path: str, img_dir: str | None = None) -> str:
    """File of an image's prediction: its path below the folder of the images, or its name alone, as ``.png``."""
    name = osp.basename(img_path)
    if img_dir is not None:
        below = osp.relpath(img_path, img_dir)
        name = name if below.split(osp.sep)[0] == osp.pardir else below
    return osp.splitext(name)[0] + '.png'


class DistinctNames:
    """Refuses two images of one name, which would share what is kept under it.

    Args:
        what (str): What is kept, as the message calls it.
        way_out (str | None): Another way than to rename one of the files. Defaults to None.
    """

    def __init__(self, what: str, way_out: str | None = None) -> None:
        self.what = what
        self.way_out = way_out
        self._paths: dict[str, str] = {}

    def add(self, name: str, path: str) -> None:
        """Note an image; the same one may come again.

        Raises:
            ValueError: If another one has this name; the message names both.
        """
        other = self._paths.setdefault(name, path)
        if other != path:
            raise ValueError(
                f'{self.what} of {other} and {path} would be one, {name!r}: rename one of them' + self._or()
            )

    def add_once(self, name: str, path: str) -> None:
        """Note an image that must not come again, since each time it has annotations of its own."""
        if self._paths.get(name) == path:
            raise ValueError(f'{self.what} of two entries for {path} would be one, {name!r}: join them' + self._or())
        self.add(name, path)

    def _or(self) -> str:
        return '' if self.way_out is None else f', or set {self.way_out}'


def check_distinct(
    names: Iterable[tuple[str, str]], what: str, way_out: str | None = None, problems: Problems = STOP
) -> None:
    """Look for two entries of one name in the data set.

    Args:
        names (Iterable[tuple[str, str]]): Name and path of each image, which must not be there twice either.
        what (str): See :class:`DistinctNames`.
        way_out (str | None): See :class:`DistinctNames`. Defaults to None.
        problems (Problems): What is told of each such entry. Defaults to what stops at the first.

    Raises:
        ValueError: See :class:`DistinctNames`.
    """
    distinct = DistinctNames(what, way_out)
    for name, path in names:
        with problems.guard('same-name', path):
            distinct.add_once(name, path)

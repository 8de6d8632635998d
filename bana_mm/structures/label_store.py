"""Label maps on disk.

Layout: ``ROOT/MAP/ID.png`` (see :mod:`bana_mm.structures.label_png`), MAP being ``Y_crf`` and ``Y_ret`` of a
classifier, else the name of each source, and ``ROOT/meta.json`` that says how they were made. The state of a run is
the files alone, so that a run that was killed goes on where it stopped.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.utils.record import check_record, read_json, write_json
from bana_mm.utils.safe_id import safe_id

from .label_png import read_label_png, write_label_png

NETWORK_MAPS = ('Y_crf', 'Y_ret')


class LabelStore:
    """Read and write the label maps of a data set.

    Args:
        root (str | Path): Folder of the store. It is created by :meth:`begin`, not here.
        maps (Sequence[str] | None): Names of the maps that an image has. Defaults to None, those that ``meta.json``
            names in ``maps``, else ``('Y_crf', 'Y_ret')``.
    """

    def __init__(self, root: str | Path, maps: Sequence[str] | None = None) -> None:
        self.root = Path(root)
        self.maps = self._stored_maps() if maps is None else tuple(maps)

    def path(self, map_name: str, img_id: str) -> Path:
        """File of one map of an image, whether it is there or not.

        Raises:
            ValueError: If the id leads out of the store, see :func:`bana_mm.utils.safe_id.safe_id`.
        """
        return self.root / map_name / f'{safe_id(img_id)}.png'

    def has(self, img_id: str) -> bool:
        """Whether all maps of the image are there."""
        return all(self.path(name, img_id).exists() for name in self.maps)

    def missing(self, img_ids: Iterable[str]) -> list[str]:
        """Those of the images that lack a map, in the given order."""
        return [img_id for img_id in img_ids if not self.has(img_id)]

    def read(
        self, map_name: str, img_id: str, size: tuple[int, int] | None = None, num_classes: int | None = None
    ) -> np.ndarray:
        """Read one map, see :func:`bana_mm.structures.read_label_png`.

        Args:
            map_name (str): ``'Y_crf'`` or ``'Y_ret'``.
            img_id (str): Image id.
            size (tuple[int, int], optional): Height and width of the image. Defaults to None, not checked.
            num_classes (int, optional): Number L of object classes; values 0..L and 255 are allowed. Defaults to
                None, not checked.

        Returns:
            np.ndarray: (H, W) uint8.
        """
        return read_label_png(self.path(map_name, img_id), size, num_classes)

    def write(self, img_id: str, **maps: np.ndarray) -> None:
        """Write maps of an image, each one at once or not at all.

        Args:
            img_id (str): Image id.
            **maps (np.ndarray): (H, W) uint8 by map name.

        Raises:
            ValueError: If a name is not among the store's maps.
        """
        for name, label in maps.items():
            if name not in self.maps:
                raise ValueError(f'{self.root}: no map is called {name!r}; this store holds {", ".join(self.maps)}')
            path = self.path(name, img_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_png(path, label)

    @property
    def meta(self) -> dict[str, Any]:
        """How the labels were made; empty where nothing says so."""
        path = self.root / 'meta.json'
        return read_json(path) if path.exists() else {}

    def begin(self, meta: dict[str, Any], overwrite: bool = False) -> None:
        """Create the store or go on with it; all labels in it were made in one way.

        Args:
            meta (dict): JSON-like: recipe, checkpoint, classes, ... of this run.
                ``maps`` is added where they are others than ``('Y_crf', 'Y_ret')``.
            overwrite (bool): Drop the labels that are there. They go at once, so that such a run, when killed, goes on
                without this flag. Defaults to False.

        Raises:
            ValueError: If the store was begun with another ``meta``; the message names the first field that differs.
        """
        if self.maps != NETWORK_MAPS:
            meta = dict(meta, maps=self.maps)
        stored = self.meta
        names = dict.fromkeys([*self.maps, *self._stored_maps()])
        labels = [path for name in names for path in (self.root / name).rglob('*.png')]
        way_out = 'choose another folder, or make all labels anew with --overwrite'
        if overwrite:
            # The record goes first: labels without one are never taken for finished ones.
            (self.root / 'meta.json').unlink(missing_ok=True)
            for path in labels:
                path.unlink()
        elif not stored and labels:
            raise ValueError(
                f'{self.root}: holds {len(labels)} label maps but no meta.json that says how they were made; {way_out}'
            )
        elif stored:
            check_record(self.root, stored, meta, 'its labels were made', way_out)
        for name in self.maps:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            for leftover in (self.root / name).rglob('.*.part'):  # of a run that was killed
                leftover.unlink()
        write_json(self.root / 'meta.json', meta)

    def _stored_maps(self) -> tuple[str, ...]:
        return tuple(self.meta.get('maps', NETWORK_MAPS))

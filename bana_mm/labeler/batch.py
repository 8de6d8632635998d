"""The labels of several images."""

from collections import Counter
from pathlib import Path
from typing import Any

from bana_mm.utils.atomic import whole_file

from .export import coco_content, write_json
from .result import BoxLabels


class BatchLabels(list[BoxLabels]):
    """A list of :class:`BoxLabels`, which are written to a folder as ``NAME.png``, ``NAME.json`` or ``NAME.txt``."""

    def to_coco(self, path: str | Path | None = None) -> dict[str, Any]:
        """All images in one COCO JSON, see :meth:`BoxLabels.to_coco`.

        Args:
            path (str | Path | None): Where to write it. Defaults to None, nowhere.
        """
        names = [one.name + (Path(one.path).suffix if one.path else '') for one in self]
        content = coco_content(self, names)
        return content if path is None else write_json(path, content)

    def to_png(self, folder: str | Path, reliable_only: bool = False) -> list[Path]:
        """Write label maps, see :meth:`BoxLabels.to_png`.

        Args:
            folder (str | Path): Made where it is missing.
            reliable_only (bool): Whether pixels that are not reliable become 255. Defaults to False.
        """
        return [one.to_png(path, reliable_only) for one, path in self._files(folder, '.png')]

    def to_labelme(self, folder: str | Path) -> list[Path]:
        """Write LabelMe's files, see :meth:`BoxLabels.to_labelme`."""
        files = self._files(folder, '.json')
        for one, path in files:
            one.to_labelme(path)
        return [path for _, path in files]

    def to_yolo(self, folder: str | Path) -> list[Path]:
        """Write YOLO's segments, see :meth:`BoxLabels.to_yolo`, and the names of the classes to ``classes.txt``."""
        files = self._files(folder, '.txt')
        for one, path in files:
            one.to_yolo(path)
        classes = self[0].classes if self else ()
        with whole_file(Path(folder, 'classes.txt')) as partial:
            partial.write_text(''.join(f'{name}\n' for name in classes), encoding='utf-8')
        return [path for _, path in files]

    def show(self) -> None:
        """Show one after the other."""
        for one in self:
            one.show()

    def _files(self, folder: str | Path, suffix: str) -> list[tuple[BoxLabels, Path]]:
        """What goes where; folders are made.

        Raises:
            ValueError: If two images have one name.
        """
        twice = [name for name, number in Counter(one.name for one in self).items() if number > 1]
        if twice:
            raise ValueError(f'{folder}: {twice[0]!r} is the name of several images; write them to a folder each')
        files = [(one, Path(folder, one.name + suffix)) for one in self]
        for parent in {Path(folder), *(path.parent for _, path in files)}:
            parent.mkdir(parents=True, exist_ok=True)
        return files

"""Labels of instances while they are being made: one line of JSON an image, appended at once, one file a rank."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from bana_mm.utils.atomic import naming_full_disk
from bana_mm.utils.record import keep_record

RECORD = 'record.json'
BOXES = 'boxes.json'


class LabelParts:
    """The finished images of a run that may be killed and started again, with another number of ranks too.

    Layout: ``ROOT/record.json`` says how the labels are made, ``ROOT/N.jsonl`` holds the images that rank N has
    finished, each as ``{"image_id": .., "labels": [{"id": .., ..}, ..]}`` with one entry an annotation. Of a data set
    that is no COCO file, ``ROOT/boxes.json`` is that file.

    Args:
        root (str | Path): The folder. It is created by :meth:`begin`, not here.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._line = lru_cache(maxsize=16)(self._read_line)
        self._finished: set[int] | None = None

    def begin(self, record: Mapping[str, Any], overwrite: bool = False) -> None:
        """Create the folder or go on with it. A last line that a killed run has left unfinished is dropped.

        Args:
            record (Mapping): JSON-like: recipe, checkpoint, annotation file, ... of this run.
            overwrite (bool): Drop the labels that are there. Defaults to False.

        Raises:
            ValueError: If the folder was begun with another record; the message names the first field that differs.
        """
        if overwrite:
            self.remove()
        self.root.mkdir(parents=True, exist_ok=True)
        keep_record(self.root / RECORD, record)
        for path in self._files().values():
            _drop_torn_line(path)
        self._finished = set(self.index())

    def has(self, image_id: int) -> bool:
        """Whether an image was finished when the run began."""
        return image_id in self._finished

    def missing(self, image_ids: Iterable[int]) -> list[int]:
        """Those of the images that are not finished now, in the given order."""
        places = self.index()
        return [image_id for image_id in image_ids if image_id not in places]

    def remove(self) -> None:
        """Remove the folder with all that is in it, if it is there."""
        # The record goes last: as long as any labels are there it says how they were made.
        begun = self.root.glob('.*.part')  # files of a run that was killed
        for path in [*self._files().values(), *begun, self.root / BOXES, self.root / RECORD]:
            path.unlink(missing_ok=True)
        if self.root.is_dir():
            self.root.rmdir()

    def index(self) -> dict[int, tuple[int, int]]:
        """Where the labels of each finished image are: number of the file and byte in it, by image id.

        Raises:
            ValueError: If a line is no JSON or lacks a field; the message names file and line.
        """
        places = {}
        for number, path in self._files().items():
            with open(path, 'rb') as file:
                start = 0
                for count, line in enumerate(file, start=1):
                    try:
                        places.setdefault(json.loads(line)['image_id'], (number, start))
                    except (ValueError, KeyError, TypeError) as error:
                        raise ValueError(
                            f'{path}: line {count} is not what this tool writes ({error}); remove the '
                            'line to make the labels of that image again'
                        ) from error
                    start += len(line)
        return places

    def labels(self, place: tuple[int, int]) -> dict[int, dict[str, Any]]:
        """The labels of an image by annotation id.

        Args:
            place (tuple[int, int]): From :meth:`index`.
        """
        return self._line(place)

    @contextmanager
    def writer(self, rank: int = 0) -> Iterator['PartWriter']:
        """Where a rank writes the images that it has finished.

        Args:
            rank (int): Number of the file. Defaults to 0.
        """
        path = self.root / f'{rank}.jsonl'
        with naming_full_disk(path), open(path, 'a', encoding='ascii') as file:
            yield PartWriter(file)

    def _files(self) -> dict[int, Path]:
        return {int(path.stem): path for path in sorted(self.root.glob('*.jsonl'))}

    def _read_line(self, place: tuple[int, int]) -> dict[int, dict[str, Any]]:
        number, start = place
        with open(self.root / f'{number}.jsonl', 'rb') as file:
            file.seek(start)
            return {label['id']: label for label in json.loads(file.readline())['labels']}


class PartWriter:
    """Appends finished images to a file, see :meth:`LabelParts.writer`."""

    def __init__(self, file) -> None:
        self._file = file

    def write(self, image_id: int, labels: Iterable[Mapping[str, Any]]) -> None:
        """Write the labels of an image, which from now on is finished.

        Args:
            image_id (int): Its id.
            labels (Iterable[Mapping]): JSON-like, one an annotation, with its ``id``.
        """
        self._file.write(json.dumps(dict(image_id=image_id, labels=list(labels))) + '\n')
        self._file.flush()


def _drop_torn_line(path: Path, block: int = 1 << 16) -> None:
    """Cut a file off after its last line break."""
    with open(path, 'rb+') as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - block)
            file.seek(start)
            line_break = file.read(end - start).rfind(b'\n')
            if line_break >= 0:
                end = start + line_break + 1
                break
            end = start
        file.truncate(end)

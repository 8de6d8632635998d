"""What data sets tell about their files: things that are no errors, but that somebody should know of."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.logging import print_log

from bana_mm.utils.problems import STOP, Place, Problems

OTHER_CLASSES = ('error', 'background', 'ignore')


class ReadingNotes:
    """Collects while a data set is read, and says each thing once, with a count and the first case.

    Args:
        name (str): The data set, as a message calls it.
        meaning (str): What the numbers of a box are in its format.
        problems (Problems): What lists all problems is told of every case, and nothing is said in the log. Defaults to
            what stops at the first.
    """

    def __init__(self, name: str, meaning: str, problems: Problems = STOP) -> None:
        self.name = name
        self.meaning = meaning
        self.problems = problems
        self.unsure_orientation: list[Place] = []  # images
        self.other_size: list[Place] = []  # annotation files
        self.without_area: list[Place] = []  # objects
        self.other_classes: Counter[str] = Counter()
        self._below_pixel: list[Place] = []
        self._shares = 0
        self._over_edge: list[Place] = []
        self._again: list[Place] = []
        self._image: Any = None  # of which the boxes were looked at last
        self._seen: set[tuple] = set()

    def box(
        self,
        where: Place,
        given: Sequence[float],
        clipped: Sequence[float],
        raw: Iterable[float],
        key: tuple[Any, ...] | None = None,
    ) -> None:
        """Look at a box.

        Args:
            where (Place): The object.
            given (Sequence[float]): xyxy in pixel edges as the file has it.
            clipped (Sequence[float]): The same inside the image.
            raw (Iterable[float]): The four numbers that stand in the file.
            key (tuple | None): Image and class, of which a box may be there once; boxes of an image come in a row.
                Defaults to None, any number.
        """
        if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
            self._below_pixel.append(where)
            self._shares += all(0 <= value <= 1 for value in raw)
        if max(abs(before - after) for before, after in zip(given, clipped)) > 2:  # a pixel or two is rounding
            self._over_edge.append(where)
        if key is not None:
            if key[0] != self._image:
                self._image = key[0]
                self._seen.clear()
            if (*key, *given) in self._seen:
                self._again.append(where)
            self._seen.add((*key, *given))

    def log(self, other_classes: str) -> None:
        """Say it all.

        Args:
            other_classes (str): How objects of other classes are taken, one of :data:`OTHER_CLASSES`.
        """
        self._warn(
            'orientation',
            'images with an EXIF orientation whose annotations do not tell if the boxes were drawn with it',
            self.unsure_orientation,
            'The boxes are taken as drawn on the image as viewers show it. To be sure, turn the pixels themselves '
            '(mogrify -auto-orient FILE)',
        )
        self._warn(
            'size',
            'annotation files with another size than their image has',
            self.other_size,
            "The image's is taken, as all boxes lie inside it",
        )
        if self._shares * 2 > len(self._below_pixel):
            reason = f'These look like shares of the image, but the numbers must be pixels, {self.meaning}'
        else:
            reason = f'The numbers must be pixels, {self.meaning}'
        self._warn('small-box', 'boxes less than a pixel wide or high', self._below_pixel, reason)
        self._warn(
            'over-edge',
            "boxes that reach over their image's edge, where they are cut off",
            self._over_edge,
            f'The numbers must be pixels, {self.meaning}',
        )
        self._warn('same-box', 'boxes that their image has twice', self._again, 'Remove one of the two')
        if self.without_area:
            for place in self.without_area:
                self._tell('box', place, 'the box has no area inside its image and is left out; correct or remove it')
            ids = [place.entry.removeprefix('annotation ') for place in self.without_area[:3]]
            first = ', '.join(ids) + (', ...' if len(self.without_area) > 3 else '')
            self._say(
                f'{len(self.without_area)} boxes without area inside their image are left out (annotation ids {first})'
            )
        if self.other_classes:
            counts = ', '.join(f'{name} ({count})' for name, count in self.other_classes.most_common(20))
            taken = 'background' if other_classes == 'background' else 'neither object nor background'
            for name, count in self.other_classes.items():
                text = f'objects of the class {name!r}, which is none of the data set ({count}), are {taken}'
                self._tell('unknown-class', Place(self.name, f'class {name}'), text)
            self._say(f'objects of other classes are {taken}: {counts}')

    def _warn(self, kind: str, what: str, cases: Sequence[Place], explanation: str) -> None:
        for place in cases:
            self._tell(kind, place, f'one of {len(cases)} {what}. {explanation}')
        if cases:
            first = cases[0].entry if cases[0].file == self.name else cases[0]
            self._say(f'{what}: {len(cases)}, the first {first}. {explanation}', logging.WARNING)

    def _tell(self, kind: str, place: Place, text: str) -> None:
        self.problems.warn(kind, f'{place}: {text}', *place)

    def _say(self, text: str, level: int = logging.INFO) -> None:
        if not self.problems.is_list:
            print_log(f'{self.name}: {text}', logger='current', level=level)


def check_other_classes(value: str) -> str:
    """One of :data:`OTHER_CLASSES`, or a ValueError."""
    if value not in OTHER_CLASSES:
        raise ValueError(f'other_classes must be one of {", ".join(OTHER_CLASSES)}, got {value!r}')
    return value

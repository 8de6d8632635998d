"""What data sets tell about their files: things that are no errors, but that somebody should know of."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from mmengine.logging import print_log

OTHER_CLASSES = ('error', 'background', 'ignore')


class ReadingNotes:
    """Collects while a data set is read, and says each thing once, with a count and the first case.

    Args:
        name (str): The data set, as a message calls it.
        meaning (str): What the numbers of a box are in its format.
    """

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self.unsure_orientation: list[str] = []  # images
        self.other_size: list[str] = []  # annotation files
        self.without_area: list[str] = []  # objects
        self.other_classes: Counter[str] = Counter()
        self._below_pixel: list[str] = []
        self._shares = 0
        self._over_edge: list[str] = []

    def box(self, where: str, given: Sequence[float], clipped: Sequence[float], raw: Iterable[float]) -> None:
        """Look at a box.

        Args:
            where (str): The object, as a message calls it.
            given (Sequence[float]): xyxy in pixel edges as the file has it.
            clipped (Sequence[float]): The same inside the image.
            raw (Iterable[float]): The four numbers that stand in the file.
        """
        if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
            self._below_pixel.append(where)
            self._shares += all(0 <= value <= 1 for value in raw)
        if max(abs(before - after) for before, after in zip(given, clipped)) > 2:  # a pixel or two is rounding
            self._over_edge.append(where)

    def log(self, other_classes: str) -> None:
        """Say it all.

        Args:
            other_classes (str): How objects of other classes are taken, one of :data:`OTHER_CLASSES`.
        """
        self._warn(
            'images with an EXIF orientation whose annotations do not tell if the boxes were drawn with it',
            self.unsure_orientation,
            'The boxes are taken as drawn on the image as viewers show it. To be sure, turn the pixels themselves '
            '(mogrify -auto-orient FILE)',
        )
        self._warn(
            'annotation files with another size than their image has',
            self.other_size,
            "The image's is taken, as all boxes lie inside it",
        )
        if self._shares * 2 > len(self._below_pixel):
            reason = f'These look like shares of the image, but the numbers must be pixels, {self.meaning}'
        else:
            reason = f'The numbers must be pixels, {self.meaning}'
        self._warn('boxes less than a pixel wide or high', self._below_pixel, reason)
        self._warn(
            "boxes that reach over their image's edge, where they are cut off",
            self._over_edge,
            f'The numbers must be pixels, {self.meaning}',
        )
        if self.without_area:
            first = ', '.join(self.without_area[:3]) + (', ...' if len(self.without_area) > 3 else '')
            self._say(
                f'{len(self.without_area)} boxes without area inside their image are left out (annotation ids {first})'
            )
        if self.other_classes:
            counts = ', '.join(f'{name} ({count})' for name, count in self.other_classes.most_common(20))
            taken = 'background' if other_classes == 'background' else 'neither object nor background'
            self._say(f'objects of other classes are {taken}: {counts}')

    def _warn(self, what: str, cases: Sequence[str], explanation: str) -> None:
        if cases:
            self._say(f'{what}: {len(cases)}, the first {cases[0]}. {explanation}', logging.WARNING)

    def _say(self, text: str, level: int = logging.INFO) -> None:
        print_log(f'{self.name}: {text}', logger='current', level=level)


def check_other_classes(value: str) -> str:
    """One of :data:`OTHER_CLASSES`, or a ValueError."""
    if value not in OTHER_CLASSES:
        raise ValueError(f'other_classes must be one of {", ".join(OTHER_CLASSES)}, got {value!r}')
    return value

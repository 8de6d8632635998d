"""What is wrong with files: readers stop at the first problem, or all of them are listed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

# What may be wrong with a data set, by the names that tools print and take.
KINDS = {
    'unreadable-list': 'a list of images, or a line in it, that is none',
    'unreadable-annotation': 'an annotation file, or an entry of it, that is not as its format has it',
    'missing-annotation': 'an image of a list without an annotation file',
    'missing-image': 'an image that is not there',
    'unreadable-image': 'an image that is broken, cut off or declares a size that no camera has',
    'size': 'annotations that give another size than their image has',
    'orientation': 'an EXIF orientation of which no size tells if the boxes were drawn with it',
    'same-name': 'two images that would share one label map',
    'unknown-class': 'a class that is none of the data set',
    'box': 'a box that is flipped, empty or outside of its image',
    'small-box': 'a box less than a pixel wide or high',
    'over-edge': "a box that reaches over its image's edge by more than two pixels",
    'same-box': 'a box that an image has twice',
    'same-image': 'an image that is there twice, under two names or in two parts of the data',
    'missing-mask': 'an image for evaluation without a mask',
    'unreadable-mask': 'a mask that is broken, of another size than its image, or with a class out of range',
    'class-without-box': 'mask pixels of a class of which the image has no box',
    'box-without-mask': 'a box in which the mask has no pixel of its class',
}


class Place(NamedTuple):
    """Where something is.

    Args:
        file (str): The file.
        entry (str): What it is in there, such as 'object 3'; empty for all of it. Defaults to ''.
    """

    file: str
    entry: str = ''

    def __str__(self) -> str:
        return f'{self.file}: {self.entry}' if self.entry else self.file


class Problem(NamedTuple):
    """Something that is wrong.

    Args:
        kind (str): One of :data:`KINDS`.
        severity (str): 'error', at which a training stops, or 'warning', with which it goes on.
        file (str): Where it is.
        entry (str): What it is in there; empty for all of it.
        message (str): What a reader says about it.
    """

    kind: str
    severity: str
    file: str
    entry: str
    message: str


class Problems:
    """Where readers say what is wrong. This one stops at the first error, and leaves warnings to the reader's log."""

    is_list = False
    count = 0  # of errors that were told

    def error(self, kind: str, error: Exception, file: str, entry: str = '') -> None:
        """Something that a training does not accept.

        Args:
            kind (str): One of :data:`KINDS`.
            error (Exception): What to raise; it names file and entry, and what to do.
            file (str): Where it is.
            entry (str): What it is in there. Defaults to '', all of it.
        """
        raise error

    def warn(self, kind: str, message: str, file: str, entry: str = '') -> None:
        """Something that a training accepts, but that somebody should know of; arguments as for :meth:`error`."""

    @contextmanager
    def guard(self, kind: str, file: str, entry: str = '') -> Iterator[None]:
        """A block whose ValueError or OSError is an error of this kind; arguments as for :meth:`error`."""
        try:
            yield
        except (ValueError, OSError) as error:
            self.error(kind, error, file, entry)


class ProblemList(Problems):
    """Keeps all problems, so that a reader goes on behind each. What is wrong is left out of what it returns.

    A kind of problem is kept once for an entry of a file, though several readers may find it.

    Args:
        ignored (Sequence[str]): Kinds of which nothing is kept. Defaults to none.
    """

    is_list = True

    def __init__(self, ignored: tuple[str, ...] = ()) -> None:
        self.ignored = frozenset(ignored)
        self.found: list[Problem] = []
        self._seen: set[tuple[str, str, str]] = set()

    def error(self, kind: str, error: Exception, file: str, entry: str = '') -> None:
        """Keep an error."""
        self.count += 1
        self._keep(kind, 'error', str(error), file, entry)

    def warn(self, kind: str, message: str, file: str, entry: str = '') -> None:
        """Keep a warning."""
        self._keep(kind, 'warning', message, file, entry)

    @property
    def errors(self) -> list[Problem]:
        """Those at which a training stops."""
        return [problem for problem in self.found if problem.severity == 'error']

    def keep(self, problem: Problem) -> None:
        """Keep a problem that another list has."""
        key = (problem.kind, problem.file, problem.entry)
        if problem.kind not in self.ignored and key not in self._seen:
            self._seen.add(key)
            self.found.append(problem)

    def _keep(self, kind: str, severity: str, message: str, file: str, entry: str) -> None:
        if kind not in KINDS:
            raise KeyError(f'unknown kind of problem {kind!r}')
        self.keep(Problem(kind, severity, str(file), entry, message))


STOP = Problems()

"""Where labels go. A sink never knows who made them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ..item import LabelItem
from ..sources.answer import Answer, Kind

# Takes the position of an image in the data set, the image and its labels.
Write = Callable[[int, LabelItem, Answer], None]


class LabelSink(ABC):
    """Keeps the labels of the images of a data set, so that a run that was killed goes on where it stopped.

    Attributes:
        kind (str): Which labels it takes, 'maps' or 'masks'.
    """

    kind: Kind

    @property
    @abstractmethod
    def where(self) -> str:
        """What messages call it."""

    def describe(self) -> dict[str, Any]:
        """What it adds to the record of how the labels are made, JSON-like."""
        return {}

    def is_done(self, record: Mapping[str, Any]) -> bool:
        """Whether these very labels are finished.

        Args:
            record (Mapping): How this run makes them.

        Raises:
            ValueError: If there are finished labels that were made in another way.
        """
        return False

    @abstractmethod
    def begin(self, record: Mapping[str, Any], overwrite: bool = False) -> None:
        """Prepare for labels, or go on; called by one process.

        Args:
            record (Mapping): JSON-like: source, recipe, checkpoint, classes, ... of this run.
            overwrite (bool): Drop the labels that are there. Defaults to False.

        Raises:
            ValueError: If it was begun with another record; the message names the first field that differs.
        """

    @abstractmethod
    def missing(self) -> list[int]:
        """Positions of the images that have no labels yet."""

    @abstractmethod
    def writer(self, rank: int) -> AbstractContextManager[Write]:
        """What writes the labels of an image, which from then on is finished.

        Args:
            rank (int): Of this process.
        """

    def end(self, record: Mapping[str, Any]) -> None:
        """Called by one process once no image is missing."""

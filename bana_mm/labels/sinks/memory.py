"""Labels kept in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..sources.answer import Answer, Kind
from .base import LabelSink, Write


class MemorySink(LabelSink):
    """Keeps the labels of all images of one process.

    Args:
        number (int): Images of the data set.
        kind (str): 'maps' or 'masks'. Defaults to 'maps'.

    Attributes:
        answers (dict[int, dict[str, np.ndarray] | list[InstanceMask]]): The labels by position in the data set.
    """

    def __init__(self, number: int, kind: Kind = 'maps') -> None:
        self.number = number
        self.kind = kind
        self.answers: dict[int, Answer] = {}

    @property
    def where(self) -> str:
        return 'memory'

    def begin(self, record: Mapping[str, Any], overwrite: bool = False) -> None:
        if overwrite:
            self.answers.clear()

    def missing(self) -> list[int]:
        return [index for index in range(self.number) if index not in self.answers]

    @contextmanager
    def writer(self, rank: int) -> Iterator[Write]:
        yield lambda index, item, answer: self.answers.update({index: answer})

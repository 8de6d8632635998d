"""What a run of label generation did."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from mmengine.dist import get_world_size

from bana_mm.structures.collapse import CollapseCounts
from bana_mm.utils.distributed import first_rank_stream
from bana_mm.utils.progress import Progress

COLLAPSE_ADVICE = dict(
    whole='they tell no more than the boxes. Take another source for this class, merge two (A+B), or let one stand in '
    'for the other (A|B)',
    empty='nothing was found in their boxes. Look at the boxes, then take another source for this class, or A|B',
)


@dataclass
class LabelRun:
    """Counts and times.

    Args:
        images (int): Images that were labelled now.
        seconds (float): Wall time in all.
        worker_seconds (float): Spent in what worker processes do (the CRF; all of a source that needs no network),
            summed over them.
        workers (int): Worker processes.
        parts (dict[str, float]): Wall seconds of the main process by what it did: 'network', 'labels' (stage 2 without
            network and CRF), 'waiting for workers'; the rest is loading and writing.
        skipped (int): Images that had their labels already. Defaults to 0.
        ranks (int): Processes that took shares. Defaults to 1.
        classes (Sequence[str]): Names of the object classes 1..L. Defaults to none.
        collapse (CollapseCounts | None): How many of the masks made now are whole boxes or empty, by class. Defaults to
            None, not counted.
        failed (Sequence[str]): Files of images that worker processes died of. Defaults to none.
    """

    images: int
    seconds: float
    worker_seconds: float
    workers: int
    parts: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    ranks: int = 1
    classes: Sequence[str] = ()
    collapse: CollapseCounts | None = None
    failed: Sequence[str] = ()

    @classmethod
    def total(cls, runs: Sequence['LabelRun'], skipped: int) -> 'LabelRun':
        """All ranks' shares as one run.

        Args:
            runs (Sequence[LabelRun]): At least one.
            skipped (int): Images that had their labels before.
        """
        parts = Counter()
        for run in runs:
            parts.update(run.parts)
        return cls(
            images=sum(run.images for run in runs),
            seconds=max(run.seconds for run in runs),
            worker_seconds=sum(run.worker_seconds for run in runs),
            workers=sum(run.workers for run in runs),
            parts=dict(parts),
            skipped=skipped,
            ranks=len(runs),
            classes=runs[0].classes,
            failed=[path for run in runs for path in run.failed],
            collapse=reduce(add, counts) if (counts := [run.collapse for run in runs if run.collapse]) else None,
        )

    @property
    def warnings(self) -> list[str]:
        """A line for each class whose labels are whole boxes, or whose objects were not found."""
        return [] if self.collapse is None else self.collapse.messages(self.classes, COLLAPSE_ADVICE)

    def __str__(self) -> str:
        text = f'{self.images} images in {self.seconds:.1f} s'
        if self.ranks > 1:
            text += f' on {self.ranks} ranks'
        if self.skipped:
            text += f' ({self.skipped} were there)'
        if self.images:
            total = self.seconds * self.ranks
            parts = dict(self.parts, other=total - sum(self.parts.values()))
            shares = ', '.join(f'{name} {100 * seconds / total:.0f} %' for name, seconds in parts.items())
            where = f'{self.workers} worker processes' if self.workers else 'the main process'
            text += f': {shares}; in {where} {self.worker_seconds / self.images:.3f} s an image'
            if 'network' in self.parts and not self.workers:
                least = self.parts['network'] + self.worker_seconds
                text += f'; {total / least:.2f} times what the network and the CRF take alone'
        return '\n'.join([text, *(f'warning: {line}' for line in self.warnings)])


@contextmanager
def share_progress(total: int, mine: int, shown: bool = True) -> Iterator[Progress]:
    """Progress of label generation. Of several ranks, rank 0 shows that of its share.

    Args:
        total (int): Images of the data set.
        mine (int): Images that this rank labels.
        shown (bool): Whether anything is written. Defaults to True.
    """
    ranks = get_world_size()
    title, total, done = ('labels', total, total - mine) if ranks == 1 else (f'labels, 1 of {ranks} ranks', mine, 0)
    with first_rank_stream() as stream, Progress(total, done, title, stream=stream, shown=shown) as progress:
        yield progress

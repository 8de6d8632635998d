"""The one loop of stage 2: any source over the images of a data set into any sink."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mmengine.dist import get_rank
from torch.utils.data import DataLoader, Dataset

from bana_mm.structures.collapse import CollapseCounts
from bana_mm.utils.distributed import on_all_ranks, on_first_rank, share
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.stopwatch import stopwatch
from bana_mm.utils.worker_pool import Done, Failed, WorkerPool

from .item import LabelItem, LabelItems
from .report import LabelRun, share_progress
from .sinks.base import LabelSink
from .sources.base import LabelSource, Task, complete, first_masks


def make_labels(
    source: LabelSource,
    items: LabelItems,
    sink: LabelSink,
    options: RunOptions | None = None,
    same_as: Mapping[str, str | None] | None = None,
    overwrite: bool = False,
) -> LabelRun | None:
    """Label the images that a sink lacks, each rank its share of them.

    What is left to do is found out by rank 0 alone and shared out anew in each run, so that a run may be killed at any
    time and go on with another number of ranks. The labels depend neither on that nor on the number of workers, and on
    the batch size only as far as the network's rounding does.

    Args:
        source (LabelSource): Makes the labels.
        items (LabelItems): Images and boxes of a data set.
        sink (LabelSink): Takes the labels of these images.
        options (RunOptions | None): Processes and batch size. Defaults to None, none and 1.
        same_as (Mapping[str, str | None] | None): Which of the classes that the source knows stand for classes of the
            data set with other names, see :func:`bana_mm.labels.class_weights.weight_of_classes`. Defaults to None.
        overwrite (bool): Drop the labels that are there. Defaults to False.

    Returns:
        LabelRun | None: Counts and times of all ranks; None on all but the first.

    Raises:
        FileNotFoundError: If the source lacks the labels of an image.
        ValueError: If the sink holds labels that were made in another way, or source and data set don't fit.
        RuntimeError: If an image can't be labelled (the message names it), or another rank fails. If worker processes
            die of some images, even on their own: once all others are done, with the names of these.
    """
    source.bind(items.classes, items.category_ids, same_as)
    record = {**source.record(items.classes, sink.kind), **sink.describe()}
    if not overwrite and on_first_rank(sink.is_done, record):
        return LabelRun(0, 0.0, 0.0, 0, skipped=len(items)) if get_rank() == 0 else None

    def begin() -> list[int]:
        check_complete(source, items)
        sink.begin(record, overwrite)
        return sink.missing()

    todo = on_first_rank(begin)
    runs = on_all_ranks(label_images, source, items, sink, options or RunOptions(), share(todo), True)
    if get_rank() != 0:
        return None
    run = LabelRun.total(runs, len(items) - len(todo))
    if run.failed:
        raise RuntimeError(
            f'{sink.where}: {len(run.failed)} of {len(items)} images have no labels, since the worker process died '
            f'(killed, out of memory, or a crash) each time that it had one of them alone: {", ".join(run.failed)}; '
            'all others are done. Start again to try these once more, with fewer workers if memory is short'
        )
    missing = sink.missing()
    if missing:
        names = ', '.join(items.path(index) for index in missing[:3]) + (', ...' if len(missing) > 3 else '')
        raise RuntimeError(
            f'{sink.where}: {len(missing)} of {len(items)} images have no labels yet ({names}); start again to go on'
        )
    sink.end(record)
    return run


def check_complete(source: LabelSource, items: LabelItems) -> None:
    """Refuse a source that has no labels of some images, before any is read.

    Raises:
        FileNotFoundError: If images lack labels; the message says how many and names the first.
    """
    missing = source.missing(items.img_ids)
    if missing:
        names = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
        raise FileNotFoundError(f'{source}: {len(missing)} of {len(items)} images have no labels there ({names})')


def label_images(
    source: LabelSource,
    items: LabelItems,
    sink: LabelSink,
    options: RunOptions,
    indices: Sequence[int],
    keep_going: bool = False,
    progress: bool = True,
) -> LabelRun:
    """Label some images: the network here, what is left of an image (the CRF, GrabCut) in worker processes meanwhile.

    Args:
        source, items, sink, options: See :func:`make_labels`; the sink was begun.
        indices (Sequence[int]): Which images.
        keep_going (bool): Whether to leave out images that worker processes die of, see :class:`WorkerPool`, and name
            them in ``failed``. Defaults to False.
        progress (bool): Whether to show it. Defaults to True.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    collapse = CollapseCounts(len(items.classes))
    failed = []
    with (
        stopwatch() as clock,
        WorkerPool(_run, options.workers, keep_going=keep_going) as pool,
        share_progress(len(items), len(indices), progress) as bar,
        sink.writer(get_rank()) as write,
    ):
        prepared = _prepared(source, items, sink, options, indices)
        for worked in _worked(pool, prepared):
            if isinstance(worked, Failed):
                failed.append(worked.name)
            else:
                path, (index, item, context), result = worked
                with naming(path):
                    answer = complete(source, item, sink.kind, context, result)
                    write(index, item, answer)
                    collapse.add_masks(item.layout, first_masks(item, answer))
            bar.update()
    seconds = dict(clock.seconds)
    if pool.submitted:
        seconds['waiting for workers'] = pool.wait_seconds
    return LabelRun(
        len(indices) - len(failed),
        clock.total,
        pool.busy_seconds + seconds.get('on the device', 0.0),
        options.workers if pool.submitted else 0,
        seconds,
        len(items) - len(indices),
        classes=items.classes,
        collapse=collapse,
        failed=failed,
    )


def size_batches(items: LabelItems, indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of images whose annotations name one size.

    Args:
        items (LabelItems): Images; those whose annotations name no size count as of one size.
        indices (Sequence[int]): Which images.
        batch_size (int): Most images of a batch.

    Returns:
        list[list[int]]: Every index once, batches in the order of their first one.
    """
    open_batches: dict[tuple, list[int]] = {}
    batches = []
    for index in indices:
        size = items.size(index)
        if size not in open_batches:
            open_batches[size] = []
            batches.append(open_batches[size])
        open_batches[size].append(index)
        if len(open_batches[size]) == batch_size:
            del open_batches[size]
    return batches


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the name of an image in front of what goes wrong with it."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f'{path}: {error}') from error


Waiting = tuple[str, Task | None, tuple[int, LabelItem, Any]]  # path, task, and what the last step needs


def _prepared(
    source: LabelSource, items: LabelItems, sink: LabelSink, options: RunOptions, indices: Sequence[int]
) -> Iterator[Waiting]:
    """The first step of every image, batch by batch."""
    for batch in _batches(source, items, options, indices):
        paths = [items.path(index) for index, _ in batch]
        with naming(', '.join(paths)):
            prepared = source.prepare([item for _, item in batch], sink.kind)
        for path, (index, item), (task, context) in zip(paths, batch, prepared):
            yield path, task, (index, replace(item, pixels=None), context)


def _batches(
    source: LabelSource, items: LabelItems, options: RunOptions, indices: Sequence[int]
) -> Iterator[list[tuple[int, LabelItem]]]:
    """Numbered images; for a network they are read ahead, else by who works on them."""
    if not source.has_network:
        for index in indices:
            with naming(items.path(index)):
                item = items[index]
            yield [(index, item)]
        return
    yield from DataLoader(
        _LoadedItems(items),
        batch_sampler=size_batches(items, indices, options.batch_size),
        num_workers=options.loading_workers or 0,
        collate_fn=_as_is,
    )


def _worked(pool: WorkerPool, waiting: Iterator[Waiting]) -> Iterator[Done | Failed]:
    """The second step of every image, in the order in which they come."""
    for path, task, context in waiting:
        yield from pool.submit(path, task, context=context, here=task is None)
    yield from pool.drain()


def _run(task: Task | None) -> Any:
    """What worker processes run."""
    return None if task is None else task.run()


class _LoadedItems(Dataset):
    """Images with their pixels and numbers; an error in loading one names it."""

    def __init__(self, items: LabelItems) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[int, LabelItem]:
        with naming(self.items.path(index)):
            item = self.items[index]
            _ = item.image
        return index, item


def _as_is(batch: list) -> list:
    """DataLoader would turn arrays into tensors."""
    return batch

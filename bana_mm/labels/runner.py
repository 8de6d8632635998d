"""The one loop of stage 2: any source over the images of a data set into any sink."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from mmengine.dist import get_rank

from bana_mm.structures.collapse import CollapseCounts
from bana_mm.utils.atomic import FULL
from bana_mm.utils.distributed import on_all_ranks, on_first_rank, share
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.stopwatch import stopwatch
from bana_mm.utils.worker_pool import Done, Failed, WorkerPool

from .item import LabelItem, LabelItems
from .report import LabelRun, share_progress
from .sinks.base import LabelSink
from .sources.answer import Task, first_masks
from .sources.asking import complete, prepare
from .sources.base import LabelSource


def make_labels(
    source: LabelSource,
    items: LabelItems,
    sink: LabelSink,
    options: RunOptions | None = None,
    same_as: Mapping[str, str | None] | None = None,
    overwrite: bool = False,
) -> LabelRun | None:
    """Label the images that a sink lacks, each rank its share of them.

    Rank 0 alone finds out what is still to be done and shares it out again in each run, so that a run may be killed at
    any time and continue with another number of ranks. The labels depend neither on that nor on the number of workers,
    and on the batch size only as far as the network's rounding does.

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
            die of some images or hang, even on their own: once all others are done, with the names of these.
        OSError: If there is no room for the labels; the message names the file.
    """
    source.bind(items.classes, items.category_ids, same_as)
    record = {
        **source.record(items.classes, sink.kind),
        **sink.describe(),
        **on_first_rank(working_size, source, items),
    }
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
            f'{sink.where}: {len(run.failed)} of {len(items)} images have no labels, since worker processes died '
            f'(killed, out of memory, or a crash) or hung each time that they had one of them alone: '
            f'{", ".join(run.failed)}; all others are done. Start again to try these once more, with fewer workers if '
            'memory is short, or with a longer --time-limit'
        )
    missing = sink.missing()
    if missing:
        names = ', '.join(items.path(index) for index in missing[:3]) + (', ...' if len(missing) > 3 else '')
        raise RuntimeError(
            f'{sink.where}: {len(missing)} of {len(items)} images have no labels yet ({names}); start again to go on'
        )
    sink.end(record)
    return run


def working_size(source: LabelSource, items: LabelItems) -> dict[str, Any]:
    """What the record says of the size at which a source works: nothing where it sees every image as it is.

    Returns:
        dict[str, Any]: ``working_pixels``, see :attr:`LabelSource.working_pixels`, where an image is larger; a list
        where several sources have different ones.
    """
    sizes = source.working_sizes()
    least = min((size for size in sizes if size is not None), default=None)
    if least is None or items.most_pixels <= least:
        return {}
    return dict(working_pixels=sizes[0] if len(set(sizes)) == 1 else sizes)


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
    """Label some images: the network here, the rest of the work (the CRF, GrabCut) meanwhile in worker processes.

    Args:
        source, items, sink, options: See :func:`make_labels`; the sink was begun.
        indices (Sequence[int]): Which images.
        keep_going (bool): Whether to leave out images that worker processes die of or hang at, see
            :class:`WorkerPool`, and name them in ``failed``. Defaults to False.
        progress (bool): Whether to show it. Defaults to True.

    Returns:
        LabelRun: Counts and times.

    Raises:
        RuntimeError: If an image can't be loaded or labelled (the message names it), or a worker dies.
    """
    collapse = CollapseCounts(len(items.classes))
    failed = []
    patience = dict(keep_going=keep_going, time_limit=options.time_limit or None)
    ahead = 2 * (options.loading_workers or 0) * options.batch_size + 1
    with (
        stopwatch() as clock,
        share_progress(len(items), len(indices), progress) as bar,
        sink.writer(get_rank()) as write,
        WorkerPool(_pixels, options.loading_workers or 0, ahead, **patience) as reading,
        WorkerPool(_run, options.workers, **patience) as pool,
    ):

        def leave_out(one: Failed) -> None:
            failed.append(f'{one.name} ({one.reason})')
            bar.update()

        batches = _read(source, items, reading, indices, options.batch_size, leave_out)
        for worked in _worked(pool, _prepared(source, sink, batches)):
            if isinstance(worked, Failed):
                leave_out(worked)
                continue
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
    """Put the name of an image in front of what goes wrong with it; it has no part in a full disk."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise RuntimeError(f'{path}: {error}') from error


Batch = list[tuple[int, str, LabelItem]]  # number, file and image
Waiting = tuple[str, Task | None, tuple[int, LabelItem, Any]]  # path, task, and what the last step needs


def _prepared(source: LabelSource, sink: LabelSink, batches: Iterator[Batch]) -> Iterator[Waiting]:
    """The first step of every image, batch by batch."""
    for batch in batches:
        with naming(', '.join(path for _, path, _ in batch)):
            prepared = prepare(source, [item for _, _, item in batch], sink.kind)
        for (index, path, item), (task, context) in zip(batch, prepared):
            yield path, task, (index, item.without_pixels(), context)


def _read(
    source: LabelSource,
    items: LabelItems,
    reading: WorkerPool,
    indices: Sequence[int],
    batch_size: int,
    leave_out: Callable[[Failed], None],
) -> Iterator[Batch]:
    """Numbered images; for a network they are read ahead, else by who works on them."""

    def item_of(index: int) -> LabelItem:
        with naming(items.path(index)):
            return items[index]

    if not source.has_network:
        yield from ([(index, items.path(index), item_of(index))] for index in indices)
        return
    batches = size_batches(items, indices, batch_size)
    numbered = ((index, item_of(index), index == batch[-1]) for batch in batches for index in batch)
    sizes = source.sizes_seen()
    to_read = ((items.path(index), (item, sizes), (index, item, ends)) for index, item, ends in numbered)
    batch = []
    for one in reading.map(to_read):
        index, item, ends = one.context
        if isinstance(one, Failed):
            leave_out(one)
        else:
            pixels, copies = one.result
            batch.append((index, one.name, replace(item, pixels=pixels, copies=copies)))
        if ends and batch:
            yield batch
            batch = []


def _pixels(item: LabelItem, sizes: Set[int | None]) -> tuple[np.ndarray | None, dict[tuple[int, int], np.ndarray]]:
    """What reading processes run: the pixels of the image, where it is looked at as it is, and of smaller copies."""
    seen = [item.at_working_size(size) for size in sizes]
    for one in sorted(seen, key=lambda one: one is not item):  # the image itself first, so that it is read once
        _ = one.image
    return item.pixels, item.copies


def _worked(pool: WorkerPool, waiting: Iterator[Waiting]) -> Iterator[Done | Failed]:
    """The second step of every image, in the order in which they come."""
    for path, task, context in waiting:
        yield from pool.submit(path, task, context=context, here=task is None)
    yield from pool.drain()


def _run(task: Task | None) -> Any:
    """What worker processes run."""
    return None if task is None else task.run()

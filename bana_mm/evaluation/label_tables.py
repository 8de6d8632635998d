"""What counts of label maps say: figures by row of labels, and the tables of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bana_mm.utils.table import figure_cell, format_table, percent

from .confusion import ConfusionMatrix


def class_indices(chosen: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Indices of some classes and, in any case, of the background.

    Args:
        chosen (Sequence[str]): Names to look up.
        class_names (Sequence[str]): Object classes 1..L.

    Raises:
        ValueError: If a name is unknown.
    """
    names = ['background', *class_names]
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f'unknown class {unknown[0]!r}; known are {", ".join(names)}')
    return sorted({0, *map(names.index, chosen)})


def summarise(confusion: ConfusionMatrix, class_names: Sequence[str], chosen: Sequence[int] = ()) -> dict[str, Any]:
    """The figures of a row, in percent.

    Args:
        confusion (ConfusionMatrix): Counts, or :class:`LabelCounts`, which may have contours.
        class_names (Sequence[str]): Object classes 1..L.
        chosen (Sequence[int]): Class indices of a second mean, see :func:`class_indices`. Defaults to none.

    Returns:
        dict: ``mIoU`` over background and classes that the ground truth holds; ``mIoU_chosen`` if some are chosen;
        ``ignored``, the share of pixels; ``IoU`` by class that the ground truth holds; with contours also
        ``contour_F``, the mean over the object classes, ``contour_F_chosen`` and ``contours`` by class. NaN becomes
        None, as JSON wants it.
    """
    names = ['background', *class_names]
    result = dict(mIoU=percent(confusion.mean_iou()))
    if chosen:
        result.update(mIoU_chosen=percent(confusion.mean_iou(chosen)))
    iou, present = confusion.iou(), confusion.present()
    result.update(
        ignored=percent(confusion.ignored_share()),
        IoU={name: percent(iou[c]) for c, name in enumerate(names) if present[c]},
    )
    contours = getattr(confusion, 'contours', None)
    if contours is not None:
        result.update(contour_F=percent(contours.mean_f()))
        if chosen:
            result.update(contour_F_chosen=percent(contours.mean_f(chosen)))
        scores, shown = contours.f_score(), contours.present()
        result.update(contours={name: percent(scores[c]) for c, name in enumerate(class_names) if shown[c]})
    return result


def label_table(summaries: Mapping[str, dict[str, Any]]) -> str:
    """Table of summaries that belong to the same masks: a column each, means on top, classes below.

    Args:
        summaries (Mapping[str, dict]): Results of :func:`summarise` by name of the row of labels.

    Returns:
        str: The table.
    """

    def line(title: str, values: Sequence[float | None]) -> list[str]:
        return [title, *map(figure_cell, values)]

    columns = list(summaries.values())
    lines = [line('mIoU, all present', [column['mIoU'] for column in columns])]
    if 'mIoU_chosen' in columns[0]:
        lines.append(line('mIoU, chosen', [column['mIoU_chosen'] for column in columns]))
    lines.append(line('ignored pixels, %', [column['ignored'] for column in columns]))
    for key, title in (('contour_F', 'contour F, all present'), ('contour_F_chosen', 'contour F, chosen')):
        if key in columns[0]:
            lines.append(line(title, [column[key] for column in columns]))
    lines += [line(name, [column['IoU'][name] for column in columns]) for name in columns[0]['IoU']]
    for name in columns[0].get('contours', ()):
        lines.append(line(f'{name}, contour F', [column['contours'][name] for column in columns]))
    return format_table(['', *summaries], lines)


def splits_table(summaries: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """Table of several splits: a line for each row of labels, for each split its means and its ignored pixels.

    Args:
        summaries (Mapping[str, Mapping[str, dict]]): Results of :func:`summarise` by split and by row of labels.

    Returns:
        str: The table.
    """
    first = next(iter(summaries.values()))
    titles = dict(
        mIoU='all', mIoU_chosen='chosen', ignored='ignored', contour_F='contour F', contour_F_chosen='F chosen'
    )
    fields = [name for name in titles if name in next(iter(first.values()))]
    header = ['', *(f'{split}: {titles[name]}' for split in summaries for name in fields)]
    lines = [[row, *(figure_cell(rows[row][name]) for rows in summaries.values() for name in fields)] for row in first]
    return format_table(header, lines)

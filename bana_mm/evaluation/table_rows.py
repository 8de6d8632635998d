"""What tools/evaluate_labels.py compares, by the names that its user gives."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bana_mm.labels import build_label_source
from bana_mm.structures import LabelStore

from .label_readers import AgreedMaps, LabelReader, SourceLabels, StoredMap

# Rows of the paper's Table 1 from top to bottom: title; whose labels, as the user names them; which source makes them.
TABLE_1 = (
    ('whole box', 'box', 'box'),
    ('GrabCut', 'grabcut', 'grabcut'),
    ('box_crf', 'box_crf', 'box_crf'),
    ('GAP', 'gap', 'gap'),
    ('Y_crf without u_0', 'cam', 'bana_crf_cam'),
    ('Y_crf', 'bana', 'bana_crf'),
    ('Y_ret', 'bana', 'bana_ret'),
    ('Y_crf & Y_ret', 'bana', 'agree'),
)
# Which of a store's maps a row takes; the first of them unless named here.
_MAPS = dict(bana_ret='Y_ret', agree='agree')


def store_rows(folders: Sequence[str], merge: str | None = None) -> dict[str, LabelReader]:
    """The maps of label stores, each by its name, and by its folder where there are several.

    Args:
        folders (Sequence[str]): The stores.
        merge (str | None): Name of a further row for each, of what its maps agree on. Defaults to None, no such row.

    Raises:
        FileNotFoundError: If a folder holds no maps, or a single one is to be merged.
    """
    rows = {}
    for folder, prefix in zip(folders, distinct_parts(folders)):
        store = LabelStore(folder)
        maps: dict[str, LabelReader] = {
            name: StoredMap(store, name) for name in store.maps if (store.root / name).is_dir()
        }
        if not maps:
            raise FileNotFoundError(
                f'{store.root}: holds none of {", ".join(store.maps)}; tools/generate_labels.py makes them'
            )
        if merge:
            if len(maps) < 2:
                raise FileNotFoundError(
                    f'{store.root}: --merge needs {" and ".join(store.maps)}, but it holds only {", ".join(maps)}'
                )
            maps[merge] = AgreedMaps(*maps.values())
        rows.update({os.path.join(prefix, name): reader for name, reader in maps.items()})
    return rows


def table_1_rows(given: Sequence[str], items: Mapping[str, dict[str, Any]]) -> tuple[dict[str, LabelReader], list[str]]:
    """The rows of the paper's Table 1, from top to bottom.

    Args:
        given (Sequence[str]): ``KEY=WHERE`` with a key of :data:`TABLE_1` and a label store, or for a network
            ``CONFIG:CHECKPOINT``, whose labels are then made now with the published recipe. Whole boxes, GrabCut and
            DenseCRF on boxes are made now where no store is given; ``cam`` falls back to the network of ``bana``.
        items (Mapping[str, dict]): Dataset items by image id, for what is made now.

    Returns:
        tuple[dict[str, LabelReader], list[str]]: The rows by title, and titles of those for which nothing is given.

    Raises:
        ValueError: For another form or key.
        FileNotFoundError: If a folder is no label store, or a network's config or checkpoint is missing.
    """
    keys = list(dict.fromkeys(key for _, key, _ in TABLE_1))
    where = {}
    for text in given:
        key, _, value = text.partition('=')
        if key not in keys or not value:
            raise ValueError(
                f'{text!r}: rows of table 1 are given as KEY=DIR or KEY=CONFIG:CHECKPOINT, where KEY is '
                f'one of {", ".join(keys)}'
            )
        where[key] = value
    if ':' in where.get('bana', '') and not Path(where['bana']).is_dir():
        where.setdefault('cam', where['bana'])
    rows, left_out = {}, []
    for title, key, source in TABLE_1:
        if key in where:
            rows[title] = _given_row(where[key], source, items)
        elif key in ('box', 'grabcut', 'box_crf'):
            rows[title] = SourceLabels(build_label_source(source), items)
        else:
            left_out.append(title)
    return rows, left_out


def _given_row(where: str, source: str, items: Mapping[str, dict[str, Any]]) -> LabelReader:
    """A row from a label store, or from a network given as ``CONFIG:CHECKPOINT``."""
    if Path(where).is_dir() or ':' not in where:
        rows = store_rows([where], merge='agree' if source == 'agree' else None)
        name = _MAPS.get(source, next(iter(rows)))
        if name not in rows:
            raise FileNotFoundError(f'{where}: holds no {name}; it is not the store of a classifier')
        return rows[name]
    recipe = dict(recipe='paper')
    if source == 'gap':
        recipe.update(background='cam')  # as in the paper: its attention is not trained
    names = ('bana_crf', 'bana_ret') if source == 'agree' else (source,)
    config, _, checkpoint = where.partition(':')
    parts = [dict(type=name, config=config, checkpoint=checkpoint, recipe=recipe) for name in names]
    return SourceLabels(build_label_source(parts if len(parts) > 1 else parts[0]), items)


def distinct_parts(folders: Sequence[str]) -> list[str]:
    """What tells folders apart: their paths without the parts that all of them begin and end with."""
    parts = [Path(folder).resolve().parts for folder in folders]
    begin = len(os.path.commonprefix(parts))
    end = len(os.path.commonprefix([path[begin:][::-1] for path in parts]))
    return [os.path.join('', *path[begin : len(path) - end]) for path in parts]

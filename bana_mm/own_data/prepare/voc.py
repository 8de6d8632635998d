"""A data set in VOC's layout: its files are taken as they are; lists are written where there are none."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bana_mm.datasets import VOC_CLASSES
from bana_mm.datasets.metainfo import is_background, object_classes
from bana_mm.datasets.voc_files import read_ids, read_voc_xml, write_ids
from bana_mm.own_data.formats.pascal_voc import VOCLayout
from bana_mm.own_data.split import Split, choose_split, with_masks
from bana_mm.utils.config import LIST_FOLDER
from bana_mm.utils.problems import ProblemList
from bana_mm.utils.progress import Progress
from bana_mm.utils.text_file import read_text

from .result import Prepared, Wishes, below, list_masked


def prepare_voc(layout: VOCLayout, out: Path, wishes: Wishes) -> Prepared:
    root, remarks = layout.root, []
    masks = root / layout.masks if layout.masks else None
    found = masks.rglob('*.png') if masks else ()
    masked = {path.relative_to(masks).with_suffix('').as_posix() for path in found}
    names = _class_names(layout)
    if wishes.classes is not None:
        classes = list(object_classes(wishes.classes))
    else:
        classes, remark = _voc_order(layout, names, bool(masked))
        remarks += remark
    prefix = dict(img_path=layout.images, box_path=layout.boxes, seg_map_path=layout.masks)
    usual = dict(img_path='JPEGImages', box_path='Annotations', seg_map_path='SegmentationClassAug')
    prefix = {key: value for key, value in prefix.items() if value is not None and value != usual[key]}
    data: dict[str, Any] = dict(type='bana_mm.VOCBoxDataset', data_root=root.as_posix(), data_prefix=prefix)
    if not prefix:
        del data['data_prefix']
    if layout.suffix != '.jpg':
        data['img_suffix'] = layout.suffix
    data['metainfo'] = dict(classes=tuple(classes))
    prepared = Prepared('voc', data, remarks)
    lists = {} if wishes.val_share is not None else _voc_lists(root)
    ids = layout.ids
    if 'train' in lists:
        ids = read_ids(lists['train'], lambda name: True, ProblemList())
    elif not layout.with_image:
        raise ValueError(
            f'{root / layout.boxes}: none of its {len(ids)} XML files has an image of its name in {root}; name the '
            'folder that holds both images and annotations'
        )
    elif layout.without_xml:
        shown, more = layout.without_xml[:3], len(layout.without_xml) - 3
        remarks.append(
            f'Images without an XML take no part: {", ".join(shown)}{f" and {more} more" if more > 0 else ""}. One '
            'without any object is background, and needs an XML that says so.'
        )
    if 'train' in lists and 'val' in lists:
        split = with_masks(Split(ids, read_ids(lists['val'], lambda name: True, ProblemList())), masked)
    else:
        split = choose_split(ids, [None] * len(ids), masked, wishes.val_share, wishes.seed)
        folder = out if wishes.dry else root / LIST_FOLDER
        for mode, chosen in (('train', split.train), ('val', split.val)):
            if chosen and (mode not in lists or chosen != ids):
                lists[mode] = _new_list(folder, mode, chosen)
                prepared.written.append(lists[mode])
    unlisted = set(layout.ids) - set(split.train) - set(split.val)
    if 'train' in lists and layout.with_image and unlisted:
        remarks.append(
            f'In no list of {LIST_FOLDER} and without a part in this: {len(unlisted)} images that have an XML. To take '
            'them, add them to a list; or delete the lists, and start again.'
        )
    remarks += split.remarks
    if not split.val:
        lists.pop('val', None)
    data.update({mode: below(path, root) for mode, path in lists.items()})
    if masks:
        list_masked(prepared, split.train, masked, out, root)
    return prepared


def _voc_lists(root: Path) -> dict[str, Path]:
    """The lists of a data set's parts, those that are there."""
    lists = {}
    for mode, names in (('train', ('train_aug', 'train', 'trainval')), ('val', ('val',))):
        for name in names:
            path = root / LIST_FOLDER / f'{name}.txt'
            if path.is_file():
                lists[mode] = path
                break
    return lists


def _new_list(folder: Path, mode: str, ids: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{mode}.txt'
    for number in range(2, 1000):
        if not path.exists() or path.read_text(encoding='utf-8').split('\n')[:-1] == list(ids):
            break
        path = folder / f'{mode}{number}.txt'  # one that somebody else wrote stays
    write_ids(path, ids)
    return path


def _class_names(layout: VOCLayout) -> list[str]:
    """Names in all XML, sorted; what is wrong with them is told when the data set is read."""
    names = set()
    with Progress(len(layout.ids), title='classes', unit='files') as progress:
        for img_id in layout.ids:
            problems = ProblemList()
            with problems.guard('unreadable-annotation', img_id):
                _, objects = read_voc_xml(layout.root / layout.boxes / f'{img_id}.xml', problems)
                names |= {one.name for one in objects}
            progress.update()
    return sorted(names - {''})


def _voc_order(layout: VOCLayout, names: list[str], has_masks: bool) -> tuple[list[str], list[str]]:
    """Classes in the order of the masks' indices, and what to know of it."""
    if not names:
        raise ValueError(f'{layout.root / layout.boxes}: no XML has an object, so there are no classes')
    for path in (layout.root / name for name in ('labelmap.txt', 'classes.txt', 'labels.txt')):
        if path.is_file():
            lines = [line for line in read_text(path).split('\n') if line.strip() and not line.startswith('#')]
            listed = [re.split(r'[:\t]', line)[0].strip() for line in lines]
            listed = [name for name in listed if name and not is_background(name)]
            return [*listed, *(name for name in names if name not in listed)], [
                f'The order of the classes is that of {path}.'
            ]
    if has_masks and set(names) <= set(VOC_CLASSES):
        return list(VOC_CLASSES), ["All classes are VOC's, so the masks are taken to have VOC's 20 indices."]
    if has_masks:
        return names, [
            'The classes are in alphabetical order, as nothing says which index they have in the masks; give them in '
            'the order of the indices 1, 2, ... (--classes NAME NAME ...) if that is another.'
        ]
    return names, []

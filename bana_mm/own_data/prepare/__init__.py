"""From a folder to the ``data`` of a data set's file: what is there is used as it is, what is missing is written."""

from pathlib import Path

from bana_mm.own_data.formats.coco import find_coco, read_parts
from bana_mm.own_data.formats.cvat import read_cvat
from bana_mm.own_data.formats.labelme import read_labelme
from bana_mm.own_data.formats.pascal_voc import find_voc, read_odd_voc
from bana_mm.own_data.formats.yolo import read_yolo
from bana_mm.utils.problems import Problems

from .coco import prepare_coco
from .foreign import prepare_foreign
from .result import Prepared, Wishes
from .voc import prepare_voc

__all__ = ['Prepared', 'Wishes', 'prepare']


def prepare(root: Path, name: str, out: Path, wishes: Wishes, problems: Problems) -> Prepared:
    """Find out how a data set is read, and write what it lacks.

    Args:
        root (Path): Its folder, or COCO's JSON.
        name (str): The format, one of ``bana_mm.own_data.formats.FORMATS``.
        out (Path): Folder to write to.
        wishes (Wishes): What the user wants.
        problems (Problems): What is told of all that is wrong in a foreign format.

    Raises:
        FileNotFoundError: If the data is not in the format.
        ValueError: If it can't be used at all. Every message names the file.
    """
    if name == 'voc':
        layout = find_voc(root)
        if layout is None:
            raise FileNotFoundError(f"{root}: holds no XML in VOC's format")
        if layout.suffix is not None:
            return prepare_voc(layout, out, wishes)
        return prepare_foreign(read_odd_voc(layout, problems), layout.root, name, out, wishes, problems)
    if name == 'coco':
        files = find_coco(root)
        if not files:
            raise FileNotFoundError(f"{root}: holds no JSON in COCO's format")
        top = root if root.is_dir() else root.parent.parent if root.parent.name == 'annotations' else root.parent
        return prepare_coco(read_parts(files, top), top, out, wishes)
    if name == 'yolo':
        source = read_yolo(root, problems, wishes.classes)
    else:
        source = dict(labelme=read_labelme, cvat=read_cvat)[name](root, problems)
    return prepare_foreign(source, root, name, out, wishes, problems)

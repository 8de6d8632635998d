"""What is wanted of a data set, what comes of it, and how parts of it are written."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bana_mm.datasets.voc_files import write_ids
from bana_mm.utils.atomic import whole_file


@dataclass
class Wishes:
    """What a user wants of a data set.

    Args:
        classes (Sequence[str] | None): Names of the classes in order. Defaults to None, those of the data.
        masks (bool): Whether outlines and masks of a foreign format are true masks. Defaults to False.
        val_share (float | None): See :func:`bana_mm.own_data.split.choose_split`. Defaults to None.
        seed (int): Of drawing the validation images. Defaults to 0.
        dry (bool): Whether nothing is to be written into the data set, not even lists. Defaults to False.
    """

    classes: Sequence[str] | None = None
    masks: bool = False
    val_share: float | None = None
    seed: int = 0
    dry: bool = False


@dataclass
class Prepared:
    """A data set that can be read.

    Args:
        format (str): The format it is in.
        data (dict): For a data set's file.
        remarks (list[str]): What somebody should know of it.
        written (list[Path]): Files and folders that were written.
        mask_split (str | None): List of training images with true masks, where some have one, relative to the root of
            the data. Defaults to None.
    """

    format: str
    data: dict[str, Any]
    remarks: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    mask_split: str | None = None


def coco_data(root: Path, classes: Sequence[str], remarks: list[str]) -> dict[str, Any]:
    return dict(
        type='bana_mm.CocoBoxDataset',
        data_root=root.as_posix(),
        data_prefix=None,  # keeps its place
        id_from='file_name',
        metainfo=dict(classes=tuple(classes)),
    )


def list_masked(prepared: Prepared, train: Sequence[str], masked: set[str], out: Path, root: Path) -> None:
    """Write which training images have masks, where some have one and others not."""
    having = [name for name in train if name in masked]
    if having and len(having) < len(train):
        out.mkdir(parents=True, exist_ok=True)
        write_ids(out / 'masked.txt', having)
        prepared.written.append(out / 'masked.txt')
        prepared.mask_split = below(out / 'masked.txt', root)


def write_json(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content), encoding='utf-8')
    return path


def stem(image: dict[str, Any]) -> str:
    return os.path.splitext(image['file_name'])[0]


def folder_below(folder: Path, root: Path) -> str:
    """A folder as it goes into ``data_prefix``."""
    path = below(folder, root)
    return '' if path == '.' else f'{path}/'


def below(path: Path, root: Path) -> str:
    """A path as it goes into the file: below the root, or absolute."""
    full = Path(os.path.abspath(path))
    top = Path(os.path.abspath(root))
    return full.relative_to(top).as_posix() if full.is_relative_to(top) else full.as_posix()

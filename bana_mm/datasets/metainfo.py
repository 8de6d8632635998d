"""Classes and colours of data sets with boxes."""

from collections.abc import Mapping, Sequence
from typing import Any

from bana_mm.utils.palette import voc_palette


def object_metainfo(
    metainfo: Mapping[str, Any] | None, defaults: Mapping[str, Any], background_class: bool = False
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Complete a data set's metainfo.

    Args:
        metainfo (Mapping | None): What the user gave: ``classes`` and ``palette``, both without the background, and
            whatever else.
        defaults (Mapping): ``classes`` and maybe ``palette`` of the data set; its colours serve its own classes only.
        background_class (bool): Put 'background' (black) first in both, as mmseg's metrics expect. Defaults to False.

    Returns:
        tuple: Names of the object classes, in the order of their labels, and the metainfo. Without a palette, classes
        have VOC's colours.

    Raises:
        ValueError: See :func:`object_classes`; or if there is not one colour for each class.
    """
    metainfo = dict(metainfo or {})
    try:
        classes = object_classes(metainfo.get('classes', defaults['classes']))
    except ValueError as error:
        raise ValueError(f'metainfo: {error}') from None
    palette = metainfo.get('palette', defaults.get('palette') if classes == tuple(defaults['classes']) else None)
    palette = list(palette or voc_palette(len(classes) + 1)[1:])
    if len(palette) != len(classes):
        raise ValueError(
            f'metainfo: {len(classes)} classes but {len(palette)} colours in palette; give both without the background'
        )
    shown = (classes, palette)
    if background_class:
        shown = (('background', *classes), [[0, 0, 0], *palette])
    metainfo.update(classes=shown[0], palette=shown[1])
    return classes, metainfo


def object_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """The names of object classes as a user gives them, checked: for every reader, store and command.

    Args:
        classes (str | Sequence[str]): Classes 1..L. A single name stands for itself, not for its letters.

    Returns:
        tuple[str, ...]: The names.

    Raises:
        ValueError: If there is none, one is no name or there twice, or the background is among them: it is class 0
            anyway, and would be learned as an object that no box has.
    """
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong or not names:
        raise ValueError(f'classes must be names, got {wrong[0]!r}' if wrong else 'classes is empty')
    background = [name for name in names if is_background(name)]
    if background:
        raise ValueError(
            f'{background[0]!r} is no object class: leave it out of classes ({", ".join(names)}); the background is '
            'class 0 without being named'
        )
    if len(set(names)) != len(names):
        raise ValueError(f'classes are named twice in {", ".join(names)}')
    return names


def is_background(name: str) -> bool:
    """Whether a class is called the background, as some programs name it: Background, __background__."""
    return name.strip().strip('_').lower() == 'background'


def without_background(classes: Sequence[str]) -> list[str]:
    """The object classes of a data set's metainfo, which names the background where it is made for mmseg's metrics."""
    return [name for name in classes if name != 'background']

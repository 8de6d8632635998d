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
        ValueError: If a class is there twice, or there is not one colour for each class.
    """
    metainfo = dict(metainfo or {})
    classes = _names(metainfo.get('classes', defaults['classes']))
    palette = metainfo.get('palette', defaults.get('palette') if classes == tuple(defaults['classes']) else None)
    palette = list(palette or voc_palette(len(classes) + 1)[1:])
    if len(set(classes)) != len(classes):
        raise ValueError(f'metainfo: classes are named twice in {", ".join(classes)}')
    if len(palette) != len(classes):
        raise ValueError(
            f'metainfo: {len(classes)} classes but {len(palette)} colours in palette; give both without the background'
        )
    shown = (classes, palette)
    if background_class:
        shown = (('background', *classes), [[0, 0, 0], *palette])
    metainfo.update(classes=shown[0], palette=shown[1])
    return classes, metainfo


def _names(classes: Sequence[str]) -> tuple[str, ...]:
    """A single name stands for itself, not for its letters."""
    return (classes,) if isinstance(classes, str) else tuple(classes)

"""A classifier that labels a data set with other classes than its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# What PASCAL VOC and COCO call by different names.
SYNONYMS = (
    ('aeroplane', 'airplane'),
    ('diningtable', 'dining table'),
    ('motorbike', 'motorcycle'),
    ('pottedplant', 'potted plant'),
    ('sofa', 'couch'),
    ('tvmonitor', 'tv'),
)


def weight_of_classes(
    weight: Tensor, own: Sequence[str], wanted: Sequence[str], same_as: Mapping[str, str | None] | None = None
) -> tuple[Tensor, list[str]]:
    """Classifier weights for another list of classes.

    Classes of one name share their weight, and so do those in :data:`SYNONYMS`. A class that the classifier does not
    know has a weight of zeros, so that its CAM is zero everywhere and 1 - A takes its place (paper Sec. 4.2).

    Args:
        weight (Tensor): (L + 1, D), row 0 for the background.
        own (Sequence[str]): Names of the L classes that the classifier was trained on.
        wanted (Sequence[str]): Names of the M classes to label.
        same_as (Mapping[str, str | None] | None): For wanted classes that the classifier knows by another name, that
            name, such as ``{'truck': 'car'}``; None for those that are not to have a weight. Defaults to None.

    Returns:
        tuple[Tensor, list[str]]: (M + 1, D), row 0 for the background, and the names of the classes without a weight.

    Raises:
        ValueError: If there is not one name for each weight, or ``same_as`` names a class that is not there.
    """
    if len(own) != len(weight) - 1:
        raise ValueError(
            f'the classifier has {len(weight) - 1} classes, but {len(own)} names are given for them: {", ".join(own)}'
        )
    same_as = dict(same_as or {})
    names = [name for name in same_as.values() if name is not None]
    for kind, given, known in (('labelled', same_as, wanted), ("classifier's", names, own)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(f'same_as names the class {unknown[0]!r}, but the {kind} classes are {", ".join(known)}')
    row: dict[str | None, int] = {name: number for number, name in enumerate(own, start=1)}
    for pair in SYNONYMS:
        for name, other in (pair, pair[::-1]):
            if name in row:
                row.setdefault(other, row[name])
    rows = [row.get(same_as.get(name, name)) for name in wanted]
    zero = torch.zeros_like(weight[0])
    mapped = torch.stack([weight[0], *(zero if index is None else weight[index] for index in rows)])
    return mapped, [name for name, index in zip(wanted, rows) if index is None]

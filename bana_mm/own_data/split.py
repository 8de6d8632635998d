"""Which images train and which validate."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass
class Split:
    """The images of a training and of its validation.

    Args:
        train (list): Names of the images.
        val (list): Names of the images that are evaluated; all have masks.
        remarks (list[str]): What somebody should know of it.
    """

    train: list
    val: list
    remarks: list[str] = field(default_factory=list)


def choose_split(
    names: Sequence, parts: Sequence[str | None], masked: Collection, share: float | None = None, seed: int = 0
) -> Split:
    """Keep the parts that the data has, or draw the validation images.

    Only images with masks can be evaluated. Without any, all images train: a validation would only take boxes away.

    Args:
        names (Sequence): Of the images, each once.
        parts (Sequence[str | None]): 'train', 'val' or 'test' for each image, or None where the data does not say.
        masked (Collection): Names of the images that have masks.
        share (float | None): How many of the images to draw, in [0, 1); 0 lets all train whatever their part. Of images
            with masks it takes at most half. Defaults to None, the parts of the data, or else 0.2.
        seed (int): Of the draw. Defaults to 0.

    Raises:
        ValueError: If the share is out of range.
    """
    if share is not None and not 0 <= share < 1:
        raise ValueError(f'the share of validation images must lie in [0, 1), got {share}')
    masked = set(masked)
    given = [name for name, part in zip(names, parts) if part == 'val']
    if share == 0:
        return Split(list(names), [], ['No validation images, as asked for: nothing is evaluated.'])
    if given and share is None:
        train = [name for name, part in zip(names, parts) if part not in ('val', 'test')]
        return with_masks(Split(train, given), masked)
    train = [name for name, part in zip(names, parts) if part != 'test']
    candidates = sorted(name for name in train if name in masked)
    if not candidates:
        text = 'No image has a mask, so nothing can be evaluated, and all images train.'
        return Split(
            train, [], [text + ' With masks of some images, start again: a fifth of the images validate then.']
        )
    share = 0.2 if share is None else share
    count = min(max(1, round(share * len(train))), len(candidates) // 2)
    if not count:
        return Split(train, [], ['One image has a mask, which is too few to evaluate with.'])
    val = set(random.Random(seed).sample(candidates, count))
    text = f'The data has no validation part: {count} of the {len(train)} images were drawn (seed {seed})'
    text += ' of those that have masks.' if len(candidates) < len(train) else '.'
    return Split([name for name in train if name not in val], [name for name in train if name in val], [text])


def with_masks(split: Split, masked: Collection) -> Split:
    """The same without validation images where some of them have no mask, and a remark on it."""
    count = sum(name in masked for name in split.val)
    if split.val and count < len(split.val):
        split.remarks.append(
            f'Evaluation needs masks: {count} of the {len(split.val)} validation images have one, so nothing is '
            'evaluated. They do not train either; --val-share 0 lets all images train.'
        )
        split.val = []
    return split

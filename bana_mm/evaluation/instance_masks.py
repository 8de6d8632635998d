"""True instance masks and those made from boxes, as run lengths by the ids of their annotations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_api

from bana_mm.datasets.coco_files import is_ignored, read_coco
from bana_mm.labels import LabelItems, LabelSource, MemorySink
from bana_mm.labels.data import build_coco_dataset
from bana_mm.labels.runner import label_images
from bana_mm.structures import RunLengths, encode_mask
from bana_mm.structures.run_length import mask_of
from bana_mm.utils.run_options import RunOptions


@dataclass
class TrueMasks:
    """The instances of a data set.

    Args:
        path (Path): The file that they come from.
        images (dict[int, dict]): Entries ``images`` of the file by id.
        categories (list[dict]): Its entries ``categories``.
        annotations (dict[int, dict]): Entries ``annotations`` by id, each with run lengths as ``segmentation``, with
            ``area`` in pixels, and ``iscrowd`` 1 for crowds and ignored ones, else 0.
    """

    path: Path
    images: dict[int, dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: dict[int, dict[str, Any]]

    def only(self, img_ids: Sequence[int]) -> 'TrueMasks':
        """The same for some of the images."""
        chosen = set(img_ids)
        return TrueMasks(
            self.path,
            {key: image for key, image in self.images.items() if key in chosen},
            self.categories,
            {key: one for key, one in self.annotations.items() if one['image_id'] in chosen},
        )

    def objects(self) -> dict[int, dict[str, Any]]:
        """The annotations that are neither crowds nor ignored."""
        return {key: annotation for key, annotation in self.annotations.items() if not annotation['iscrowd']}


@dataclass
class LabelMasks:
    """Masks made from the boxes of a data set.

    Args:
        masks (dict[int, RunLengths]): By id of the annotation.
        unreliable (dict[int, RunLengths]): Pixels that are not to be trusted, where the labels say so.
        scores (dict[int, float]): Where the labels have any.
        img_ids (tuple[int, ...] | None): Images that were labelled. Defaults to None, all.
    """

    masks: dict[int, RunLengths]
    unreliable: dict[int, RunLengths]
    scores: dict[int, float]
    img_ids: tuple[int, ...] | None = None


def read_true_masks(path: str | Path) -> TrueMasks:
    """Read a COCO file whose masks are the ground truth.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such file, or an annotation that is neither crowd nor ignored has no mask; the message
            names file, annotation and field.
    """
    content = read_coco(path)
    images = {image['id']: image for image in content['images']}
    annotations = {}
    for annotation, run_lengths in _masks(path, content, images):
        if run_lengths is None and not is_ignored(annotation):
            raise ValueError(
                f'{path}: annotation {annotation["id"]}: segmentation is missing, but this is the file of true masks'
            )
        if run_lengths is not None:
            area = annotation.get('area') or float(mask_api.area(run_lengths))
            annotations[annotation['id']] = dict(
                annotation, segmentation=run_lengths, area=area, iscrowd=int(is_ignored(annotation))
            )
    return TrueMasks(Path(path), images, content['categories'], annotations)


def read_label_masks(path: str | Path, ground_truth: TrueMasks) -> LabelMasks:
    """Read a COCO file of masks that were made from the boxes of another.

    Args:
        path (str | Path): Has the images and annotation ids of the true masks, or some of them; ``segmentation``, and
            maybe ``unreliable`` (run lengths) and ``score``.
        ground_truth (TrueMasks): The true masks.

    Returns:
        LabelMasks: Masks of the annotations that are neither crowd nor ignored in the ground truth. Those without a
        mask in the file are missing in it.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such file, or its images, annotations or categories are not those of the ground truth;
        the
            message names file, entry and field.
    """
    content = read_coco(path)
    images = {image['id']: image for image in content['images']}
    for img_id, image in images.items():
        true = ground_truth.images.get(img_id)
        if true is None or (true['height'], true['width']) != (image['height'], image['width']):
            raise ValueError(
                f'{path}: image {img_id} is not in {ground_truth.path}' + (' in this size' if true else '')
            )
    known = ground_truth.annotations
    labels = LabelMasks({}, {}, {}, tuple(images))
    for annotation, run_lengths in _masks(path, content, images):
        number, true = annotation['id'], known.get(annotation['id'])
        if is_ignored(annotation) or (true is not None and true['iscrowd']):
            continue
        for field in ('image_id', 'category_id'):
            if true is None or annotation[field] != true[field]:
                found = 'is not there' if true is None else f'has {field} {true[field]}, not {annotation[field]}'
                raise ValueError(
                    f'{path}: annotation {number} {found} in {ground_truth.path}; labels are compared by annotation id'
                )
        if run_lengths is None:
            continue
        labels.masks[number] = run_lengths
        unreliable = annotation.get('unreliable')
        if unreliable is not None:
            labels.unreliable[number] = _named(path, number, 'unreliable', unreliable, run_lengths['size'])
        if annotation.get('score') is not None:
            labels.scores[number] = float(annotation['score'])
    return labels


def make_label_masks(
    source: LabelSource, ground_truth: TrueMasks, image_dir: str | Path, options: RunOptions | None = None
) -> LabelMasks:
    """Let a source find the object in each box of a data set.

    Args:
        source (LabelSource): Any source, see :func:`bana_mm.labels.build_label_source`.
        ground_truth (TrueMasks): Images and boxes; the masks are not looked at.
        image_dir (str | Path): Folder of the images.
        options (RunOptions | None): Processes and batch size. Defaults to None, none and 1.

    Returns:
        LabelMasks: One for each box of an annotation that is neither crowd nor ignored and lies in the image.

    Raises:
        RuntimeError: If an image is missing or of another size; the message names it.
    """
    dataset = build_coco_dataset(ground_truth.path, image_dir, id_from='file_name')  # after which label maps are named
    items = LabelItems(dataset)
    chosen = [index for index in range(len(items)) if dataset.get_data_info(index)['coco_id'] in ground_truth.images]
    sink = MemorySink(len(items), 'masks')
    source.bind(items.classes, items.category_ids)
    label_images(source, items, sink, options or RunOptions(), chosen)
    labels = LabelMasks({}, {}, {})
    for index in chosen:
        layout = items[index].layout
        kept = [one for one in dataset.get_data_info(index)['instances'] if not one['ignore_flag']]
        for instance, (x1, y1, *_), one in zip(kept, layout.boxes.tolist(), sink.answers[index], strict=True):
            number = instance['ann_id']
            labels.masks[number] = encode_mask(one.mask, layout.size, (x1, y1))
            labels.scores[number] = one.score
            if one.unreliable.any():
                labels.unreliable[number] = encode_mask(one.unreliable, layout.size, (x1, y1))
    return labels


def _masks(
    path: str | Path, content: Mapping[str, Any], images: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[dict[str, Any], RunLengths | None]]:
    """Each annotation and its mask, None where it has none."""
    for annotation in content['annotations']:
        image = images[annotation['image_id']]
        given = annotation.get('segmentation')
        yield (
            annotation,
            _named(path, annotation['id'], 'segmentation', given, (image['height'], image['width'])) if given else None,
        )


def _named(path: str | Path, number: int, field: str, segmentation: Any, size: Sequence[int]) -> RunLengths:
    try:
        return mask_of(segmentation, tuple(size))
    except Exception as error:  # pycocotools raises all sorts
        raise ValueError(f'{path}: annotation {number}: {field} is no mask of its image ({error})') from error

"""COCO files of pseudo masks, with the pixels that are not to be trusted."""

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

from bana_mm.registry import DATASETS
from bana_mm.utils.label_origin import LabelOrigin
from bana_mm.utils.shortened import shortened

from .coco_box import CheckedCOCO, CocoBoxDataset
from .named_steps import Step, pipeline_steps


class _COCOWithMasks(CheckedCOCO):
    with_masks = True


@DATASETS.register_module()
class CocoPseudoMaskDataset(CocoBoxDataset):
    """COCO's images with pseudo masks, for training any mmdet model of instances on them.

    The file is COCO's JSON; its annotations have ``segmentation`` (run lengths or polygons) and maybe ``unreliable``,
    the run lengths of the pixels that are not to be trusted, as ``tools/generate_labels.py`` writes it. Instances get
    them as ``mask`` and ``unreliable``, for ``LoadAnnotations(with_mask=True)`` and ``LoadUnreliable``; an annotation
    without ``unreliable`` is reliable everywhere, so that files of true masks can be read too. Apart from that the
    class is :class:`CocoBoxDataset`, with mmdet's rule that boxes under one pixel in width or height are left out.

    Ignored annotations (crowds) may lack a mask; all others must have one.

    Args:
        ann_file (str): The JSON file. Defaults to '', that of ``pseudo_labels``.
        pseudo_labels (dict | None): ``json``, the file, which ``data_root`` does not apply to, and how a missing one is
            made: ``config`` and ``checkpoint`` of the classifier, see
            :class:`bana_mm.utils.label_origin.LabelOrigin`, and ``boxes``, COCO's JSON of the boxes, whose masks are
            used with ``keep_masks=True`` alone. Defaults to None.
        args: See :class:`CocoBoxDataset`.
        kwargs: See :class:`CocoBoxDataset` and mmdet's ``CocoDataset``.

    Raises:
        FileNotFoundError: If the file is missing; the message gives the commands that make it.
        ValueError: If neither ``ann_file`` nor ``pseudo_labels`` names a file, or a mask is missing or of another size
            than its image; the message names file and annotation. For more see :class:`CocoBoxDataset`.
    """

    COCOAPI = _COCOWithMasks

    def __init__(
        self,
        ann_file: str = '',
        data_root: str = '',
        *args,
        pseudo_labels: Mapping[str, Any] | None = None,
        **kwargs,
    ) -> None:
        if not ann_file:
            if not (pseudo_labels or {}).get('json'):
                raise ValueError('CocoPseudoMaskDataset: set ann_file, or pseudo_labels.json, to the file of the masks')
            ann_file = osp.abspath(pseudo_labels['json']) if data_root else pseudo_labels['json']
        super().__init__(ann_file, data_root, *args, pseudo_labels=pseudo_labels, **kwargs)

    def _steps(self, pipeline: Mapping[str, Any] | Sequence[Step], data_root: str) -> list[Step]:
        return pipeline_steps(pipeline)  # the labels come with the annotations

    def load_data_list(self) -> list[dict]:
        """Read the file."""
        if self.backend_args is None and not osp.isfile(self.ann_file):
            boxes = (self.pseudo_labels or {}).get('boxes') or 'BOXES.json'
            keep = ['--keep-masks'] if (self.pseudo_labels or {}).get('keep_masks') else []
            remedy = LabelOrigin.from_cfg(self.pseudo_labels).remedy('--coco', boxes, '--out', self.ann_file, *keep)
            raise FileNotFoundError(
                f'{self.ann_file}: there are no pseudo masks. {remedy}, '
                "or set the data set's ann_file to a JSON file that has them"
            )
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """One item, from an image and its annotations."""
        item = super().parse_data_info(raw_data_info)
        annotations = {annotation['id']: annotation for annotation in raw_data_info['raw_ann_info']}
        size = [item['height'], item['width']]
        instances = []
        for instance in item['instances']:
            x1, y1, x2, y2 = instance['bbox']
            if x2 - x1 < 1 or y2 - y1 < 1:
                continue
            annotation = annotations[instance['ann_id']]
            # mmdet makes an ignored instance of a mask without a polygon
            instance['mask'] = annotation.get('segmentation') or []
            if not instance['mask'] and not instance['ignore_flag']:
                raise ValueError(
                    self._problem(
                        annotation, 'no segmentation; make masks from the boxes with tools/generate_labels.py'
                    )
                )
            if isinstance(instance['mask'], dict):
                self._check_run_lengths(annotation, 'segmentation', size)
            if annotation.get('unreliable') is not None:
                self._check_run_lengths(annotation, 'unreliable', size)
                instance['unreliable'] = annotation['unreliable']
            instances.append(instance)
        item['instances'] = instances
        return item

    def _check_run_lengths(self, annotation: dict, field: str, size: list[int]) -> None:
        mask = annotation[field]
        if not isinstance(mask, dict) or not {'size', 'counts'} <= set(mask):
            raise ValueError(self._problem(annotation, f'{field} must be run lengths, with size and counts'))
        if mask['size'] != size:
            told = f'{field} has height and width {shortened(mask["size"])}, but the image {size}'
            raise ValueError(self._problem(annotation, told))

    def _problem(self, annotation: dict, what: str) -> str:
        return f'{self.ann_file}: annotation {annotation["id"]}: {what}'

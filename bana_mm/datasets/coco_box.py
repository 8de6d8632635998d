"""COCO's boxes, the dataset of all three stages, instance labels included."""

import os
import os.path as osp
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO

from bana_mm.registry import DATASETS
from bana_mm.utils.problems import STOP, Place, Problems

from .coco_files import box_of, is_ignored, read_coco
from .image_ids import check_distinct
from .metainfo import object_metainfo
from .named_steps import Step, hand_labels, pipeline_steps
from .reading_notes import ReadingNotes, check_other_classes
from .transforms.checked_loading import checked_pipeline


class CheckedCOCO(COCO):
    """mmdet's access to a COCO file: checked, without its masks, and with categories in the order of the classes."""

    with_masks = False

    def __init__(self, annotation_file: str, problems: Problems = STOP) -> None:
        super().__init__()
        self.path = annotation_file
        self.problems = problems
        self.dataset = read_coco(annotation_file, self.with_masks, problems)
        self.imgs = {image['id']: image for image in self.dataset['images']}
        self.anns = {annotation['id']: annotation for annotation in self.dataset['annotations']}
        self.cats = {category['id']: category for category in self.dataset['categories']}
        for annotation in self.dataset['annotations']:
            self.imgToAnns[annotation['image_id']].append(annotation)
            self.catToImgs[annotation['category_id']].append(annotation['image_id'])

    def get_cat_ids(self, cat_names: Sequence[str]) -> list[int]:
        """Ids of the named categories, in the order of the names; mmdet's are in the order of the file."""
        ids = defaultdict(list)
        for category in self.dataset['categories']:
            ids[category['name']].append(category['id'])
        for name in cat_names:
            if len(ids[name]) != 1:
                found = f'{len(ids[name])} categories are called' if ids[name] else 'no category is called'
                names = ', '.join(category['name'] for category in self.dataset['categories'])
                error = ValueError(
                    f'{self.path}: {found} {name!r}, but metainfo.classes has that class; the categories are {names}'
                )
                self.problems.error('unknown-class', error, self.path, f'class {name}')
        return [ids[name][0] if ids[name] else None for name in cat_names]


@DATASETS.register_module()
class CocoBoxDataset(CocoDataset):
    """mmdet's ``CocoDataset`` that reads boxes only and leaves no object without a box out.

    The file needs no ``segmentation``; one that is there (polygons, run lengths, null) is not read. What differs from
    mmdet's class:

    - Crowds and annotations marked ``ignore`` are instances with ``ignore_flag=1``: neither foreground nor background.
    - Boxes are clipped to the image, and kept however small; those without any area inside it are left out and counted
      in the log.
    - Items have ``coco_id``, the image's id in the file, and each instance ``ann_id``, its annotation's id. Instances
      are in the order of the file.
    - Labels follow the order of the classes, not that of the file's categories; a class without a category is an error.
      Boxes of categories that are no class count as background (as in mmdet), or as ``other_classes`` says.
    - Images and masks are loaded by the transforms of
      :func:`~bana_mm.datasets.transforms.checked_loading.checked_pipeline`, which compare their sizes with the file's.
    - Items carry what mmseg's transforms need (``seg_fields``, ``label_map``, ``reduce_zero_label``), and
      ``seg_map_path`` where there is a mask.

    Boxes are float xyxy, 0-based and half-open. Images without boxes are kept: all background.

    Args:
        ann_file (str): COCO's JSON of instances.
        data_root (str): Root of the data set, such as ``data/coco``. Defaults to ''.
        data_prefix (dict): Folder of the images as ``img``, of masks (class indices as PNG) as ``seg``, if any.
            Defaults to ``dict(img='')``.
        id_from (str): What ``img_id``, after which label files are named, is: 'id' (the number in the file, as COCO's
            metrics and files of instances have it) or 'file_name' (without its suffix). Defaults to 'id'.
        background_class (bool): Put 'background' first in the classes and the palette of the metainfo, as mmseg's
            metrics expect. Box labels start at the first object class either way. Defaults to False.
        require_masks (bool): Whether every image must have a mask, as for evaluation. Defaults to False.
        other_classes (str): What annotations of categories are that ``metainfo`` does not name: 'background', 'ignore'
            (neither foreground nor background) or 'error'. Defaults to 'background'.
        metainfo (dict | None): ``classes``, the names of the categories to take, and ``palette`` for other classes
            than COCO's 80. Defaults to None.
        pseudo_labels (dict | None): What the images are trained on in place of masks, see
            :class:`bana_mm.datasets.VOCBoxDataset`. Defaults to None.
        pipeline (dict | list): Transforms, named ones or a list, see :mod:`bana_mm.datasets.named_steps`. Defaults to
            none.
        problems (Problems | None): What is told of all that is wrong, where images and objects with errors are left
            out. Defaults to None, what stops at the first error.
        kwargs: See mmdet's ``CocoDataset``.

    Raises:
        FileNotFoundError: If root, file, an image or a required mask is missing.
        ValueError: If the file is not as it must be, see :func:`bana_mm.datasets.coco_files.read_coco`, lacks a class,
            or two images would share an id or a mask. Every message names the file.
    """

    COCOAPI = CheckedCOCO

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict | None = None,
        id_from: str = 'id',
        background_class: bool = False,
        require_masks: bool = False,
        other_classes: str = 'background',
        metainfo: dict | None = None,
        pseudo_labels: Mapping[str, Any] | None = None,
        pipeline: Mapping[str, Any] | Sequence[Step] = (),
        problems: Problems | None = None,
        **kwargs,
    ) -> None:
        if id_from not in ('id', 'file_name'):
            raise ValueError(f"id_from must be 'id' or 'file_name', got {id_from!r}")
        self.id_from = id_from
        self.require_masks = require_masks
        self.other_classes = check_other_classes(other_classes)
        self.pseudo_labels = pseudo_labels
        self._problems = problems or STOP
        self.COCOAPI = partial(type(self).COCOAPI, problems=self._problems)
        self.object_classes, metainfo = object_metainfo(metainfo, self.METAINFO, background_class)
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={'img': '', **(data_prefix or {})},
            pipeline=checked_pipeline(
                self._steps(pipeline, data_root), len(self.object_classes), warn_orientation=True
            ),
            **kwargs,
        )

    def _steps(self, pipeline: Mapping[str, Any] | Sequence[Step], data_root: str) -> list[Step]:
        return hand_labels(pipeline_steps(pipeline), self.pseudo_labels, data_root)

    def load_data_list(self) -> list[dict]:
        """Read the file and find the images."""
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'data_root {self.data_root!r} does not exist: set it in the config, or through '
                'the environment variable that the config names (COCO_ROOT)'
            )
        # mmdet looks the classes up by metainfo, in which the background is no category.
        shown, self._metainfo['classes'] = self._metainfo['classes'], self.object_classes
        self._notes = ReadingNotes(self.ann_file, 'x, y, width and height', self._problems)
        try:
            items = super().load_data_list()
        finally:
            self._metainfo['classes'] = shown
        if not items:
            self._problems.error(
                'unreadable-annotation', ValueError(f'{self.ann_file}: images is empty'), self.ann_file
            )
        items = self._with_files(items)
        self._notes.log(self.other_classes)
        return items

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """One item, from an image and its annotations."""
        image = raw_data_info['raw_img_info']
        item = super().parse_data_info(dict(raw_img_info=image, raw_ann_info=[]))
        item.update(coco_id=item['img_id'], seg_fields=[], label_map=None, reduce_zero_label=False)
        if item['seg_map_path'] is not None:  # mmdet takes a dot in a folder for the one before the suffix
            name = osp.splitext(image['file_name'])[0] + self.seg_map_suffix
            item['seg_map_path'] = osp.join(self.data_prefix['seg'], name)
        for annotation in raw_data_info['raw_ann_info']:
            label = self.cat2label.get(annotation['category_id'])
            if label is None and not self._takes_other(annotation):
                continue
            box = box_of(annotation, image['width'], image['height'])
            where = Place(self.ann_file, f'annotation {annotation["id"]}')
            if box is None:
                self._notes.without_area.append(where)
                if self._problems.is_list:
                    item['lacks_boxes'] = True
                continue
            x, y, width, height = annotation['bbox']
            key = (item['img_id'], annotation['category_id'])
            self._notes.box(where, (x, y, x + width, y + height), box, annotation['bbox'], key)
            item['instances'].append(
                dict(
                    bbox=box,
                    bbox_label=-1 if label is None else label,
                    ignore_flag=int(label is None or is_ignored(annotation)),
                    ann_id=annotation['id'],
                )
            )
        return item

    def _takes_other(self, annotation: dict) -> bool:
        """Whether an annotation of another class becomes an ignored instance."""
        name = self.coco.cats[annotation['category_id']]['name']
        if self.other_classes == 'error':
            error = ValueError(
                f'{self.ann_file}: annotation {annotation["id"]} is of the category {name!r}, which metainfo.classes '
                "does not name; other_classes='ignore' takes only these classes"
            )
            self._problems.error('unknown-class', error, self.ann_file, f'annotation {annotation["id"]}')
            return False
        self._notes.other_classes[name] += 1
        return self.other_classes == 'ignore'

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of an image's boxes, for mmdet's ``ClassBalancedDataset``."""
        return [label for label in super().get_cat_ids(idx) if label >= 0]  # -1: of another class

    def filter_data(self) -> list[dict]:
        """Filter as mmdet does, which knows images by their number in the file; then give them the ids asked for."""
        items = super().filter_data()
        if not items:
            raise ValueError(f'{self.ann_file}: no image passes filter_cfg {self.filter_cfg}')
        if self.id_from == 'file_name':
            for item in items:
                item['img_id'] = osp.splitext(osp.relpath(item['img_path'], self.data_prefix['img'] or '.'))[0]
            check_distinct(
                ((item['img_id'], item['img_path']) for item in items),
                f'{self.ann_file}: labels',
                "id_from='id'",
                self._problems,
            )
        check_distinct(
            ((item['seg_map_path'], item['img_path']) for item in items if 'seg_map_path' in item),
            f'{self.ann_file}: the mask',
            problems=self._problems,
        )
        return items

    def _with_files(self, items: list[dict]) -> list[dict]:
        """Find the images and masks, unless they are on a remote backend; the items whose image is there."""
        if self.backend_args is not None:
            return items
        exists = _listed_files()
        missing = [item['img_path'] for item in items if not exists(item['img_path'])]
        for path in missing:
            error = FileNotFoundError(
                f'{path} does not exist ({len(missing)} of the {len(items)} images of '
                f"{self.ann_file} are missing; data_prefix['img'] is {self.data_prefix['img']!r})"
            )
            self._problems.error('missing-image', error, path)
        for item in items:
            path = item['seg_map_path']
            if path is not None and exists(path):
                continue
            if self.require_masks:
                error = FileNotFoundError(
                    f'{path or item["img_path"]}: the mask does not exist, but evaluation needs '
                    f"one of every image of {self.ann_file} (data_prefix['seg'])"
                )
                self._problems.error('missing-mask', error, path or item['img_path'])
            del item['seg_map_path']
        return [item for item in items if exists(item['img_path'])] if missing else items


def _listed_files() -> Callable[[str], bool]:
    """Whether a file exists, found out by listing its folder once: much faster than to ask for every file."""

    @cache
    def names(folder: str) -> frozenset[str]:
        return frozenset(os.listdir(folder or '.')) if osp.isdir(folder or '.') else frozenset()

    return lambda path: osp.basename(path) in names(osp.dirname(path))

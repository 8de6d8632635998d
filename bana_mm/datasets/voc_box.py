"""PASCAL VOC boxes, the dataset of all three stages."""

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from bana_mm.registry import DATASETS
from bana_mm.utils.image_files import read_header, size_problem
from bana_mm.utils.problems import STOP, Place, Problems

from .metainfo import object_metainfo
from .named_steps import Step, hand_labels, pipeline_steps
from .reading_notes import ReadingNotes, check_other_classes
from .transforms.checked_loading import checked_pipeline
from .voc_files import VOCObject, read_ids, read_voc_xml

VOC_CLASSES = (
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)


@DATASETS.register_module()
class VOCBoxDataset(BaseDataset):
    """Images with boxes in PASCAL VOC's layout and XML.

    Items carry what mmdet's transforms need (``instances``) and what mmseg's need (``seg_map_path``, ``seg_fields``,
    ``label_map``, ``reduce_zero_label``), so one dataset serves the classifier, the labels and the segmentation.
    Boxes are float xyxy, 0-based and half-open: ``[xmin - 1, ymin - 1, xmax, ymax]``. Boxes that reach over the image's
    edge are clipped to it. Images without boxes are kept: all background.

    The size of an image is its own, as viewers show it, turned by its EXIF orientation. An XML that gives the size of
    the unturned pixels is an error, since its boxes lie there too; another wrong size is a warning where height and
    width are swapped or a pixel off and all boxes lie inside the image, else an error. Images and masks are loaded by
    :func:`~bana_mm.datasets.transforms.checked_loading.checked_pipeline`'s transforms.

    Args:
        ann_file (str): Text file with one image id a line, see :func:`bana_mm.datasets.voc_files.read_ids`.
        data_root (str): Root of the data set, such as ``data/VOCdevkit/VOC2012``.
        data_prefix (dict): Folders of the images, boxes and (if any) masks. Defaults to
            ``dict(img_path='JPEGImages', box_path='Annotations', seg_map_path='SegmentationClassAug')``.
        img_suffix (str): Defaults to '.jpg'.
        difficult (str): What to do with objects marked difficult: 'ignore' (neither foreground nor background) or
            'keep' (reference code). Defaults to 'ignore'.
        background_class (bool): Put 'background' first in the classes and the palette of the metainfo, as mmseg's
            metrics expect. Box labels start at the first object class either way. Defaults to False.
        require_masks (bool): Whether every image must have a mask, as for evaluation. Defaults to False.
        other_classes (str): What objects of classes are that ``metainfo`` does not name: 'error', 'background', or
            'ignore' (neither foreground nor background), which takes a subset of the classes. Defaults to 'error'.
        require_boxes (bool): Whether every image must have an XML. Without, one that has none counts as an image
            without boxes, as in a test split that comes without annotations. Defaults to True.
        metainfo (dict | None): ``classes``, the object classes without background, and ``palette`` for other data than
            VOC. The palette defaults to VOC's colours.
        pseudo_labels (dict | None): What the images are trained on in place of masks. ``dir`` (a label store),
            ``maps``, ``source`` and ``mask_split`` (a path relative to ``data_root``) are handed to ``BoxPseudoLabel``
            in the pipeline, see there. The other fields say how missing labels are made: ``config`` and
            ``checkpoint`` of the classifier, see :class:`bana_mm.utils.label_origin.LabelOrigin`. Defaults to None.
        pipeline (dict | list): Transforms, named ones or a list, see :mod:`bana_mm.datasets.named_steps`. Defaults to
            none.
        problems (Problems | None): What is told of all that is wrong, where images and objects with errors are left
            out. Defaults to None, what stops at the first error.
        kwargs: See mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If root, split, an image, its XML or a required mask is missing.
        ValueError: If a list or an XML cannot be read, names an unknown class or holds a bad box, or an image cannot be
            read or is of another size than its XML says. Every message names the file.
    """

    METAINFO = dict(classes=VOC_CLASSES)

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict | None = None,
        img_suffix: str = '.jpg',
        difficult: str = 'ignore',
        background_class: bool = False,
        require_masks: bool = False,
        require_boxes: bool = True,
        other_classes: str = 'error',
        metainfo: dict | None = None,
        pseudo_labels: Mapping[str, Any] | None = None,
        pipeline: Mapping[str, Any] | Sequence[Step] = (),
        problems: Problems | None = None,
        **kwargs,
    ) -> None:
        if difficult not in ('ignore', 'keep'):
            raise ValueError(f"difficult must be 'ignore' or 'keep', got {difficult!r}")
        self.img_suffix = img_suffix
        self.difficult = difficult
        self.require_masks = require_masks
        self.require_boxes = require_boxes
        self.other_classes = check_other_classes(other_classes)
        self.pseudo_labels = pseudo_labels
        self._problems = problems or STOP
        classes, metainfo = object_metainfo(metainfo, self.METAINFO, background_class)
        self.label_of = {name: label for label, name in enumerate(classes)}
        default_prefix = dict(img_path='JPEGImages', box_path='Annotations', seg_map_path='SegmentationClassAug')
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={**default_prefix, **(data_prefix or {})},
            pipeline=checked_pipeline(hand_labels(pipeline_steps(pipeline), pseudo_labels, data_root), len(classes)),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the split and the XML of each of its images."""
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'data_root {self.data_root!r} does not exist: set it in the config, or through '
                'the environment variable that the config names (VOC_ROOT)'
            )
        self._notes = ReadingNotes(self.ann_file, 'counted from 1: xmin, ymin, xmax and ymax', self._problems)
        items = map(self._load_item, read_ids(self.ann_file, self._has_image, self._problems))
        found = [item for item in items if item is not None]
        self._notes.log(self.other_classes)
        return found

    def _image_path(self, img_id: str) -> str:
        return osp.join(self.data_prefix['img_path'], img_id + self.img_suffix)

    def _has_image(self, img_id: str) -> bool:
        return osp.isfile(self._image_path(img_id))

    def _load_item(self, img_id: str) -> dict | None:
        """An image and its boxes; None where it can't be used and problems are listed."""
        errors = self._problems.count
        img_path = self._image_path(img_id)
        xml_path = osp.join(self.data_prefix['box_path'], img_id + '.xml')
        for path, field, kind in ((img_path, 'img_path', 'image'), (xml_path, 'box_path', 'annotation')):
            if not osp.isfile(path) and (field == 'img_path' or self.require_boxes):
                error = FileNotFoundError(
                    f'{path} does not exist (id {img_id!r} of {self.ann_file}; data_prefix[{field!r}])'
                )
                self._problems.error(f'missing-{kind}', error, path)
        told, objects = None, []
        if osp.isfile(xml_path):
            with self._problems.guard('unreadable-annotation', xml_path):
                told, objects = read_voc_xml(xml_path, self._problems)
        shown = None
        if osp.isfile(img_path):
            with self._problems.guard('unreadable-image', img_path):
                shown = self._image_size(img_path, xml_path, told, objects)
        size = shown or told  # the latter only where problems are listed
        if size is None:
            return None
        instances = self._instances(xml_path, objects, size[1], size[0])
        if shown is None:
            return None
        item = dict(
            img_id=img_id,
            img_path=img_path,
            width=size[1],
            height=size[0],
            instances=instances,
            seg_fields=[],
            label_map=None,
            reduce_zero_label=False,
        )
        if self._problems.count > errors:
            item['lacks_boxes'] = True
        seg_map_path = osp.join(self.data_prefix['seg_map_path'], img_id + '.png')
        if osp.isfile(seg_map_path):
            item['seg_map_path'] = seg_map_path
        elif self.require_masks:
            error = FileNotFoundError(
                f'{seg_map_path} does not exist, but evaluation needs a mask of every image (id '
                f"{img_id!r} of {self.ann_file}; data_prefix['seg_map_path'])"
            )
            self._problems.error('missing-mask', error, seg_map_path)
        return item

    def _image_size(
        self, img_path: str, xml_path: str, told: tuple[int, int] | None, objects: Sequence[VOCObject]
    ) -> tuple[int, int] | None:
        """Height and width of an image, and whether its XML means the same; None where it does not."""
        header = read_header(img_path)
        height, width = header.shown
        if told is None or told == header.shown:
            if objects and (not header.is_told_by_size or (told is None and header.orientation != 1)):
                self._notes.unsure_orientation.append(Place(img_path))
            return header.shown
        inside = all(one.box[2] <= width + 1 and one.box[3] <= height + 1 for one in objects)
        is_slip = told == header.shown[::-1] or max(abs(told[0] - height), abs(told[1] - width)) <= 1
        if header.orientation != 1 or not (inside and is_slip):
            self._problems.error('size', ValueError(size_problem(img_path, header.shown, told)), img_path)
            return None
        self._notes.other_size.append(Place(xml_path))
        return header.shown

    def _instances(self, xml_path: str, objects: Sequence[VOCObject], width: int, height: int) -> list[dict]:
        instances = []
        for name, box, difficult, number in objects:
            where = Place(xml_path, f'object {number}')
            label = self.label_of.get(name)
            if label is None:
                if self.other_classes == 'error' or not name:
                    error = ValueError(
                        f'{where} has the unknown class {name!r}; known are {", ".join(self.label_of)} '
                        "(set metainfo.classes for other data, or other_classes='ignore' to take only these)"
                    )
                    self._problems.error('unknown-class', error, *where)
                    continue
                self._notes.other_classes[name] += 1
                if self.other_classes == 'background':
                    continue
            clipped = [max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))]
            corners = (box[0] + 1, box[1] + 1, box[2], box[3])
            if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
                told = ' '.join(f'{key}={value:g}' for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners))
                error = ValueError(
                    f'{where}: bndbox {told} is empty, or outside the {width} x {height} image; correct or remove it'
                )
                self._problems.error('box', error, *where)
                continue
            self._notes.box(where, box, clipped, corners, (xml_path, name))
            ignored = label is None or (difficult and self.difficult == 'ignore')
            instances.append(dict(bbox=clipped, bbox_label=-1 if label is None else label, ignore_flag=int(ignored)))
        return instances

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """Labels of an image's boxes, for mmdet's ``ClassBalancedDataset``."""
        labels = [instance['bbox_label'] for instance in self.get_data_info(idx)['instances']]
        return [label for label in labels if label >= 0]  # -1: of another class

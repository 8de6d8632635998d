"""PASCAL VOC boxes, the dataset of all three stages."""

import math
import os.path as osp
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from mmengine.dataset import BaseDataset

from bana_mm.registry import DATASETS

from .metainfo import object_metainfo
from .voc_files import image_size, read_ids

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

    Args:
        ann_file (str): Text file with one image id a line.
        data_root (str): Root of the data set, such as ``data/VOCdevkit/VOC2012``.
        data_prefix (dict): Folders of the images, boxes and (if any) masks. Defaults to
            ``dict(img_path='JPEGImages', box_path='Annotations', seg_map_path='SegmentationClassAug')``.
        img_suffix (str): Defaults to '.jpg'.
        difficult (str): What to do with objects marked difficult: 'ignore' (neither foreground nor background) or
            'keep' (reference code). Defaults to 'ignore'.
        background_class (bool): Put 'background' first in the classes and the palette of the metainfo, as mmseg's
            metrics expect. Box labels start at the first object class either way. Defaults to False.
        require_masks (bool): Whether every image must have a mask, as for evaluation. Defaults to False.
        require_boxes (bool): Whether every image must have an XML. Without, one that has none counts as an image
            without boxes, as in a test split that comes without annotations. Defaults to True.
        metainfo (dict | None): ``classes``, the object classes without background, and ``palette`` for other data than
            VOC. The palette defaults to VOC's colours.
        kwargs: See mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If root, split, an image, its XML or a required mask is missing.
        ValueError: If an XML cannot be read, names an unknown class or holds a bad box. Every message names the file.
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
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if difficult not in ('ignore', 'keep'):
            raise ValueError(f"difficult must be 'ignore' or 'keep', got {difficult!r}")
        self.img_suffix = img_suffix
        self.difficult = difficult
        self.require_masks = require_masks
        self.require_boxes = require_boxes
        classes, metainfo = object_metainfo(metainfo, self.METAINFO, background_class)
        self.label_of = {name: label for label, name in enumerate(classes)}
        default_prefix = dict(img_path='JPEGImages', box_path='Annotations', seg_map_path='SegmentationClassAug')
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={**default_prefix, **(data_prefix or {})},
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the split and the XML of each of its images."""
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'data_root {self.data_root!r} does not exist: set it in the config, or through '
                'the environment variable that the config names (VOC_ROOT)'
            )
        return [self._load_item(img_id) for img_id in read_ids(self.ann_file)]

    def _load_item(self, img_id: str) -> dict:
        img_path = osp.join(self.data_prefix['img_path'], img_id + self.img_suffix)
        xml_path = osp.join(self.data_prefix['box_path'], img_id + '.xml')
        for path, field in ((img_path, 'img_path'), (xml_path, 'box_path')):
            if not osp.isfile(path) and (field == 'img_path' or self.require_boxes):
                raise FileNotFoundError(
                    f'{path} does not exist (id {img_id!r} of {self.ann_file}; data_prefix[{field!r}])'
                )
        if osp.isfile(xml_path):
            width, height, instances = self._parse_xml(xml_path, img_path)
        else:
            (height, width), instances = image_size(img_path), []
        item = dict(
            img_id=img_id,
            img_path=img_path,
            width=width,
            height=height,
            instances=instances,
            seg_fields=[],
            label_map=None,
            reduce_zero_label=False,
        )
        seg_map_path = osp.join(self.data_prefix['seg_map_path'], img_id + '.png')
        if osp.isfile(seg_map_path):
            item['seg_map_path'] = seg_map_path
        elif self.require_masks:
            raise FileNotFoundError(
                f'{seg_map_path} does not exist, but evaluation needs a mask of every image (id '
                f"{img_id!r} of {self.ann_file}; data_prefix['seg_map_path'])"
            )
        return item

    def _parse_xml(self, xml_path: str, img_path: str) -> tuple[int, int, list[dict]]:
        try:
            root = ET.parse(xml_path).getroot()
        except ET.ParseError as error:
            raise ValueError(f'{xml_path} is not valid XML: {error}') from error
        size = root.find('size')
        width, height = 0, 0
        if size is not None:
            width, height = (int(float(size.findtext(key, '0'))) for key in ('width', 'height'))
        if width <= 0 or height <= 0:
            height, width = image_size(img_path)
        instances = []
        for number, node in enumerate(root.findall('object')):
            where = f'{xml_path}: object {number}'
            name = (node.findtext('name') or '').strip()
            if name not in self.label_of:
                raise ValueError(
                    f'{where} has the unknown class {name!r}; known are {", ".join(self.label_of)} '
                    '(set metainfo.classes for other data)'
                )
            ignored = node.findtext('difficult', '0').strip() == '1' and self.difficult == 'ignore'
            instances.append(
                dict(
                    bbox=self._parse_box(node, where, width, height),
                    bbox_label=self.label_of[name],
                    ignore_flag=int(ignored),
                )
            )
        return width, height, instances

    @staticmethod
    def _parse_box(node: ET.Element, where: str, width: int, height: int) -> list[float]:
        try:
            x1, y1, x2, y2 = (float(node.find('bndbox').findtext(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f'{where}: bndbox must hold the numbers xmin, ymin, xmax and ymax') from None
        box = [x1 - 1, y1 - 1, x2, y2]  # 1-based inclusive -> 0-based half-open
        clipped = [max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))]
        if not all(map(math.isfinite, box)) or clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            raise ValueError(
                f'{where}: bndbox xmin={x1:g} ymin={y1:g} xmax={x2:g} ymax={y2:g} is not finite, empty, '
                f'or outside the {width} x {height} image; correct or remove it'
            )
        return clipped

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """Labels of an image's boxes, for mmdet's ``ClassBalancedDataset``."""
        return [instance['bbox_label'] for instance in self.get_data_info(idx)['instances']]

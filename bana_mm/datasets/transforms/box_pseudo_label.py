"""Labels for training a segmentation model from boxes."""

from collections.abc import Iterable, Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from bana_mm.datasets.image_ids import DistinctNames, image_id
from bana_mm.datasets.voc_files import read_ids
from bana_mm.registry import TRANSFORMS
from bana_mm.structures import IGNORE, LabelStore, check_classes, read_label_png, reliable_region


@TRANSFORMS.register_module()
class BoxPseudoLabel(BaseTransform):
    """Load an image's pseudo labels and where they are reliable, or make labels from its boxes.

    The first of the stored ``maps`` is the label; it is reliable where all maps agree and none is ignored (the paper's
    region S). A single map is reliable wherever it isn't ignored. The same goes for labels of one ``source`` or of
    several; pixels that only ignored boxes cover are ignored there. Images of ``mask_split`` take their mask instead,
    which is reliable wherever it isn't ignored: the semi-supervised setting.

    Comes right after the image is loaded. Both results are among ``seg_fields``, which mmseg's geometric transforms
    follow; mmcv's ``Pad`` follows ``gt_seg_map`` alone, which ``PackBoxSegInputs`` makes good if no other geometric
    transform comes after it.

    Required Keys: ``img``; ``img_id`` or else ``img_path``, whose stem then is the id; ``instances`` for labels made
    from boxes; ``seg_map_path`` for masks. Modified Keys: ``seg_fields``. Added Keys: ``gt_seg_map`` (H, W) uint8, 0
    background, 1..L classes, 255 ignored; ``gt_reliable_map`` (H, W) uint8, 1 in S, else 0.

    Args:
        label_dir (str | None): Root of a label store, see ``tools/generate_labels.py``. Defaults to None.
        source (str | dict | Sequence | None): What makes labels from the boxes: 'box', 'grabcut', 'box_crf', or takes
            them from elsewhere: 'files:PATH'; or a config of a label source, or a list of them, see
            :func:`bana_mm.labels.build_label_source`. It serves images without stored labels, or all of them without
            ``label_dir``. Slow ones, 'grabcut' and all with a network or a CRF, are better stored first by
            ``tools/generate_labels.py``: here they work anew in every epoch. Defaults to None.
        maps (Sequence[str] | None): Stored maps to read. ``('Y_crf', )`` or ``('Y_ret', )`` trains on one of them
            alone. Defaults to None, all that the store holds: ``('Y_crf', 'Y_ret')`` of a classifier.
        num_classes (int | None): Object classes L, for checking stored labels and masks. Defaults to None: the data
            sets here fill in theirs; with others they are not checked.
        mask_split (str | None): Text file with one image id a line, of the images that take their mask. Defaults to
            None, no image.

    Raises:
        FileNotFoundError: If an image has no stored labels and there is no ``source``, if an image of ``mask_split``
            has no mask, or if that file is missing.
        ValueError: If a label can't be read, has another size than its image or a class out of range, or if two images
            have one id; the message names the file. Also if both ``label_dir`` and ``source`` are None.
    """

    def __init__(
        self,
        label_dir: str | None = None,
        source: str | dict | Sequence | None = None,
        maps: Sequence[str] | None = None,
        num_classes: int | None = None,
        mask_split: str | None = None,
    ) -> None:
        if label_dir is None and source is None:
            raise ValueError("BoxPseudoLabel: set label_dir to a folder of labels, or source to 'box' or 'grabcut'")
        if isinstance(maps, str) or (maps is not None and not maps):
            raise ValueError(f"BoxPseudoLabel: maps must name stored maps, as in ('Y_crf', 'Y_ret'), got {maps!r}")
        self.store = None if label_dir is None else LabelStore(label_dir, maps)
        self.source = None
        if source is not None:
            from bana_mm.labels import build_label_source  # what makes labels comes after the data sets

            self.source = build_label_source(source)
        self.num_classes = num_classes
        self._seen = DistinctNames('BoxPseudoLabel: the labels')
        self.mask_split = mask_split
        self.mask_ids = frozenset() if mask_split is None else frozenset(read_ids(mask_split))

    def masked(self, items: Iterable[dict]) -> list[str]:
        """Ids of the data set's items that take their mask."""
        return [img_id for img_id in map(image_id, items) if img_id in self.mask_ids]

    def missing(self, items: Iterable[dict]) -> list[str]:
        """Ids of the data set's items that take stored labels which are not there."""
        img_ids = [img_id for img_id in map(image_id, items) if img_id not in self.mask_ids]
        if self.store is not None:
            img_ids = self.store.missing(img_ids)
        return img_ids if self.source is None else self.source.missing(img_ids)

    def without_mask(self, items: Iterable[dict]) -> list[str]:
        """Ids of the data set's items that take their mask but have none."""
        return self.masked(item for item in items if item.get('seg_map_path') is None)

    def transform(self, results: dict) -> dict:
        """Add the labels of one image."""
        if 'scale_factor' in results or 'flip' in results:
            raise ValueError('BoxPseudoLabel must come before the transforms that resize or flip the image')
        img_id = image_id(results)
        self._seen.add(img_id, results.get('img_path', ''))
        if img_id in self.mask_ids:
            label = self._mask(img_id, results)
            reliable = label != IGNORE
        elif self.store is not None and (self.source is None or self.store.has(img_id)):
            label, reliable = self._stored(img_id, results['img'].shape[:2])
        else:
            label, reliable = self._made(img_id, results)
            check_classes(label, self.num_classes, f'{self.source}, image {img_id}')
        results.update(gt_seg_map=label, gt_reliable_map=reliable.astype(np.uint8))
        results.setdefault('seg_fields', []).extend(['gt_seg_map', 'gt_reliable_map'])
        return results

    def _stored(self, img_id: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        label_maps = [self.store.read(name, img_id, size, self.num_classes) for name in self.store.maps]
        return label_maps[0], reliable_region(*label_maps)

    def _made(self, img_id: str, results: dict) -> tuple[np.ndarray, np.ndarray]:
        from bana_mm.labels import LabelItem, reliable_label

        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        return reliable_label(self.source, LabelItem.from_info({**results, 'img_id': img_id}, rgb))

    def _mask(self, img_id: str, results: dict) -> np.ndarray:
        path = results.get('seg_map_path')
        if path is None:
            raise FileNotFoundError(f'{self.mask_split} lists {img_id}, but this image has no mask (seg_map_path)')
        return read_label_png(path, results['img'].shape[:2], self.num_classes)

    def __repr__(self) -> str:
        store = None if self.store is None else (str(self.store.root), self.store.maps)
        return (
            f'{type(self).__name__}(store={store}, source={self.source}, num_classes={self.num_classes}, '
            f'mask_split={self.mask_split})'
        )

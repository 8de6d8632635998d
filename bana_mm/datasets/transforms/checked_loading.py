"""Loading of images and masks that stops, with the file's name, at what would otherwise be wrong without a word."""

import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from bana_mm.registry import TRANSFORMS
from bana_mm.structures import read_label_png
from bana_mm.structures.run_length import check_polygons, check_run_lengths
from bana_mm.utils.image_files import UNSURE_ORIENTATION, check_image_file, check_image_size

from .box_pseudo_label import BoxPseudoLabel


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which refuses an image that is not what its annotations are about.

    Before the pixels are decoded: one that declares more pixels than any camera has. Afterwards: one that is cut off,
    or that has another size than the annotations say, such as for its EXIF orientation. The data sets here put it in
    the place of ``LoadImageFromFile``.

    Required Keys: ``img_path``; ``height`` and ``width``, if any.

    Args:
        args: See mmcv's class.
        warn_orientation (bool): Warn of the first image with boxes and an EXIF orientation of which its size does not
            tell whether the boxes were drawn with it: square, upside down or mirrored. Defaults to False.
        kwargs: See mmcv's class.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: If it can't be read or is refused; the message names the file.
    """

    def __init__(self, *args, warn_orientation: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.warn_orientation = warn_orientation

    def transform(self, results: dict) -> dict | None:
        """Load one image."""
        path, is_local = results['img_path'], self.backend_args is None and self.file_client_args is None
        try:
            if is_local:
                header = check_image_file(path)
                if self.warn_orientation and results.get('instances') and not header.is_told_by_size:
                    self.warn_orientation = False
                    print_log(f'{path}: {UNSURE_ORIENTATION}', 'current', logging.WARNING)
            loaded = super().transform(results)
        except AssertionError as error:
            if self.ignore_empty:
                return None
            raise ValueError(f'{path}: image cannot be read ({error})') from error
        except (OSError, ValueError):
            if self.ignore_empty:
                return None
            raise
        if loaded is not None and 'height' in results:
            check_image_size(path, loaded['img'].shape[:2], (results['height'], results['width']))
        return loaded


def load_mask(results: dict, num_classes: int | None = None, backend_args: dict | None = None) -> np.ndarray:
    """Read the mask of a data set's item.

    Args:
        results (dict): With ``seg_map_path``, and ``ori_shape`` or ``height`` and ``width`` of its image.
        num_classes (int | None): Object classes L: allowed values are 0..L and 255. Defaults to None, any.
        backend_args (dict | None): mmengine's backend for files that are not local. Defaults to None.

    Returns:
        np.ndarray: (H, W) uint8.

    Raises:
        FileNotFoundError, ValueError: See :func:`bana_mm.structures.read_label_png`.
    """
    path = results['seg_map_path']
    size = results.get('ori_shape') or ((results['height'], results['width']) if 'height' in results else None)
    file = None if backend_args is None else io.BytesIO(fileio.get(path, backend_args=backend_args))
    return read_label_png(path, None if size is None else tuple(size[:2]), num_classes, file)


__all__ = ['LoadCheckedImage', 'checked_pipeline', 'load_mask']
# What takes whose place, and what it is told.
_EXCHANGED: list[tuple[type, type, str]] = [
    (LoadImageFromFile, LoadCheckedImage, 'warn_orientation'),
    (BoxPseudoLabel, BoxPseudoLabel, 'num_classes'),
]

if find_spec('mmdet'):
    from mmdet.datasets.transforms import LoadAnnotations as LoadDetAnnotations

    @TRANSFORMS.register_module()
    class LoadCheckedDetAnnotations(LoadDetAnnotations):
        """mmdet's ``LoadAnnotations``; masks of classes are read as label maps, and instances' errors name the image.

        Args:
            args: See mmdet's class.
            num_classes (int | None): Object classes L, for checking masks of classes. Defaults to None, not checked.
            kwargs: See mmdet's class.

        Raises:
            FileNotFoundError, ValueError: If a mask is missing, can't be read, has another size than its image or a
                class out of range; the message names the file.
        """

        def __init__(self, *args, num_classes: int | None = None, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.num_classes = num_classes

        def _load_seg_map(self, results: dict) -> None:
            if self.reduce_zero_label or results.get('label_map') is not None:
                super()._load_seg_map(results)
            elif results.get('seg_map_path') is not None:
                results['gt_seg_map'] = load_mask(results, self.num_classes, self.backend_args)
                results['ignore_index'] = self.ignore_index

        def _load_masks(self, results: dict) -> None:
            size = (results['height'], results['width'])  # mmdet's own need
            for instance in results.get('instances', []):
                mask = instance.get('mask')
                try:
                    if isinstance(mask, dict):
                        check_run_lengths(mask, size)
                    elif mask:
                        check_polygons(mask, size)
                except ValueError as error:
                    annotation = f'annotation {instance["ann_id"]}: ' if 'ann_id' in instance else ''
                    raise ValueError(f'{results["img_path"]}: {annotation}{error}') from error
            super()._load_masks(results)

    __all__ += ['LoadCheckedDetAnnotations']
    _EXCHANGED.append((LoadDetAnnotations, LoadCheckedDetAnnotations, 'num_classes'))

if find_spec('mmseg'):
    from mmseg.datasets.transforms import LoadAnnotations as LoadSegAnnotations

    @TRANSFORMS.register_module()
    class LoadCheckedSegAnnotations(LoadSegAnnotations):
        """mmseg's ``LoadAnnotations`` that reads masks as label maps: 8 bits and one channel a pixel, classes in range.

        Args:
            args: See mmseg's class.
            num_classes (int | None): Object classes L. Defaults to None, not checked.
            kwargs: See mmseg's class.

        Raises:
            FileNotFoundError, ValueError: If a mask is missing, can't be read, has another size than its image or a
                class out of range; the message names the file.
        """

        def __init__(self, *args, num_classes: int | None = None, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.num_classes = num_classes

        def _load_seg_map(self, results: dict) -> None:
            if self.reduce_zero_label or results.get('reduce_zero_label') or results.get('label_map') is not None:
                super()._load_seg_map(results)
                return
            if results.get('seg_map_path') is None:
                raise FileNotFoundError(f'{results["img_path"]}: has no mask, which LoadAnnotations reads')
            results['gt_seg_map'] = load_mask(results, self.num_classes, self.backend_args)
            results['seg_fields'].append('gt_seg_map')

    __all__ += ['LoadCheckedSegAnnotations']
    _EXCHANGED.append((LoadSegAnnotations, LoadCheckedSegAnnotations, 'num_classes'))


def checked_pipeline(pipeline: Sequence[Any], num_classes: int, warn_orientation: bool = False) -> list[Any]:
    """A pipeline whose images and masks are loaded by the classes above, at any depth.

    The data sets here pass theirs through it: what is read is checked whatever a config names. Only the framework's own
    loaders are exchanged, not what derives from them. ``BoxPseudoLabel`` without ``num_classes`` is told the number.

    Args:
        pipeline (Sequence): Configs of transforms, or transforms.
        num_classes (int): Object classes L of the data set.
        warn_orientation (bool): See :class:`LoadCheckedImage`. Defaults to False.

    Returns:
        list: The same with other types.
    """
    settings = {'num_classes': num_classes, 'warn_orientation': warn_orientation}
    with MMENGINE_TRANSFORMS.switch_scope_and_registry(None) as registry:
        return [_checked(entry, settings, registry) for entry in pipeline]


def _checked(entry: Any, settings: dict[str, Any], registry: Registry) -> Any:
    if isinstance(entry, (list, tuple)):
        return type(entry)(_checked(part, settings, registry) for part in entry)
    if not isinstance(entry, dict) or 'type' not in entry:
        return entry
    entry = {
        key: _checked(value, settings, registry) if isinstance(value, (list, tuple)) else value
        for key, value in entry.items()
    }
    found = entry['type']
    if isinstance(found, str):
        found = registry.get(f'{entry["_scope_"]}.{found}' if '_scope_' in entry else found)
    for original, checked, setting in _EXCHANGED:
        if found is original:
            entry['type'] = checked
            if entry.get(setting) is None:
                entry[setting] = settings[setting]
    return entry

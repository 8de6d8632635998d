"""Images that are not as large as their annotations say."""

from mmcv.transforms import BaseTransform

from bana_mm.registry import TRANSFORMS
from bana_mm.utils.image_files import check_image_size, size_problem

__all__ = ['CheckImageSize', 'size_problem']


@TRANSFORMS.register_module()
class CheckImageSize(BaseTransform):
    """Stop at an image that is not as large as its annotation file says: its boxes would lie somewhere else.

    Images are loaded as their EXIF orientation tells, as viewers and most annotation tools show them (mmcv's and
    mmdet's default). Annotations that were made for the pixels as stored are found out here where that swaps height
    and width; a rotation by 180 degrees and a mirroring can't be seen.

    Comes right after the image is loaded. The data sets here load images by :class:`LoadCheckedImage`, which does the
    same; this one is for others that know the size, such as mmdet's ``CocoDataset``.

    Required Keys: ``img``, ``height``, ``width``, ``img_path``.

    Raises:
        ValueError: If the sizes differ; the message names the image, both sizes, and the orientation if that is why.
    """

    def transform(self, results: dict) -> dict:
        """Compare the sizes."""
        check_image_size(results['img_path'], results['img'].shape[:2], (results['height'], results['width']))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'

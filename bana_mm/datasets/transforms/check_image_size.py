"""Images that are not as large as their annotations say."""

from mmcv.transforms import BaseTransform
from PIL import Image

from bana_mm.registry import TRANSFORMS

ORIENTATION = 0x0112  # number of the EXIF tag


@TRANSFORMS.register_module()
class CheckImageSize(BaseTransform):
    """Stop at an image that is not as large as its annotation file says: its boxes would lie somewhere else.

    Images are loaded as their EXIF orientation tells, as viewers and most annotation tools show them (mmcv's and
    mmdet's default). Annotations that were made for the pixels as stored are found out here where that swaps height
    and width; a rotation by 180 degrees and a mirroring can't be seen.

    Comes right after the image is loaded. Required Keys: ``img``, ``height``, ``width``, ``img_path``.

    Raises:
        ValueError: If the sizes differ; the message names the image, both sizes, and the orientation if that is why.
    """

    def transform(self, results: dict) -> dict:
        """Compare the sizes."""
        loaded, told = tuple(results['img'].shape[:2]), (results['height'], results['width'])
        if loaded != told:
            raise ValueError(size_problem(results['img_path'], loaded, told))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def size_problem(path: str, loaded: tuple[int, int], told: tuple[int, int]) -> str:
    """What is wrong with an image whose loaded size is not the one in the annotation file.

    Args:
        path (str): The image.
        loaded (tuple[int, int]): Its height and width in pixels, turned by its EXIF orientation.
        told (tuple[int, int]): Height and width in the annotation file.

    Returns:
        str: The message.
    """
    message = (
        f'{path}: the image has height and width {loaded[0]} x {loaded[1]}, but its annotation file says '
        f'{told[0]} x {told[1]}'
    )
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
    except OSError:  # of a format that only the loader knows
        orientation = 1
    if orientation != 1 and loaded == told[::-1]:
        return (
            f'{message}: it is turned by its EXIF orientation ({orientation}) and its boxes were drawn without '
            'that; remove the tag from the image (exiftool -Orientation= FILE)'
        )
    return f'{message}; correct height and width, or bring the image that the boxes were drawn on'

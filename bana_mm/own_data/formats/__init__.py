"""Formats of data sets: two are read as they are, the others become COCO's JSON beside their images.

By hand: datumaro 1.13 brings 22 packages and 540 MB and knows LabelMe's old XML alone, supervision 0.31 brings 22 and
430 MB and does not know CVAT's; and neither tells which line of which file is wrong, which is what a check is for.
"""

from .detect import FORMATS, detect_format
from .source import Source, SourceImage, SourceObject

__all__ = ['FORMATS', 'Source', 'SourceImage', 'SourceObject', 'detect_format']

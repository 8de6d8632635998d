"""Ids of images, which become the names of files below some folder and must not lead out of it."""

import os
import posixpath
import re

MAX_BYTES = 240  # of a part of a path; file systems end at 255, suffix included


def safe_id(img_id: str) -> str:
    """Refuse an id that names no file below the folder it is joined to.

    An id may have subfolders (``fold1/001``) and any characters that a file name may have, white space included.

    Args:
        img_id (str): An image's id or path, to be joined to a folder.

    Returns:
        str: The same id.

    Raises:
        ValueError: If it is empty, absolute, has a part ``.`` or ``..``, an empty part or one that is too long, or a
            character that no file name has.
    """
    problem = _problem(img_id)
    if problem:
        raise ValueError(f'{img_id!r} {problem}; it must name a file below a folder, such as 2007_000032 or fold1/001')
    return img_id


def safe_path(path: str) -> str:
    """The same for a path as annotation files hold it, which may begin with ``./``, and go up as far as it came down.

    Args:
        path (str): A path with ``/`` between its parts.

    Returns:
        str: The path in its shortest form.

    Raises:
        ValueError: As :func:`safe_id`.
    """
    return safe_id(posixpath.normpath(path) if path else path)


def _problem(img_id: str) -> str | None:
    if not isinstance(img_id, str) or not img_id:
        return 'is no name'
    if os.path.splitdrive(img_id)[0] or img_id[0] in '/\\':
        return 'is an absolute path'
    if any(ord(character) < 32 or ord(character) == 127 for character in img_id):
        return 'has a character that no file name has'
    for part in re.split(r'[/\\]', img_id):
        if part in ('', '.', '..'):
            return f'has the part {part!r}'
        try:
            if len(part.encode()) > MAX_BYTES:
                return f'has a part of more than {MAX_BYTES} bytes'
        except UnicodeEncodeError:  # half a character, as JSON can hold it
            return 'has a character that no file name has'
    return None

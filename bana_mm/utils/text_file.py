"""Text files that people save with other programs: UTF-8, with or without a byte order mark."""

import codecs
from pathlib import Path

_OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # those of UTF-32 begin with, or hold, zero bytes


def read_text(path: str | Path) -> str:
    r"""Read a text file in UTF-8.

    A byte order mark is dropped, and every kind of line end becomes ``\n``.

    Args:
        path (str | Path): The file, which must exist.

    Raises:
        ValueError: If it is in another encoding, such as UTF-16 of Windows' Notepad.
    """
    content = Path(path).read_bytes()
    try:
        if content.startswith(_OTHER_MARKS) or b'\0' in content:
            raise ValueError('it looks like UTF-16')
        text = content.decode('utf-8-sig')
    except ValueError as error:
        raise ValueError(f'{path}: is no text in UTF-8 ({error}); save as UTF-8') from None
    return text.replace('\r\n', '\n').replace('\r', '\n')

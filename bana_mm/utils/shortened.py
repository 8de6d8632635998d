"""Values of files in messages."""

from typing import Any


def shortened(value: Any, length: int = 80) -> str:
    """A value as a message shows it: its beginning, where it is long.

    Args:
        value (Any): What a file holds.
        length (int): Characters to show at most. Defaults to 80.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return 'something very long'
    return text if len(text) <= length else f'{text[:length]}...'

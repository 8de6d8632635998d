"""Values of strangers' files: in messages, and as numbers."""

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


def is_finite(value: Any) -> bool:
    """Whether a value of a JSON file is a number that can be computed with."""
    # a whole number of any length is a number in JSON, but not one of floating point
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18

"""Large JSON files read and written piece by piece, in memory that does not grow with the file.

By hand, since fields are copied in their order whatever their names: ijson, which is quicker where it is told what to
look for, takes 2.4 times as long for that (docs/performance.md).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

_SPACE = ' \t\r\n'
_AFTER_VALUE = frozenset(_SPACE + ':,]}')


class JSONReader:
    """Goes through the fields of a JSON file that holds one object; use it in a ``with`` block.

    ::

        with JSONReader(path) as reader:
            for name in reader.names():
                values = reader.elements() if reader.is_array() else [reader.value()]

    A field that is not asked for is skipped. Only one field, or one element of an array, is in memory at a time.

    Args:
        path (str | Path): The file.
        chunk (int): Characters read at once. Defaults to 1 Mi.
        object_hook (Callable | None): What becomes of each object inside the file's, as for :func:`json.load`. Defaults
            to None.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: While reading, if it is no JSON object; the message names the file.
    """

    def __init__(
        self, path: str | Path, chunk: int = 1 << 20, object_hook: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._decoder = json.JSONDecoder(object_hook=object_hook)
        self.chunk = chunk
        self._file: TextIO | None = None
        self._text = ''
        self._at = 0  # where the rest of the text begins
        self._value_open = False  # whether the value of the current field is still to be read

    def __enter__(self) -> 'JSONReader':
        self._file = open(self.path, encoding='utf-8-sig')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def names(self) -> Iterator[str]:
        """Names of the fields, in the order of the file."""
        self._expect('{')
        if self._peek() == '}':
            self._at += 1
        else:
            while True:
                name = self._decode()
                if not isinstance(name, str):
                    raise self._broken(f'the field name {name!r} is no text')
                self._expect(':')
                self._value_open = True
                yield name
                self._skip_value()
                if self._expect(',}') == '}':
                    break
        if self._peek():
            raise self._broken('there is more after the object')

    def is_array(self) -> bool:
        """Whether the value of the current field is an array."""
        return self._peek() == '['

    def value(self) -> Any:
        """The whole value of the current field."""
        self._value_open = False
        return self._decode()

    def elements(self) -> Iterator[Any]:
        """The elements of the current field, an array, one by one. All of them must be taken."""
        self._value_open = False
        self._expect('[')
        if self._peek() == ']':
            self._at += 1
            return
        while True:
            yield self._decode()
            if self._expect(',]') == ']':
                return

    def _skip_value(self) -> None:
        if self._value_open:
            for _ in self.elements() if self.is_array() else [self.value()]:
                pass

    def _decode(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._read_more():
                    raise self._broken(error.msg) from None
                continue
            # Of a number only a part may have been read: 1 of 12, or 3 of 3.5.
            if self._text[end : end + 1] in _AFTER_VALUE or not self._read_more():
                self._at = end
                return value

    def _peek(self) -> str:
        """The next character that is no white space; '' at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                return ''

    def _expect(self, allowed: str) -> str:
        found = self._peek()
        if not found or found not in allowed:
            raise self._broken(f'expected {" or ".join(allowed)}, got {found or "the end of the file"!r}')
        self._at += 1
        return found

    def _read_more(self) -> bool:
        try:
            # Twice as much as there is: reading a long value from its start again and again stays cheap.
            more = self._file.read(max(self.chunk, len(self._text) - self._at))
        except UnicodeDecodeError as error:
            raise self._broken(str(error)) from error
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _broken(self, what: str) -> ValueError:
        return ValueError(f'{self.path}: not a valid JSON object ({what})')


class JSONWriter:
    """Writes an object field by field.

    Args:
        file (TextIO): Where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = '{\n'

    def value(self, name: str, value: Any) -> None:
        """Write a field."""
        self._begin(name)
        self._file.write(json.dumps(value))

    def elements(self, name: str, values: Iterable[Any]) -> None:
        """Write a field that is an array, one line an element, taking these one by one."""
        self._begin(name)
        separator = '[\n'
        for value in values:
            self._file.write(separator + json.dumps(value))
            separator = ',\n'
        self._file.write('[]' if separator == '[\n' else '\n]')

    def close(self) -> None:
        """End the object, which has at least one field."""
        self._file.write('\n}\n')

    def _begin(self, name: str) -> None:
        self._file.write(f'{self._separator}{json.dumps(name)}: ')
        self._separator = ',\n'

"""What the tests share that try many inputs: how many, and files that are broken in a way."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

# The same inputs in every run; no data base of failures, which would be another file in the way.
QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=100_000, phases=[Phase.explicit, Phase.generate])

# Pieces that have a meaning in some format or other.
TOKENS = [
    b'',
    b'\0',
    b'\xff\xfe',
    b'\xef\xbb\xbf',
    b'\xed\xa0\x80',
    b'<',
    b'</',
    b'>',
    b'&',
    b'&#0;',
    b'&lol;',
    b'<!DOCTYPE a [<!ENTITY lol "lol">]>',
    b'<?xml version="1.0" encoding="utf-7"?>',
    b'<object>',
    b'{',
    b'}',
    b'[',
    b']',
    b',',
    b'"',
    b'\\u0000',
    b'\\ud800',
    b'null',
    b'true',
    b'NaN',
    b'Infinity',
    b'-1',
    b'0',
    b'1e999',
    b'9' * 400,
    b'../',
    b'/',
    b'\n',
    b'\r',
    b' ',
]


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A file with up to six pieces replaced, left out, doubled or put in, or with its end cut off."""
    place = st.integers(0, len(seed))
    piece = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))

    def apply(edits: list[tuple[int, int, bytes, bool]], end: int | None) -> bytes:
        content = seed
        for start, length, new, doubles in edits:
            old = content[start : start + length]
            content = content[:start] + (old + old if doubles else new) + content[start + length :]
        return content[:end]

    edit = st.tuples(place, st.sampled_from([0, 1, 2, 4, 9, 30]), piece, st.booleans())
    return st.builds(apply, st.lists(edit, min_size=1, max_size=6), st.one_of(st.none(), place))


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 30),
        st.sampled_from(
            [10**25, -(10**400), 2**63, 0.5, -1e300, float('nan'), float('inf'), '', '../a', 'a', '\ud800']
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(['id', 'size']), inner)),
    max_leaves=5,
)


def _places(value: Any, place: tuple = ()) -> list[tuple]:
    found = [place]
    if isinstance(value, dict):
        return found + [inner for key in value for inner in _places(value[key], (*place, key))]
    if isinstance(value, list):
        return found + [inner for index in range(len(value)) for inner in _places(value[index], (*place, index))]
    return found


def changed(seed: Any, values: st.SearchStrategy = JSON_VALUES) -> st.SearchStrategy:
    """A value of JSON of which up to three parts, at any depth, are replaced or left out."""
    places = [place for place in _places(seed) if place]

    def apply(edits: list[tuple[tuple, Any, bool]]) -> Any:
        content = copy.deepcopy(seed)
        for place, new, removes in edits:
            parent = content
            try:
                for key in place[:-1]:
                    parent = parent[key]
                if removes:
                    del parent[place[-1]]
                else:
                    parent[place[-1]] = new
            except (KeyError, IndexError, TypeError):  # an edit before has taken this part away
                continue
        return content

    edit = st.tuples(st.sampled_from(places), values, st.booleans())
    return st.builds(apply, st.lists(edit, min_size=1, max_size=3))


def fuzz(*strategies: st.SearchStrategy, quick: int = 300, long: int = 100_000) -> Callable:
    """A test of many inputs, twice: a quick part for every run, and ``long`` inputs behind the marker ``long``.

    Args:
        strategies (SearchStrategy): Of the arguments.
        quick (int): Inputs of the quick part. Defaults to 300.
        long (int): Inputs of the long part. Defaults to 100,000.
    """

    def decorate(test: Callable) -> Callable:
        sizes = [
            pytest.param(settings(QUICK, max_examples=quick), id='quick'),
            pytest.param(settings(LONG, max_examples=long), id='long', marks=pytest.mark.long),
        ]

        @pytest.mark.parametrize('size', sizes)
        def run(size: settings, tmp_path) -> None:
            size(given(st.tuples(*strategies))(lambda values: test(tmp_path, *values)))()

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


def fails_by_name(call: Callable[[], Any], path: Any) -> Any:
    """What a reader returns, or None where it refuses the file as it should: by one of two errors that name it."""
    try:
        return call()
    except (ValueError, FileNotFoundError) as error:
        assert type(error) in (ValueError, FileNotFoundError), f'{type(error).__name__}: {error}'
        assert str(path) in str(error), f'does not name {path}: {error}'
        return None

"""What the tests share that try many inputs: how many, and files that are broken in a way."""

import copy
from collections.abc import Callable
from random import Random
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


SEEDS = st.integers(0, 2**62)  # a draw of one number is many times faster than one of each edit


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A file with up to six pieces replaced, left out, doubled or put in, and sometimes with its end cut off."""

    def edited(number: int) -> bytes:
        random, content = Random(number), seed
        for _ in range(random.randint(1, 6)):
            start, length = random.randint(0, len(content)), random.choice([0, 1, 2, 4, 9, 30])
            old = content[start : start + length]
            new = random.choice([random.choice(TOKENS), random.randbytes(random.randint(0, 6)), old + old])
            content = content[:start] + new + content[start + length :]
        return content[: random.randint(0, len(content))] if random.random() < 0.2 else content

    return SEEDS.map(edited)


PLAIN = [None, True, False, 0.5, -1e300, float('nan'), float('inf'), 10**25, -(10**400), 2**63, *range(-3, 31)]
TEXTS = ['', '../a', 'a', '\ud800', '0', 'None']


def any_json(random: Random, depth: int = 2) -> Any:
    """Some value that JSON can hold, and some that Python's reader takes besides."""
    if depth == 0 or random.random() < 0.7:
        return random.choice(random.choice([PLAIN, PLAIN, TEXTS]))
    values = [any_json(random, depth - 1) for _ in range(random.randint(0, 4))]
    return values if random.random() < 0.7 else dict(zip(['id', 'size', 'counts', 'bbox'], values))


def _places(value: Any, place: tuple = ()) -> list[tuple]:
    found = [place]
    if isinstance(value, dict):
        return found + [inner for key in value for inner in _places(value[key], (*place, key))]
    if isinstance(value, list):
        return found + [inner for index in range(len(value)) for inner in _places(value[index], (*place, index))]
    return found


def changed(seed: Any) -> st.SearchStrategy:
    """A value of JSON of which up to three parts, at any depth, are replaced or left out."""

    def edited(number: int) -> Any:
        random, content = Random(number), copy.deepcopy(seed)
        for _ in range(random.randint(1, 3)):
            *path, key = random.choice([place for place in _places(content) if place] or [('',)])
            parent = content
            for step in path:
                parent = parent[step]
            if not isinstance(parent, (dict, list)) or key == '':
                break
            if random.random() < 0.3:
                del parent[key]
            else:
                parent[key] = any_json(random)
        return content

    return SEEDS.map(edited)


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

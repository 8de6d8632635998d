"""Sources by name or config."""

from collections.abc import Sequence
from typing import Any

from bana_mm.registry import LABEL_SOURCES

from .base import LabelSource

SourceConfig = str | dict[str, Any] | Sequence[str | dict[str, Any]]


def build_label_source(source: LabelSource | SourceConfig, **parameters: Any) -> LabelSource:
    """Build a label source by name or config, whatever the default scope is.

    Args:
        source (LabelSource | str | dict | Sequence): A source, which is handed back; or a name: ``'box'``,
            ``'grabcut'``, ``'box_crf'``; a name and what belongs to it: ``'files:PATH'``, ``'sam:MODEL'``, and
            ``'bana_crf:CONFIG:CHECKPOINT'``, likewise ``classifier``, ``bana_crf_cam``, ``bana_ret``, ``gap`` and
            ``image_crf``; or a config such as ``dict(type='grabcut', iterations=3)``. Several of these, in a list or in
            one string joined by ``+`` (which no path then may contain), are merged, see :class:`MergedSource`; behind
            ``'vote:'`` they vote, see :class:`VoteSource`. ``'trusted:SOURCE'`` judges the masks of a source, and
            ``'A|B'`` takes those of ``B`` where those of ``A`` are no good, see :class:`TrustedSource` and
            :class:`FallbackSource`.
        **parameters: Further parameters of it. ``working_pixels`` is one of every source, see
            :attr:`LabelSource.working_pixels`; of several sources it is that of all. It may stand in a config, too.

    Returns:
        LabelSource: The source.

    Raises:
        KeyError: If no source has that name.
        ValueError: If what follows the name is not what belongs to it.
    """
    if isinstance(source, LabelSource):
        return source
    if isinstance(source, str):
        config = _parse_several(source) or _parse(source, parameters)
    else:
        config = dict(source) if isinstance(source, dict) else dict(type='merged', sources=source)
    found = _source_class(config.pop('type', None))
    arguments = {**config, **parameters}
    working_pixels = arguments.pop('working_pixels', ...)
    built = found(**arguments)
    if working_pixels is not ...:
        built.work_at(working_pixels)
    return built


def _source_class(name: Any) -> type[LabelSource]:
    found = LABEL_SOURCES.get(name) if isinstance(name, str) else None
    if found is None:
        raise KeyError(f'no label source is called {name!r}; there are {", ".join(sorted(LABEL_SOURCES.module_dict))}')
    return found


def _parse_several(text: str) -> dict[str, Any] | None:
    """``A|B``, ``vote:A+B`` or ``A+B`` as a config; None for a single source."""
    for mark, kind in (('|', 'fallback'), ('+', 'merged')):
        name, _, voters = text.partition('vote:')
        if mark == '+' and not name and '+' in voters:
            return dict(type='vote', sources=voters.split('+'))
        if mark in text:
            return dict(type=kind, sources=text.split(mark))
    return None


def _parse(text: str, parameters: dict[str, Any]) -> dict[str, str]:
    """``NAME:VALUE:...``, or ``NAME`` where the parameters hold the values, as a config."""
    name, colon, _ = text.partition(':')
    fields = _source_class(name).text_fields
    values = text.split(':', len(fields))[1:]
    if colon and fields and len(values) == len(fields) and all(values):
        return dict(zip(fields, values), type=name)
    if colon or not set(fields) <= set(parameters):
        form = ':'.join([name, *(field.upper() for field in fields)])
        raise ValueError(f'label source {text!r}: must have the form {form}')
    return dict(type=name)

"""What a run says when it begins: its seed, the versions, where it departs from the paper, what figure it aims at."""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from bana_mm import __version__
from bana_mm.registry import MODELS
from bana_mm.structures import LabelRecipe
from bana_mm.utils.config import run_name
from bana_mm.utils.environment import installed_versions
from bana_mm.utils.metafile import leading_comment
from bana_mm.utils.result_tables import read_yaml

# What the paper says, by the type of a part of the model and its argument, where configs may take something else: the
# reference code's choice, with which the published figures were reached, or ours.
PAPER: dict[str, dict[str, Any]] = {
    'bana_mm.BAPHead': dict(grid_size=4, output_size=1, min_background=0.0, pooling='bap'),
    'bana_mm.NoiseAwareLoss': dict(gamma=7.0, balance=0.1),
}
# Of the labels of a bana_mm.BoxClassifier, whose recipe may be given by its name alone.
PAPER_RECIPE = dict(
    background='attention',
    grid_size=1,
    attention_layers=('last',),
    threshold=0.99,
    threshold_mode='absolute',
    background_range='image',
    min_recognised=0.0,
    score='cam',
    normalise='image',
    scales=(1.0,),
    flip=False,
)
# Learning rate of pre-trained layers where the schedule is the paper's.
PAPER_RATES = {'bana_mm.BoxClassifier': 1e-4}


def run_header(cfg: Config) -> str:
    """Some lines about a run that is about to start.

    Args:
        cfg (Config): As :func:`bana_mm.utils.config.read_config` gives it.

    Returns:
        str: Name and purpose, seed, versions, choices against the paper (where the model is one of its methods), and
        the figures that its config aims at (where ``experiments.yml`` beside it has some).
    """
    lines = [_title(cfg), _seed(cfg), _versions()]
    choices = list(paper_choices(cfg))
    if choices:
        lines.append('against the paper: ' + '; '.join(choices))
    lines += aims(cfg)
    return '\n'.join(lines)


def paper_choices(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Arguments with another value than the paper's, as 'decode_head.head.loss_decode.gamma=5.0 (paper: 7.0)'."""
    model = cfg.get('model') or {}
    for place, part in _parts(model):
        for name, stated in PAPER.get(part.get('type'), {}).items():
            value = part.get(name, _default(part['type'], name))
            if not _same(value, stated):
                yield f'{place}{name}={value!r} (paper: {stated!r})'
    if model.get('type') != 'bana_mm.BoxClassifier':
        return
    recipe = asdict(LabelRecipe.from_cfg(model.get('label_recipe')))
    for name, stated in PAPER_RECIPE.items():
        if not _same(recipe[name], stated):
            yield f'label_recipe.{name}={recipe[name]!r} (paper: {stated!r})'
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if optimizer.get('type') == 'SGD' and rate != PAPER_RATES[model['type']]:
        yield f'optim_wrapper.optimizer.lr={rate:g} (paper: {PAPER_RATES[model["type"]]:g})'


def aims(cfg: Config) -> list[str]:
    """The published figures of the rows that are this config's, a line each; with a preset or other data none."""
    path = Path(cfg.filename)
    file = path.with_name('experiments.yml')
    if not file.is_file():
        return []
    rows = [(table, row) for table in read_yaml(file)['Tables'] for row in table['Rows'] if row['Config'] == path.stem]
    applied = cfg.get('applied') or {}
    if rows and applied:
        return [f'aims at no published figure: those of {path.stem} are without {" and ".join(applied)}']
    lines = []
    for table, row in rows:
        given = [
            f'{figure["Name"]} {number:g}'
            for figure, number in zip(table['Figures'], row.get('Paper', ()))
            if number is not None
        ]
        if given:
            lines.append(f'aims at: {table["Title"]}, {row["Method"]}: {", ".join(given)} (published)')
    return lines


def _title(cfg: Config) -> str:
    text = leading_comment(Path(cfg.filename).read_text(encoding='utf-8'))
    comment = ' '.join(line.lstrip('# ').strip() for line in text.splitlines())
    return f'{run_name(cfg)}: {comment}' if comment else run_name(cfg)


def _seed(cfg: Mapping[str, Any]) -> str:
    randomness = cfg.get('randomness') or {}
    if randomness.get('seed') is None:
        return 'seed: none given, another one in every run (--cfg-options randomness.seed=13)'
    exact = 'deterministic' if randomness.get('deterministic') else 'results may differ in the last digits'
    return f'seed: {randomness["seed"]} ({exact})'


def _versions() -> str:
    versions = {'bana_mm': __version__, 'Python': platform.python_version(), **installed_versions()}
    versions['torch'] = torch.__version__  # with its build, which the metadata may leave out
    return 'versions: ' + ', '.join(f'{name} {version}' for name, version in versions.items())


def _parts(config: Any, place: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All dicts inside a model's config, and the dotted key of each, with a dot at its end."""
    if isinstance(config, Mapping):
        yield place, config
        for key, value in config.items():
            yield from _parts(value, f'{place}{key}.')
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from _parts(value, f'{place}{index}.')


def _default(kind: str, argument: str) -> Any:
    """The value of an argument that a config leaves out."""
    return signature(MODELS.get(kind)).parameters[argument].default


def _same(value: Any, stated: Any) -> bool:
    return (tuple(value) if isinstance(value, (list, tuple)) else value) == stated

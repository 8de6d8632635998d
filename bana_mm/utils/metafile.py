"""``metafile.yml``: what OpenMMLab's mim and its model zoo know of a folder of configs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bana_mm.utils.config.files import read_file


def model_entry(
    config: Path,
    root: Path,
    collection: str,
    results: Sequence[Mapping[str, Any]] = (),
    weights: str | None = None,
) -> dict[str, Any]:
    """The entry of one config.

    Args:
        config (Path): The config.
        root (Path): Of the repository; paths in the metafile are relative to it.
        collection (str): Name of the collection.
        results (Sequence[Mapping]): Its figures. Defaults to none.
        weights (str | None): Address of a checkpoint, from where ``mim download`` takes it. Defaults to None.
    """
    cfg = read_file(config)
    loop = cfg.train_cfg
    length = {'Iterations': loop.max_iters} if loop.get('max_iters') else {'Epochs': loop.max_epochs}
    data = 'COCO 2017' if 'coco' in config.stem.replace('cocoinit', '') else 'PASCAL VOC 2012 + SBD'
    entry = dict(Name=config.stem)
    entry['In Collection'] = collection
    entry['Config'] = config.relative_to(root).as_posix()
    entry['Metadata'] = {'Training Data': data, 'Batch Size': cfg.auto_scale_lr.base_batch_size, **length}
    if results:
        entry['Results'] = list(results)
    if weights is not None:
        entry['Weights'] = weights
    return entry


def task_of(config: Path) -> str:
    """What a config's model does, in the words of the model zoo."""
    cfg = read_file(config)
    if cfg.model.type.startswith('bana_mm.') and cfg.model.type.endswith('Classifier'):
        return 'Pseudo Labels'
    return 'Semantic Segmentation' if cfg.model.type == 'EncoderDecoder' else 'Instance Segmentation'


def update_metafile(
    metafile: Mapping[str, Any], config_dir: Path, root: Path, found: Mapping[tuple[str, str, str], float] = ()
) -> dict[str, Any]:
    """A metafile that lists all configs of a folder, with its own and newly found figures.

    Args:
        metafile (Mapping): The present content; of its models only results and weights are kept.
        config_dir (Path): Folder of the configs.
        root (Path): Of the repository.
        found (Mapping): Figures by config, data set and metric; they replace older ones. Defaults to none.
    """
    found = dict(found)
    results = {
        model['Name']: [dict(one, Metrics=dict(one['Metrics'])) for one in model.get('Results', ())]
        for model in metafile.get('Models', ())
    }
    for (name, dataset, metric), value in found.items():
        entries = results.setdefault(name, [])
        entry = next((one for one in entries if one['Dataset'] == dataset), None)
        if entry is None:
            entry = dict(Task=task_of(config_dir / f'{name}.py'), Dataset=dataset, Metrics={})
            entries.append(entry)
        entry['Metrics'][metric] = round(value, 1)
    collection = metafile['Collections'][0]['Name']
    weights = {model['Name']: model.get('Weights') for model in metafile.get('Models', ())}
    models = [
        model_entry(path, root, collection, results.get(path.stem, ()), weights.get(path.stem))
        for path in sorted(config_dir.glob('*.py'))
    ]
    return dict(Collections=metafile['Collections'], Models=models)


def dump_metafile(metafile: Mapping[str, Any], comment: str = '') -> str:
    """The text of a metafile."""
    return comment + yaml.safe_dump(dict(metafile), sort_keys=False, allow_unicode=True, width=110)


def leading_comment(text: str) -> str:
    """The comment lines with which a file begins."""
    return re.match(r'(?:#.*\n)*', text).group()


def description(config: Path) -> str:
    """The first sentence of the comment on top of a config."""
    words = ' '.join(line.lstrip('# ') for line in leading_comment(config.read_text(encoding='utf-8')).splitlines())
    return re.split(r'\.(?: |$)', words)[0]

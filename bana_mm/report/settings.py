"""The settings of a training that one looks for first."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from bana_mm.datasets.named_steps import pipeline_steps
from bana_mm.utils.config import find_pseudo_labels
from bana_mm.utils.config.datasets import inner_dataset


def settings_of(cfg: Config | None) -> dict[str, str]:
    """Names and values for a table.

    Args:
        cfg (Config | None): Config of a training; of None there are none.
    """
    if cfg is None:
        return {}
    model, found = cfg.get('model') or {}, {}
    found['model'] = _type(model)
    found['backbone'] = _type(model.get('backbone'), 'depth')
    head = model.get('decode_head') or model.get('bap_head') or model.get('head') or model.get('roi_head')
    head = head[-1] if isinstance(head, Sequence) else head
    inner = (head or {}).get('head')
    found['head'] = _type(head, 'pooling', 'temperature') + (
        f' of {_type(inner)}' if isinstance(inner, Mapping) else ''
    )
    losses = _listed((inner or {}).get('loss_decode') or (head or {}).get('loss_decode'))
    found['loss'] = ', '.join(_type(loss, 'gamma', 'balance') for loss in losses)
    recipe = model.get('label_recipe') or {}
    found['label recipe'] = ', '.join(f'{key}={value}' for key, value in recipe.items())
    labels = find_pseudo_labels(cfg) or {}
    found['trained on'] = ', '.join(str(labels[key]) for key in ('source', 'dir', 'json', 'maps') if labels.get(key))
    found.update(_data(cfg))
    optim = cfg.get('optim_wrapper') or {}
    optimizer = optim.get('optimizer') or {}
    found['optimizer'] = _type(optimizer, 'lr', 'momentum', 'weight_decay')
    found['schedule'] = ', '.join(
        _type(one, 'power', 'gamma', 'begin', 'end') for one in _listed(cfg.get('param_scheduler'))
    )
    train = cfg.get('train_cfg') or {}
    found['length'] = next((f'{train[k]} {k[4:]}' for k in ('max_iters', 'max_epochs') if train.get(k)), '')
    found['seed'] = str((cfg.get('randomness') or {}).get('seed', ''))
    found['data set, preset'] = ', '.join(str(value) for value in (cfg.get('applied') or {}).values())
    return {name: value for name, value in found.items() if value}


def _data(cfg: Config) -> dict[str, str]:
    loader = cfg.get('train_dataloader')
    if not loader:
        return {}
    dataset = inner_dataset(loader['dataset'])
    steps = pipeline_steps(dataset.get('pipeline') or ())
    sizes = [f'{_type(one)} {one[key]}' for one in steps for key in ('scale', 'crop_size') if key in one]
    return {
        'training images': f'{dataset.get("data_root") or ""} {dataset.get("ann_file") or ""}'.strip(),
        'batch size': str(loader.get('batch_size', '')),
        'sizes': ', '.join(sizes),
    }


def _type(cfg: Any, *fields: str) -> str:
    """``Name(field=value)`` of a part of a config."""
    if not isinstance(cfg, Mapping):
        return ''
    told = ', '.join(f'{name}={cfg[name]}' for name in fields if cfg.get(name) is not None)
    name = str(cfg.get('type', '')).rpartition('.')[2]
    return f'{name}({told})' if told else name


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]

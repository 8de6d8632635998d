"""The network's part of a CRF search: inputs of the CRF for images with masks, stored once."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel

from bana_mm.labels.classifier import classifier_maps
from bana_mm.labels.crf import LabelTask
from bana_mm.labels.item import LabelItems, read_rgb
from bana_mm.labels.unaries import label_task
from bana_mm.search.crf_inputs import write_crf_input
from bana_mm.utils.progress import Progress

from .crf_search import StoredImage

# From an image of a data set to the input of the label CRF, or to the image and probabilities (C, H, W).
Network = Callable[[BaseDataset, int], LabelTask | tuple[np.ndarray, np.ndarray]]


def label_network(model: BaseModel) -> Network:
    """Stage 2 up to the CRF: the unaries that the ``label_recipe`` of a ``BoxClassifier`` makes."""

    def run(dataset: BaseDataset, index: int) -> LabelTask:
        item = LabelItems(dataset)[index]
        maps = classifier_maps(model, item) if len(item.layout.classes) > 1 else None
        return label_task(item.image, maps, item.layout, model.label_recipe)

    return run


def prediction_network(model: BaseModel) -> Network:
    """The softmax of a segmentation model's logits at the size of the image, as at test time."""

    @torch.no_grad()
    def run(dataset: BaseDataset, index: int) -> tuple[np.ndarray, np.ndarray]:
        item = dataset[index]
        (sample,) = model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        probability = sample.seg_logits.data.float().softmax(dim=0).cpu().numpy()
        return read_rgb(dataset.get_data_info(index)['img_path']), probability

    return run


def describe_images(dataset: BaseDataset, indices: Sequence[int]) -> dict[str, Any]:
    """What identifies images with their boxes and masks, for the record of a search.

    Args:
        dataset (BaseDataset): The data set.
        indices (Sequence[int]): Images of it.

    Returns:
        dict: ``ids``, and for the contents of image files, boxes and masks the first 16 digits of a SHA-256 each; they
        don't depend on the order of the images.

    Raises:
        FileNotFoundError: If an image has no mask.
    """
    digests = {name: hashlib.sha256() for name in ('images', 'boxes', 'masks')}
    infos = sorted((dataset.get_data_info(index) for index in indices), key=_name)
    for info in infos:
        if 'seg_map_path' not in info:
            raise FileNotFoundError(
                f'{info["img_path"]}: the search needs a mask of every image, but this one has none in the data set'
            )
        boxes = [[*box['bbox'], box['bbox_label'], box['ignore_flag']] for box in info.get('instances', [])]
        for name, content in (
            ('images', Path(info['img_path']).read_bytes()),
            ('boxes', json.dumps(boxes).encode()),
            ('masks', Path(info['seg_map_path']).read_bytes()),
        ):
            digests[name].update(hashlib.sha256(content).digest())
    return dict(
        ids=[_name(info) for info in infos], **{name: digest.hexdigest()[:16] for name, digest in digests.items()}
    )


def store_inputs(
    dataset: BaseDataset, indices: Sequence[int], folder: str | Path, network: Callable[[], Network]
) -> list[StoredImage]:
    """Run the network over images that have no stored input yet.

    Args:
        dataset (BaseDataset): Images with masks at their own size.
        indices (Sequence[int]): Images of it.
        folder (str | Path): Where the inputs go, ``ID.pkl`` each.
        network (Callable): Makes the network; it is called only where there is something to do.

    Returns:
        list[StoredImage]: One an image.

    Raises:
        RuntimeError: If an image fails; the message names it.
    """
    infos = [dataset.get_data_info(index) for index in indices]
    images = [
        StoredImage(_name(info), Path(folder) / f'{_name(info)}.pkl', Path(info['seg_map_path'])) for info in infos
    ]
    todo = [position for position, image in enumerate(images) if not image.input_path.exists()]
    run = network() if todo else None
    with Progress(len(images), len(images) - len(todo), 'network') as progress:
        for position in todo:
            img_path, path = infos[position]['img_path'], images[position].input_path
            try:
                task = run(dataset, indices[position])
            except Exception as error:
                raise RuntimeError(f'{img_path}: {error}') from error
            path.parent.mkdir(parents=True, exist_ok=True)
            write_crf_input(path, task)
            progress.update()
    return images


def _name(info: dict[str, Any]) -> str:
    return str(info.get('img_id', Path(info['img_path']).stem))

"""Panels of real images: what a classifier sees in them, the labels in store, and predictions."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from PIL import Image

from bana_mm.labels import LabelItem, LabelItems
from bana_mm.labels.classifier import classifier_maps
from bana_mm.structures import LabelStore, read_label_png
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.progress import Progress

from .panels import render_panels


@torch.no_grad()
def attention_and_cam(model: BaseModel, item: LabelItem) -> tuple[np.ndarray, np.ndarray | None]:
    """Background attention and CAM of an image.

    Args:
        model (BaseModel): A ``BoxClassifier`` in evaluation mode.
        item (LabelItem): The image and its boxes.

    Returns:
        tuple[np.ndarray, np.ndarray | None]: A, (H, W) in [0, 1]; and the CAM of the image's classes, each divided by
        its maximum, the largest at each pixel, (H, W) in [0, 1], or None for an image without boxes.
    """
    maps = classifier_maps(model, item)
    activation = maps.activation[1:]
    cam = None
    if len(activation):
        cam = (activation / activation.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)).amax(dim=0).cpu().numpy()
    return maps.attention.cpu().numpy(), cam


def write_stage_panels(
    out_dir: str | PathLike,
    dataset: BaseDataset,
    indices: Sequence[int],
    model: BaseModel | None = None,
    label_dir: str | PathLike | None = None,
    predictions: Mapping[str, str | PathLike] | None = None,
    height: int = 224,
) -> list[Path]:
    """Write one panel for each image, ``out_dir/ID.png``, with the columns whose files are there.

    Args:
        out_dir (str | PathLike): Folder to write to.
        dataset (BaseDataset): Images with boxes and perhaps masks, see
            :func:`bana_mm.labels.data.build_label_dataset`.
        indices (Sequence[int]): Images to draw.
        model (BaseModel | None): Classifier for attention and CAM. Defaults to None.
        label_dir (str | PathLike | None): Label store. Defaults to None.
        predictions (Mapping[str, str | PathLike] | None): Caption to a folder of label maps ``ID.png``. Defaults to
            None.
        height (int): Of each cell in pixels. Defaults to 224.

    Returns:
        list[Path]: The files.
    """
    classes = dataset.metainfo['classes']
    folders = {name: Path(folder) for name, folder in (predictions or {}).items()}
    written = []
    with Progress(len(indices), title='panels') as progress:
        for index in indices:
            info = dataset.get_data_info(index)
            img_id = info['img_id']
            attention, cam = (None, None) if model is None else attention_and_cam(model, LabelItems(dataset)[index])
            labels = {}
            if label_dir is not None:
                store = LabelStore(label_dir)
                labels = {name: store.read(name, img_id) for name in store.maps if store.path(name, img_id).exists()}
            panel = render_panels(
                mmcv.imread(info['img_path'], channel_order='rgb'),
                classes,
                boxes=np.array([instance['bbox'] for instance in info['instances']]).reshape(-1, 4),
                labels=[instance['bbox_label'] + 1 for instance in info['instances']],
                attention=attention,
                cam=cam,
                y_crf=labels.get('Y_crf'),
                y_ret=labels.get('Y_ret'),
                predictions={
                    name: read_label_png(folder / f'{img_id}.png')
                    for name, folder in folders.items()
                    if (folder / f'{img_id}.png').exists()
                },
                ground_truth=read_label_png(info['seg_map_path']) if 'seg_map_path' in info else None,
                height=height,
            )
            written.append(Path(out_dir) / f'{img_id}.png')
            written[-1].parent.mkdir(parents=True, exist_ok=True)  # ids may have folders
            with whole_file(written[-1]) as partial:
                Image.fromarray(panel).save(partial, format='PNG')
            progress.update()
    return written

"""Panels of training images for TensorBoard, WandB and whatever else mmengine's visualizer writes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from bana_mm.datasets.image_ids import image_id
from bana_mm.datasets.metainfo import without_background
from bana_mm.datasets.wrappers import base_datasets
from bana_mm.labels import LabelItem, read_rgb
from bana_mm.registry import HOOKS
from bana_mm.visualization import panel_cells, panel_row

from .undisturbed import same_random_numbers, undisturbed


@dataclass
class _Shown:
    """An image that is drawn again and again."""

    item: LabelItem
    labels: dict[str, np.ndarray]
    ground_truth: np.ndarray | None


@HOOKS.register_module()
class PanelsHook(Hook):
    """Draws what a model in training makes of some training images, each as one row of pictures.

    Of a classifier that knows boxes (``BoxClassifier``): image, boxes, attention, CAM, ground truth. Of a segmentation
    model of mmseg: image, boxes, the labels that it is trained on, where they are reliable, the confidence of a cosine
    classifier in them, prediction, ground truth. They go to the runner's visualizer as ``panels_ID``; where that writes
    to is up to its ``vis_backends``::

        visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
        custom_hooks = [dict(type='bana_mm.PanelsHook', interval=1000)]

    The network sees the whole image, in evaluation mode. The training itself is not changed: modes of the modules,
    random numbers and gradients are as without this hook.

    Args:
        images (int | Sequence[str]): How many images, evenly from the training set; or their ids. Defaults to 4.
        interval (int): Iterations between two drawings; the last iteration is one more. Defaults to 1000.
        height (int): Of each picture in pixels. Defaults to 160.

    Raises:
        ValueError: If a number is too small, or an image is not in the training set.
        TypeError: If the model is another one.
    """

    priority = 'LOW'

    def __init__(self, images: int | Sequence[str] = 4, interval: int = 1000, height: int = 160) -> None:
        if isinstance(images, str) or (isinstance(images, int) and images < 1) or images == []:
            raise ValueError(f'PanelsHook: images must be a number from 1 on, or list ids, got {images!r}')
        if interval < 1:
            raise ValueError(f'PanelsHook: interval must be at least 1, got {interval}')
        self.images = images
        self.interval = interval
        self.height = height
        self._shown: list[_Shown] = []

    def before_train(self, runner: Runner) -> None:
        """Find the images, and refuse a model that there is nothing to draw of."""
        model = _inner(runner.model)
        if not (hasattr(model, 'bap_head') or hasattr(model, 'encode_decode')):
            raise TypeError(
                'PanelsHook draws what a BoxClassifier or a segmentation model of mmseg makes of images, but this is '
                f'a {type(model).__name__}'
            )
        if is_main_process():
            with same_random_numbers():
                self._shown = self._find(runner.train_dataloader.dataset, labelled=hasattr(model, 'encode_decode'))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Draw if it is time."""
        done = runner.iter + 1
        if is_main_process() and (done % self.interval == 0 or done == runner.max_iters):
            self._draw(runner, done)

    def _find(self, dataset: Any, labelled: bool) -> list[_Shown]:
        datasets = list(base_datasets(dataset))
        places = [(one, index) for one in datasets for index in range(len(one))]
        if isinstance(self.images, int):
            positions = np.linspace(0, len(places) - 1, min(self.images, len(places))).round().astype(int)
            return [_load(*places[position], labelled) for position in positions]
        by_id = {image_id(one.get_data_info(index)): (one, index) for one, index in places}
        unknown = [name for name in self.images if name not in by_id]
        if unknown:
            raise ValueError(f'PanelsHook: image {unknown[0]!r} is not among the {len(places)} of the training set')
        return [_load(*by_id[name], labelled) for name in self.images]

    def _draw(self, runner: Runner, step: int) -> None:
        model = _inner(runner.model)
        classes = without_background(runner.train_dataloader.dataset.metainfo['classes'])
        for one in self._shown:
            with undisturbed(model):
                maps = _maps(model, one)
            layout = one.item.layout
            cells, legend = panel_cells(
                one.item.image,
                classes,
                layout.boxes.numpy(),
                layout.box_classes,
                y_crf=one.labels.get('Y_crf'),
                y_ret=one.labels.get('Y_ret'),
                others={name: label for name, label in one.labels.items() if name not in ('Y_crf', 'Y_ret')},
                ground_truth=one.ground_truth,
                height=self.height,
                **maps,
            )
            name = f'panels_{one.item.img_id}'.replace('/', '_')  # backends make files of it
            runner.visualizer.add_image(name, panel_row(cells, legend), step=step)


def _inner(model: Any) -> Any:
    return model.module if is_model_wrapper(model) else model


def _load(dataset: BaseDataset, index: int, labelled: bool) -> _Shown:
    """An image of a training set, with the labels of a segmentation."""
    info = dataset.get_data_info(index)
    info = {**info, 'instances': info.get('instances') or [], 'img_id': image_id(info)}
    labels, ground_truth = {}, None
    if labelled:
        from bana_mm.datasets.training_example import load_example

        example = load_example(info, dataset)
        labels, ground_truth = dict(example.labels), example.ground_truth
        if len(labels) == 1 and example.reliable is not None and not example.reliable.all():
            labels['reliable'] = np.where(example.reliable, example.label, 255).astype(np.uint8)
        rgb = np.ascontiguousarray(example.image[..., ::-1])
    else:
        from bana_mm.structures import read_label_png

        ground_truth = read_label_png(info['seg_map_path']) if info.get('seg_map_path') else None
        rgb = read_rgb(info['img_path'], getattr(dataset, 'backend_args', None))
    return _Shown(LabelItem.from_info(info, rgb), labels, ground_truth)


def _maps(model: Any, one: _Shown) -> dict[str, Any]:
    """What the network has to say, as :func:`panel_cells` takes it."""
    if hasattr(model, 'bap_head'):
        from bana_mm.visualization.stage_panels import attention_and_cam

        attention, cam = attention_and_cam(model, one.item)
        return dict(attention=attention, cam=cam)
    from bana_mm.evaluation.confidence import image_prediction

    label = next(iter(one.labels.values()))
    prediction, confidence = image_prediction(model, np.ascontiguousarray(one.item.image[..., ::-1]), label)
    return dict(predictions=dict(prediction=prediction), confidence=confidence)

"""Watch how the confidence in doubtful labels develops during a training (paper Fig. 5)."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from PIL import Image

from bana_mm.datasets.metainfo import without_background
from bana_mm.datasets.training_example import find_example
from bana_mm.evaluation.confidence import cosine_head, image_confidence
from bana_mm.registry import HOOKS
from bana_mm.utils.atomic import whole_file
from bana_mm.visualization.confidence_strip import confidence_strip

from .undisturbed import same_random_numbers, undisturbed


@HOOKS.register_module()
class ConfidenceMapHook(Hook):
    r"""Saves the confidence sigma (paper Eq. 11 and 12) of chosen training images at chosen times.

    For every image, ``vis_data/confidence_maps`` in the run's folder gets ``ID.png``, a row of pictures: image, labels,
    where they disagree, ground truth if there is a mask, and sigma at all times so far; and ``ID/iter_NUMBER.png``,
    sigma alone as 8-bit grey, 255 for 1. A training that goes on after an interruption takes the maps of before over.

    The network sees the whole image, in evaluation mode. The training itself is not changed: modes of the modules,
    random numbers and gradients are as without this hook.

    Args:
        images (Sequence[str]): Ids or file names of training images.
        iterations (Sequence[int] | None): After how many iterations; 0 is before the first. Defaults to None.
        epochs (Sequence[float] | None): After how many epochs, which in an iteration-based training are counted by the
            images of the training set. Either this or ``iterations``. Defaults to None.
        gamma (float | None): Damping of Eq. 12. Defaults to None, the loss's, or else 7.0 (paper).
        height (int): Of each picture of a row in pixels. Defaults to 224.

    Raises:
        ValueError: If not exactly one of ``iterations`` and ``epochs`` is given, if one of them is negative, if an
            image is not in the training set, or if its pipeline gives it no label.
        FileNotFoundError: If the labels of an image are missing.
        TypeError: If the model's decode head is not a :class:`CosineDecodeHead`.
    """

    priority = 'LOW'

    def __init__(
        self,
        images: Sequence[str],
        iterations: Sequence[int] | None = None,
        epochs: Sequence[float] | None = None,
        gamma: float | None = None,
        height: int = 224,
    ) -> None:
        if isinstance(images, str) or not images:
            raise ValueError(f'ConfidenceMapHook: images must list ids or file names, got {images!r}')
        if (iterations is None) == (epochs is None):
            raise ValueError('ConfidenceMapHook: set either iterations or epochs, as in epochs=(0, 11, 22, 33, 45)')
        times = iterations if epochs is None else epochs
        if not times or min(times) < 0:
            raise ValueError(f'ConfidenceMapHook: iterations or epochs must list numbers from 0 on, got {tuple(times)}')
        self.images = tuple(images)
        self.iterations = iterations
        self.epochs = epochs
        self.gamma = gamma
        self.height = height

    def before_train(self, runner: Runner) -> None:
        """Find the images and their labels, take over what an interrupted training has saved, and save time 0."""
        cosine_head(runner.model)
        self._times = self._schedule(runner)
        self._folder = Path(runner.log_dir) / 'vis_data' / 'confidence_maps'
        with same_random_numbers():
            self._examples = [find_example(name, runner.train_dataloader.dataset) for name in self.images]
        if is_main_process():
            self._take_over(runner)
            if runner.iter in self._times:
                self._save(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save the maps if it is time."""
        if runner.iter + 1 in self._times and is_main_process():
            self._save(runner, runner.iter + 1)

    def _schedule(self, runner: Runner) -> dict[int, str]:
        """Caption by number of iterations, in order."""
        if self.iterations is not None:
            times = {int(number): f'iteration {number}' for number in self.iterations}
        else:
            loader = runner.train_dataloader
            # mmengine's endless sampler counts the images of all ranks
            ranks = get_world_size() if isinstance(loader.sampler, InfiniteSampler) else 1
            times = {round(number * len(loader) / ranks): f'epoch {number:g}' for number in self.epochs}
        late = [caption for number, caption in times.items() if number > runner.max_iters]
        if late:
            runner.logger.warning(
                f'ConfidenceMapHook: no maps of {", ".join(late)}: the training ends after '
                f'{runner.max_iters} iterations'
            )
        return dict(sorted(times.items()))

    def _take_over(self, runner: Runner) -> None:
        """Copy the maps of the times before a resumed iteration from the newest run that has them."""
        earlier = [number for number in self._times if number < runner.iter]
        runs = sorted(Path(runner.work_dir).glob('*/vis_data/confidence_maps'), reverse=True)
        for example in self._examples:
            for number in earlier:
                file = Path(example.name) / f'iter_{number}.png'
                found = next((run / file for run in runs if (run / file).is_file()), None)
                if found is None:
                    runner.logger.warning(
                        f'ConfidenceMapHook: no map of {example.name} after {number} iterations in '
                        f'{runner.work_dir}; its picture goes on without'
                    )
                elif found.parents[1] != self._folder:
                    (self._folder / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(found, self._folder / file)

    def _save(self, runner: Runner, iteration: int) -> None:
        """Save the maps after an iteration, and each image's row of all times until then."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        classes = without_background(runner.train_dataloader.dataset.metainfo['classes'])
        for example in self._examples:
            with undisturbed(model):
                sigma = image_confidence(model, example.image, example.label, self.gamma)
            folder = self._folder / example.name
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f'iter_{iteration}.png', np.rint(255 * sigma).astype(np.uint8))
            saved = {
                f'sigma, {caption}': folder / f'iter_{number}.png'
                for number, caption in self._times.items()
                if number <= iteration
            }
            sigmas = {caption: np.asarray(Image.open(path)) / 255 for caption, path in saved.items() if path.is_file()}
            rgb = np.ascontiguousarray(example.image[..., ::-1])
            _write(
                self._folder / f'{example.name}.png',
                confidence_strip(
                    rgb, classes, example.labels, example.reliable, sigmas, example.ground_truth, self.height
                ),
            )


def _write(path: Path, picture: np.ndarray) -> None:
    with whole_file(path) as partial:
        Image.fromarray(picture).save(partial, format='PNG')

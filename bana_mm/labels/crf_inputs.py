"""What the CRF needs of an image, on disk, so that many parameters can be tried on what the network has said once."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from bana_mm.functional import dense_crf
from bana_mm.utils.atomic import whole_file

from .task import LabelTask, crf_label


def write_crf_input(path: str | Path, image: np.ndarray, task: LabelTask | np.ndarray) -> None:
    """Store an image and the CRF's input, probabilities as float16.

    Args:
        path (str | Path): File to write; its folder must exist.
        image (np.ndarray): (H, W, 3) uint8 RGB.
        task (LabelTask | np.ndarray): Input of the label CRF; or the probabilities (C, H, W) of a segmentation model.
    """
    if isinstance(task, LabelTask):
        task = replace(task, probability=task.probability.astype(np.float16))
    else:
        task = task.astype(np.float16)
    with whole_file(path) as partial:
        partial.write_bytes(pickle.dumps((image, task), protocol=5))


def label_crf_input(path: str | Path, crf: dict, temperature: float = 1.0) -> np.ndarray:
    """The label map of a stored input under some parameters. Runs in any process.

    Args:
        path (str | Path): Written by :func:`write_crf_input`; read files of your own only, they are pickled.
        crf (dict): Keyword arguments of :func:`bana_mm.functional.dense_crf`.
        temperature (float): See :func:`tempered`. Defaults to 1.0.

    Returns:
        np.ndarray: (H, W) uint8: as :func:`bana_mm.labels.task.crf_label` makes it from boxes, else the class of the
        largest posterior.
    """
    image, task = pickle.loads(Path(path).read_bytes())
    if isinstance(task, LabelTask):
        return crf_label(image, replace(task, probability=tempered(task.probability, temperature), crf=crf))
    return dense_crf(image, tempered(task, temperature), **crf).argmax(axis=0).astype(np.uint8)


def tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities of a softmax as another temperature would have given them.

    Args:
        probability (np.ndarray): (C, H, W) float, sums to 1 over the classes; made by a softmax of temperature t.
        temperature (float): Above 0. The result is that of temperature ``temperature * t``. Certain pixels stay
            certain, uniform ones uniform.

    Returns:
        np.ndarray: (C, H, W) float32, sums to 1.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be above 0, got {temperature!r}')
    power = probability.astype(np.float32)
    if temperature != 1:
        power = (power / power.max(axis=0)) ** (1 / temperature)
    return power / power.sum(axis=0)

"""What the CRF needs of an image, on disk, so that many parameters can be tried on what the network has said once."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bana_mm.functional import dense_crf
from bana_mm.labels.crf import LabelTask
from bana_mm.utils.atomic import whole_file


def write_crf_input(path: str | Path, task: LabelTask | tuple[np.ndarray, np.ndarray]) -> None:
    """Store an image and the CRF's input, probabilities as float16.

    Args:
        path (str | Path): File to write; its folder must exist.
        task (LabelTask | tuple[np.ndarray, np.ndarray]): Input of the label CRF; or an image, (H, W, 3) uint8 RGB, and
            the probabilities (C, H, W) of a segmentation model.
    """
    if isinstance(task, LabelTask):
        stored: Any = replace(task, probability=task.probability.astype(np.float16))
    else:
        stored = (task[0], task[1].astype(np.float16))
    with whole_file(path) as partial:
        partial.write_bytes(pickle.dumps(stored, protocol=5))


def label_crf_input(path: str | Path, crf: dict, temperature: float = 1.0) -> np.ndarray:
    """The label map of a stored input under some parameters. Runs in any process.

    Args:
        path (str | Path): Written by :func:`write_crf_input`; read files of your own only, they are pickled.
        crf (dict): Keyword arguments of :func:`bana_mm.functional.dense_crf`.
        temperature (float): See :func:`tempered`. Defaults to 1.0.

    Returns:
        np.ndarray: (H, W) uint8: as :meth:`LabelTask.run` makes it from boxes, else the class of the largest posterior.
    """
    stored = pickle.loads(Path(path).read_bytes())
    if isinstance(stored, LabelTask):
        return replace(stored, probability=tempered(stored.probability, temperature), crf=crf).run()
    image, probability = stored
    return dense_crf(image, tempered(probability, temperature), **crf).argmax(axis=0).astype(np.uint8)


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

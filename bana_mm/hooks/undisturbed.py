"""Looking at a model in the middle of its training, which goes on as if nobody had looked."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), same_random_numbers():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Whatever is drawn inside, the generators go on as if nothing had been."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)

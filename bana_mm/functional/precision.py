"""Half precision: what the equations divide by and compare underflows in it."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """The same values, half precision as float32; gradients go back in the precision of the values."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

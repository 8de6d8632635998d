"""Mixed precision that also runs on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from bana_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Forward passes under ``torch.autocast`` in bfloat16, on the device that holds the model.

    bfloat16 has float32's range and needs no loss scaling; mmengine's ``AmpOptimWrapper`` refuses CPUs.

    Args:
        kwargs: See mmengine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a training step in mixed precision."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield

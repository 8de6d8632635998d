"""End a training whose loss is no number any more, before it writes that to a checkpoint."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint
from torch import Tensor

from bana_mm.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends a training whose loss is NaN or infinite, and says what to do; without it the run would go on to its end.

    A single such loss is no fault of its own: in mixed precision the gradient scaler leaves that step out. Checkpoints
    with weights that are not finite are never written, so that the last one is good to go on from.

    Args:
        patience (int): The training ends after so many losses in a row that are not finite. Defaults to 3.
        interval (int): How often the count is looked at, in iterations; each time waits for the device. Defaults to 10.
    """

    def __init__(self, patience: int = 3, interval: int = 10) -> None:
        self.patience = patience
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Begin to count."""
        self._in_a_row: Tensor | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count the losses in a row that are not finite.

        Raises:
            FloatingPointError: If there are too many.
        """
        if 'loss' not in outputs:  # several optimisers, each with losses of its own
            return
        loss = torch.as_tensor(outputs['loss']).detach()
        before = torch.zeros((), dtype=torch.long, device=loss.device) if self._in_a_row is None else self._in_a_row
        self._in_a_row = torch.where(loss.isfinite(), torch.zeros_like(before), before + 1)
        last = runner.iter + 1 == runner.max_iters
        if (last or self.every_n_train_iters(runner, self.interval)) and self._in_a_row >= self.patience:
            terms = [name for name, value in outputs.items() if name != 'loss' and not _is_finite(value)]
            since = runner.iter + 2 - int(self._in_a_row)
            of_terms = f' ({", ".join(terms)})' if terms else ''
            found = f'the loss is NaN or infinite since iteration {since}{of_terms}'
            raise FloatingPointError(f'{found}: {_advice(runner)}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep weights that are not finite out of checkpoints.

        Raises:
            FloatingPointError: If there are such weights.
        """
        if not all(map(_is_finite, runner.model.parameters())):
            raise FloatingPointError(
                f'weights are NaN or infinite after iteration {runner.iter + 1}, and not saved: {_advice(runner)}'
            )


def _is_finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


def _advice(runner: Runner) -> str:
    rates = [rate for values in _lists(runner.optim_wrapper.get_lr()) for rate in values]
    latest = find_latest_checkpoint(runner.work_dir)
    return (
        f'the learning rate, up to {max(rates):g} here, is too high for these weights and this batch size. Lower it '
        '(--cfg-options optim_wrapper.optimizer.lr=...) or clip gradients (optim_wrapper.clip_grad.max_norm=10); if it '
        'begins with the first iteration, see whether the initial weights were loaded. '
        + (f'{latest} is from before; --resume goes on from it' if latest else 'No checkpoint was written')
    )


def _lists(rates: Any) -> list[list[float]]:
    """Learning rates of one optimiser or of several by name."""
    values = list(rates.values())
    return [rate for value in values for rate in (_lists(value) if isinstance(value, dict) else [value])]

"""The noise-aware loss as a registered module."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bana_mm.functional import noise_aware_loss_with_logits
from bana_mm.registry import MODELS


@MODELS.register_module()
class NoiseAwareLoss(nn.Module):
    r"""Noise-aware loss of a :class:`CosineDecodeHead` (paper Eq. 10-14), see :func:`noise_aware_loss`.

    .. math:: \mathcal{L} = \mathcal{L}_{ce} + \lambda \mathcal{L}_{wce}

    The head logs the two terms apart, as ``loss_ce`` and ``loss_wce``. It hands over the reliable region S and its
    temperature through :meth:`given`, because mmseg calls all losses with the same arguments.

    Args:
        gamma (float): Damping of the confidence. Defaults to 7.0 (paper).
        balance (float): lambda; 0 ignores unreliable pixels. Defaults to 0.1 (paper).
        detach_confidence (bool): Hold the confidence constant. Defaults to False (reference code).
        loss_weight (float): Factor of both terms. Defaults to 1.0.
        loss_name (str): The name that mmseg asks of every loss; it does not show up in the log.
            Defaults to 'loss_nal'.
    """

    needs_reliable = True

    def __init__(self, gamma: float = 7.0, balance: float = 0.1, detach_confidence: bool = False,
                 loss_weight: float = 1.0, loss_name: str = 'loss_nal') -> None:
        super().__init__()
        if gamma < 0 or balance < 0:
            raise ValueError(f'gamma and balance must not be negative, got {gamma} and {balance}')
        self.gamma = gamma
        self.balance = balance
        self.detach_confidence = detach_confidence
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self._given: tuple[Tensor | None, float | None] = (None, None)

    @contextmanager
    def given(self, reliable: Tensor, temperature: float) -> Iterator[None]:
        """Provide what :meth:`forward` is not passed, while the ``with`` block lasts."""
        self._given = reliable, temperature
        try:
            yield
        finally:
            self._given = (None, None)

    def forward(self, seg_logit: Tensor, label: Tensor, weight: Tensor | None = None, ignore_index: int = 255,
                reliable: Tensor | None = None, temperature: float | None = None) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            seg_logit (Tensor): temperature * cosine, (N, C, H, W) float.
            label (Tensor): (N, H, W) int64 in 0..C-1 or ``ignore_index``.
            weight (Tensor | None): Must be None; mmseg passes the weights of a pixel sampler. Defaults to None.
            ignore_index (int): Defaults to 255.
            reliable (Tensor | None): S, (N, H, W) bool. Defaults to what was given, or else to all pixels.
            temperature (float | None): Defaults to what was given.

        Returns:
            dict[str, Tensor]: The scalars ``loss_ce`` and ``loss_wce``.

        Raises:
            TypeError: If nothing says that the logits are cosines, as in a head that is not a ``CosineDecodeHead``.
            ValueError: With a pixel ``weight``.
        """
        reliable = self._given[0] if reliable is None else reliable
        temperature = self._given[1] if temperature is None else temperature
        if temperature is None:
            raise TypeError('NoiseAwareLoss measures cosines: wrap the head that has it in its loss_decode as '
                            "dict(type='bana_mm.CosineDecodeHead', head=dict(...))")
        if weight is not None:
            raise ValueError('NoiseAwareLoss weights the pixels itself, so weight must be None')
        if reliable is None:
            reliable = torch.ones_like(label, dtype=torch.bool)
        loss_ce, loss_wce = noise_aware_loss_with_logits(seg_logit, label, reliable, temperature, self.gamma,
                                                         self.balance, ignore_index, self.detach_confidence)
        return dict(loss_ce=self.loss_weight * loss_ce, loss_wce=self.loss_weight * loss_wce)

    def extra_repr(self) -> str:
        return f'gamma={self.gamma}, balance={self.balance}, detach_confidence={self.detach_confidence}'

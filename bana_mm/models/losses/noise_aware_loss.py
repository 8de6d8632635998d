"""The noise-aware loss as a registered module."""

from torch import Tensor

from bana_mm.functional import noise_aware_loss_with_logits
from bana_mm.registry import MODELS

from .reliability_loss import ReliabilityLoss


@MODELS.register_module()
class NoiseAwareLoss(ReliabilityLoss):
    r"""Noise-aware loss of a :class:`CosineDecodeHead` (paper Eq. 10-14), see :func:`noise_aware_loss`.

    .. math:: \mathcal{L} = \mathcal{L}_{ce} + \lambda \mathcal{L}_{wce}

    The terms are logged as ``loss_ce`` and ``loss_wce``.

    Args:
        gamma (float): Damping of the confidence. Defaults to 7.0 (paper).
        balance (float): lambda; 0 ignores unreliable pixels, the baseline of Table 3. Defaults to 0.1 (paper).
        detach_confidence (bool): Hold the confidence constant. Defaults to False (reference code).
        loss_weight (float): Factor of both terms. Defaults to 1.0.
        loss_name (str): See :class:`ReliabilityLoss`. Defaults to 'loss_nal'.
        reduce (str): See :class:`ReliabilityLoss`. Defaults to 'local'.
    """

    def __init__(
        self,
        gamma: float = 7.0,
        balance: float = 0.1,
        detach_confidence: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_nal',
        reduce: str = 'local',
    ) -> None:
        super().__init__(balance, loss_weight, loss_name, reduce)
        if gamma < 0:
            raise ValueError(f'NoiseAwareLoss: gamma must not be negative, got {gamma}')
        self.gamma = gamma
        self.detach_confidence = detach_confidence

    def terms(
        self, seg_logit: Tensor, label: Tensor, reliable: Tensor, temperature: float, ignore_index: int
    ) -> dict[str, Tensor]:
        loss_ce, loss_wce = noise_aware_loss_with_logits(
            seg_logit,
            label,
            reliable,
            temperature,
            self.gamma,
            self.balance,
            ignore_index,
            self.detach_confidence,
            self.reduce,
        )
        return dict(loss_ce=loss_ce, loss_wce=loss_wce)

    def extra_repr(self) -> str:
        return f'gamma={self.gamma}, {super().extra_repr()}, detach_confidence={self.detach_confidence}'

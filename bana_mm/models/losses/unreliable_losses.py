"""What the paper compares the noise-aware loss with (Table 3): other ways to treat unreliable pixels."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import bootstrapped_cross_entropy, entropy, region_mean
from bana_mm.registry import MODELS

from .reliability_loss import ReliabilityLoss

# The share of the label by which Reed et al. weigh it in their experiments.
HARD_BETA, SOFT_BETA = 0.8, 0.95


class UnreliableLoss(ReliabilityLoss):
    r"""Mean cross entropy of the reliable pixels and a mean of something else over the others.

    .. math::
        \mathcal{L} = -\frac{1}{|S|} \sum_{p \in S} \log H_{c^*}(p) + \frac{\lambda}{|{\sim}S|} \sum_{p \notin S} u(p)

    The paper does not give these methods' :math:`\lambda`; by default it is the noise-aware loss's, so that their
    configs differ in the ``type`` of the loss alone (ours). Half precision is computed in float32. Subclasses provide
    u as :meth:`loss_map` and the name of its term as ``term_name``.
    """

    term_name: str

    @abstractmethod
    def loss_map(self, log_probability: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """u, (N, H, W); its values at ignored and at reliable pixels don't matter, but are finite."""

    def terms(
        self, seg_logit: Tensor, label: Tensor, reliable: Tensor, temperature: float, ignore_index: int
    ) -> dict[str, Tensor]:
        half = seg_logit.dtype in (torch.float16, torch.bfloat16)
        log_probability = (seg_logit.float() if half else seg_logit).log_softmax(dim=1)
        cross_entropy = F.nll_loss(log_probability, label, ignore_index=ignore_index, reduction='none')
        labelled = label != ignore_index
        doubtful = self.loss_map(log_probability, label, ignore_index)
        return {
            'loss_ce': region_mean(cross_entropy, reliable & labelled, self.reduce),
            self.term_name: self.balance * region_mean(doubtful, ~reliable & labelled, self.reduce),
        }


@MODELS.register_module()
class EntropyLoss(UnreliableLoss):
    """Entropy regularisation: unreliable pixels shall be predicted with certainty, whatever their label.

    See :func:`bana_mm.functional.entropy`. The terms are logged as ``loss_ce`` and ``loss_entropy``.

    Args:
        balance (float): Factor of the second term. Defaults to 0.1.
        loss_weight (float): Factor of both terms. Defaults to 1.0.
        loss_name (str): See :class:`ReliabilityLoss`. Defaults to 'loss_entropy_regularised'.
        reduce (str): See :class:`ReliabilityLoss`. Defaults to 'local'.
    """

    term_name = 'loss_entropy'

    def __init__(
        self,
        balance: float = 0.1,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_entropy_regularised',
        reduce: str = 'local',
    ) -> None:
        super().__init__(balance, loss_weight, loss_name, reduce)

    def loss_map(self, log_probability: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        return entropy(log_probability)


@MODELS.register_module()
class BootstrappingLoss(UnreliableLoss):
    """Bootstrapping: labels of unreliable pixels are mixed with the network's predictions.

    See :func:`bana_mm.functional.bootstrapped_cross_entropy`. The terms are logged as ``loss_ce`` and
    ``loss_bootstrap``.

    Args:
        mode (str): 'soft' mixes with the probabilities, 'hard' with the most probable class. The paper does not say
            which one it used. Defaults to 'soft'.
        beta (float | None): Share of the label, 0 to 1. Defaults to None: 0.95 for 'soft' and 0.8 for 'hard' (Reed et
            al.).
        balance (float): Factor of the second term. Defaults to 0.1.
        loss_weight (float): Factor of both terms. Defaults to 1.0.
        loss_name (str): See :class:`ReliabilityLoss`. Defaults to 'loss_bootstrapped'.
        reduce (str): See :class:`ReliabilityLoss`. Defaults to 'local'.
    """

    term_name = 'loss_bootstrap'

    def __init__(
        self,
        mode: str = 'soft',
        beta: float | None = None,
        balance: float = 0.1,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_bootstrapped',
        reduce: str = 'local',
    ) -> None:
        super().__init__(balance, loss_weight, loss_name, reduce)
        if mode not in ('soft', 'hard'):
            raise ValueError(f"BootstrappingLoss: mode must be 'soft' or 'hard', got {mode!r}")
        self.hard = mode == 'hard'
        self.beta = (HARD_BETA if self.hard else SOFT_BETA) if beta is None else beta
        if not 0 <= self.beta <= 1:
            raise ValueError(f'BootstrappingLoss: beta must lie between 0 and 1, got {beta}')

    def loss_map(self, log_probability: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        return bootstrapped_cross_entropy(log_probability, label, self.beta, self.hard, ignore_index)

    def extra_repr(self) -> str:
        return f'hard={self.hard}, beta={self.beta}, {super().extra_repr()}'

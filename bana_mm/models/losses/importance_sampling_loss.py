"""Losses at positions drawn by probability: the importance sampling loss, and mining of hard background."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bana_mm.functional import importance_sampled_mean, importance_sampling_loss, multinomial_posterior
from bana_mm.functional.importance_sampling import MIN_POSTERIOR
from bana_mm.registry import MODELS

from .dense_loss import BoxCells, DenseInputs, DenseLoss


@MODELS.register_module()
class ImportanceSamplingLoss(DenseLoss):
    r"""Importance sampling loss of a classifier, see :func:`bana_mm.functional.importance_sampling_loss`.

    .. math:: \mathcal{L} = (1 - \lambda) \mathcal{L}_{cls} + \lambda \mathcal{L}_{is}

    Of an image classifier each class is a problem of its own: the positions of an image, drawn by the class's
    posterior, have the image's label. Of a box classifier (ours) the positions are drawn inside each box, by the
    posterior of its class. The term is logged as ``loss_isl``, already times lambda.

    Args:
        num_samples (int | None): Positions drawn for each class or box, K; None takes the exact expectation (ours).
            Defaults to 10 (reference code; its predecessor: 100).
        balance (float): lambda. Defaults to 0.2 (reference code; its predecessor: 0.8).
        posterior (str): 'binomial', each class by itself; 'multinomial', a softmax over background and classes (the
            predecessor). For boxes the former is the mean binary cross entropy over all classes and the background, the
            latter the cross entropy that the box classifier is trained with. Defaults to 'binomial'.
        proposal (str): Positions are drawn by the 'posterior', or for boxes by 1 - A ('attention', ours), which does
            not reinforce its own peaks. Defaults to 'posterior'.
        padding (bool): Whether positions of an image classifier may lie in the padding (reference code). Defaults to
            True.
        eps (float): Added to what positions are drawn by. Defaults to 1e-5 (reference code).

    Raises:
        ValueError: For another posterior or proposal, or lambda outside 0..1.
    """

    def __init__(
        self,
        num_samples: int | None = 10,
        balance: float = 0.2,
        posterior: str = 'binomial',
        proposal: str = 'posterior',
        padding: bool = True,
        eps: float = MIN_POSTERIOR,
    ) -> None:
        super().__init__()
        if posterior not in ('binomial', 'multinomial'):
            raise ValueError(f"posterior must be 'binomial' or 'multinomial', got {posterior!r}")
        if proposal not in ('posterior', 'attention'):
            raise ValueError(f"proposal must be 'posterior' or 'attention', got {proposal!r}")
        if not 0 <= balance <= 1:
            raise ValueError(f'balance must lie in 0..1, got {balance}')
        self.num_samples = num_samples
        self.balance = balance
        self.posterior = posterior
        self.proposal = proposal
        self.padding = padding
        self.eps = eps

    @property
    def host_weight(self) -> float:
        """1 - lambda."""
        return 1 - self.balance

    def forward(self, dense: DenseInputs) -> dict[str, Tensor]:
        """See :class:`DenseLoss`."""
        if dense.boxes is not None:
            loss = self._of_boxes(dense, dense.boxes)
        elif self.proposal == 'attention':
            raise TypeError("ImportanceSamplingLoss: proposal='attention' is for a BoxClassifier; images have none")
        else:
            loss = self._of_images(dense)
        return dict(loss_isl=self.balance * loss)

    def _of_images(self, dense: DenseInputs) -> Tensor:
        logits, proposal = dense.logits[:, int(dense.has_background) :], None
        if self.posterior == 'multinomial':
            proposal, logits = multinomial_posterior(dense.logits if dense.has_background else _add_zero(dense.logits))
            proposal = proposal.flatten(0, 1).flatten(1)
        region = None if self.padding else dense.visible[:, None].expand_as(logits).flatten(0, 1).flatten(1)
        return importance_sampling_loss(
            logits.flatten(0, 1).flatten(1),  # a row for each image and class
            dense.present.flatten(),
            self.num_samples,
            proposal,
            region,
            counted=dense.known.flatten(),
            eps=self.eps,
        )

    def _of_boxes(self, dense: DenseInputs, boxes: BoxCells) -> Tensor:
        logits = dense.logits if dense.has_background else _add_zero(dense.logits)
        if self.posterior == 'multinomial':
            own = logits.log_softmax(dim=1)[boxes.images, boxes.classes]  # (K, h, w)
            values, posterior = -own, own.exp()
        else:  # softplus(z) is the loss of a class that is absent, and softplus(z) - z that of one that is present
            own = logits[boxes.images, boxes.classes]
            values = (F.softplus(logits).sum(dim=1)[boxes.images] - own) / logits.size(1)
            posterior = own.sigmoid()
        if self.proposal == 'attention':
            posterior = 1 - boxes.attention[boxes.images, 0]
        proposal = (posterior.detach() + self.eps) * boxes.masks
        return importance_sampled_mean(values.flatten(1), proposal.flatten(1), self.num_samples)

    def extra_repr(self) -> str:
        return (
            f'num_samples={self.num_samples}, balance={self.balance}, posterior={self.posterior!r}, '
            f'proposal={self.proposal!r}'
        )


@MODELS.register_module()
class HardBackgroundLoss(DenseLoss):
    r"""Mining of hard background for a box classifier (ours).

    Its background class learns from means over parts of the definite background, which hide what looks like an object.
    Here positions of the definite background are drawn by the highest probability of an object class,

    .. math:: \mathcal{L} = -\frac{\lambda}{N K} \sum_n \sum_k \log p_0(p_{nk}), \quad
        p_{nk} \sim \max_{c > 0} p_c(p), \; p \in M_n

    The term is logged as ``loss_hard_background``.

    Args:
        num_samples (int | None): Positions drawn in each image, K; None takes the exact expectation. Defaults to 10.
        loss_weight (float): lambda. Defaults to 0.2.
    """

    def __init__(self, num_samples: int | None = 10, loss_weight: float = 0.2) -> None:
        super().__init__()
        self.num_samples = num_samples
        self.loss_weight = loss_weight

    def forward(self, dense: DenseInputs) -> dict[str, Tensor]:
        """See :class:`DenseLoss`."""
        if dense.boxes is None or not dense.has_background:
            raise TypeError('HardBackgroundLoss is for a BoxClassifier: image labels tell of no background')
        log_probability = dense.logits.log_softmax(dim=1)
        hardness = log_probability[:, 1:].detach().amax(dim=1).exp() + MIN_POSTERIOR  # (N, h, w)
        proposal = (hardness * dense.boxes.background).flatten(1)
        loss = importance_sampled_mean(-log_probability[:, 0].flatten(1), proposal, self.num_samples)
        return dict(loss_hard_background=self.loss_weight * loss)

    def extra_repr(self) -> str:
        return f'num_samples={self.num_samples}, loss_weight={self.loss_weight}'


def _add_zero(logits: Tensor) -> Tensor:
    """Logits with a background's of zero in front."""
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)

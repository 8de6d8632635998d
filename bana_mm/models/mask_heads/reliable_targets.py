"""Mask targets that carry their unreliable cells with them as NaN, and losses and costs that leave these cells out.

mmdet's dense heads make targets, pick some of them and sample points in them deep inside methods that know one plane of
a mask only. NaN goes through all of that (indexing, stacking, bilinear sampling) and still tells which cells are not to
be trusted when the loss gets them.
"""

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from bana_mm.structures import ReliableMasks

# A logit whose probability and whose cross entropy with 0 are exactly 0, in half precision too.
NEVER = -1e4


def unreliable_planes(masks: Any, device: torch.device) -> Tensor | None:
    """The unreliable pixels of an image's masks.

    Args:
        masks (BitmapMasks | ReliableMasks): (N, H, W).
        device (torch.device): Where to put them.

    Returns:
        Tensor | None: (N, H, W) bool; None where all pixels are reliable.
    """
    if not isinstance(masks, ReliableMasks) or not masks.unreliable.masks.any():
        return None
    return masks.unreliable.to_tensor(dtype=torch.bool, device=device)


def mark_unreliable(targets: Tensor, unreliable: Tensor) -> Tensor:
    """Targets with NaN where they are not to be trusted.

    Args:
        targets (Tensor): Of any type, 0 or 1.
        unreliable (Tensor): Bool, of a shape that fits.

    Returns:
        Tensor: Float, of the shape of ``targets``.
    """
    return targets.float().masked_fill(unreliable, float('nan'))


class ReliableLoss(nn.Module):
    """A loss of mask logits that leaves out targets of NaN (ours).

    Where no target is NaN it is the loss itself. Of masks, (n, h, w) or (n, points), the NaN cells add nothing to the
    sums of which a dice loss is made, and a mask without another cell adds no loss. Single pixels, (M,), are averaged
    over those that are not NaN.

    Args:
        loss (nn.Module): mmdet's ``DiceLoss`` for masks, ``CrossEntropyLoss(use_sigmoid=True)`` for single pixels.

    Raises:
        ValueError: If it takes probabilities instead of logits.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if not getattr(loss, 'use_sigmoid', True) or not getattr(loss, 'activate', True):
            raise ValueError(
                f'{type(loss).__name__}: leaving out unreliable pixels needs a loss of logits, with use_sigmoid=True '
                'and, for a dice loss, activate=True'
            )
        self.loss = loss

    @property
    def loss_weight(self) -> float:
        """Factor of the loss."""
        return self.loss.loss_weight

    def forward(self, pred: Tensor, target: Tensor, **kwargs: Any) -> Tensor:
        """The loss of logits and targets of one shape.

        Args:
            pred (Tensor): Logits.
            target (Tensor): 0 to 1, or NaN.
            kwargs: As the loss takes them: ``weight``, ``avg_factor``, ``reduction_override``.
        """
        unreliable = target.isnan()
        if not unreliable.any():
            return self.loss(pred, target, **kwargs)
        pred, target = pred.masked_fill(unreliable, NEVER), target.masked_fill(unreliable, 0)
        if pred.dim() == 1:
            if kwargs.get('avg_factor') is not None:
                kwargs['avg_factor'] = kwargs['avg_factor'] * (~unreliable).float().mean()
        else:
            kept = (~unreliable).flatten(1).any(dim=1).to(pred.dtype)
            kwargs['weight'] = kept if kwargs.get('weight') is None else kwargs['weight'] * kept
        return self.loss(pred, target, **kwargs)


class ReliableCost:
    """A cost of matching predicted with true masks that leaves out the NaN points of each true mask (ours).

    Where no point is NaN it is the cost itself; a true mask with NaN alone costs every prediction the same.

    Args:
        cost (Callable): A match cost of mmdet, such as ``DiceCost`` or ``CrossEntropyLossCost``.
    """

    def __init__(self, cost: Any) -> None:
        self.cost = cost

    def __call__(
        self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict | None = None, **kwargs: Any
    ) -> Tensor:
        """Costs, (predictions, true masks).

        Args:
            pred_instances (InstanceData): With ``scores`` and ``masks``, (n, points) logits.
            gt_instances (InstanceData): With ``labels`` and ``masks``, (k, points).
            img_meta (dict | None): Handed on. Defaults to None.
            kwargs: Handed on.
        """
        unreliable = gt_instances.masks.isnan()
        if not unreliable.any():
            return self.cost(pred_instances, gt_instances, img_meta, **kwargs)
        columns = []
        for label, mask, left_out in zip(gt_instances.labels, gt_instances.masks, unreliable):
            seen = InstanceData(scores=pred_instances.scores, masks=pred_instances.masks[:, ~left_out])
            wanted = InstanceData(labels=label[None], masks=mask[None, ~left_out])
            columns.append(self.cost(seen, wanted, img_meta, **kwargs).nan_to_num())
        return torch.cat(columns, dim=1)

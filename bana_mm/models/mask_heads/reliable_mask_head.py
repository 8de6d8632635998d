"""Mask R-CNN's mask head that learns from the reliable pixels only."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import roi_align
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.modules.utils import _pair

from bana_mm.functional import feature_similarity_loss, noise_aware_mask_loss
from bana_mm.functional.reduction import check_reduction, num_ranks, sum_over_ranks
from bana_mm.registry import MODELS
from bana_mm.structures import ReliableMasks


@MODELS.register_module()
class ReliableMaskHead(FCNMaskHead):
    r"""mmdet's ``FCNMaskHead`` with the mask loss on the reliable region S (paper Sec. 4.2, COCO).

    The loss is the mean binary cross entropy over the pixels of all positive proposals that lie in S,

    .. math:: \mathcal{L} = \frac{1}{|S|} \sum_{p \in S} \mathrm{BCE}(z_{c}(p), y(p))

    with c the class of the proposal. S is cropped and resized as the masks are: a cell of the target is unreliable
    where at least half of it is. Where masks are not :class:`bana_mm.structures.ReliableMasks` (a data set without
    ``LoadUnreliable``) all pixels are reliable; where no pixel is unreliable, loss and gradients are ``FCNMaskHead``'s
    bit for bit; where all are, the loss is zero and the graph connected.

    Args:
        noise_aware (dict | None): Adds the term ``loss_mask_unreliable``, the pixels outside S weighted by how far the
            mask agrees with their label (ours, not in the paper), with the arguments ``temperature``, ``gamma``,
            ``balance`` and ``detach_confidence`` of :func:`bana_mm.functional.noise_aware_mask_loss`; ``dict()`` takes
            their defaults. Defaults to None, no such term: these pixels do not count.
        feature_similarity (dict | None): Adds the term ``loss_mask_similarity`` of the masks of all positive proposals,
            whatever their labels say (ours): its factor ``loss_weight`` (0.1 unless given), and the arguments ``mu``,
            ``sigma`` and ``radius`` of :func:`bana_mm.functional.feature_similarity_loss`, in cells of a mask. The
            data pipeline needs ``KeepColours`` and ``PackBoxDetInputs``. Defaults to None, no such term.
        reduce (str): What the loss is divided by: 'local', the pixels of this process (as in mmdet), or 'global', those
            of all processes. Defaults to 'local'.
        args: See mmdet's ``FCNMaskHead``.
        kwargs: See mmdet's ``FCNMaskHead``.
    """

    def __init__(
        self,
        *args,
        noise_aware: dict[str, Any] | None = None,
        feature_similarity: dict[str, Any] | None = None,
        reduce: str = 'local',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.reduce = check_reduction(reduce)
        self.noise_aware = None if noise_aware is None else dict(noise_aware)
        self.feature_similarity = None if feature_similarity is None else dict(feature_similarity)

    def get_unreliable(
        self,
        sampling_results: Sequence[SamplingResult],
        batch_gt_instances: Sequence[InstanceData],
        rcnn_train_cfg: ConfigDict,
    ) -> Tensor:
        """The unreliable cells of the mask targets.

        Args:
            sampling_results (Sequence[SamplingResult]): Positive proposals of each image.
            batch_gt_instances (Sequence[InstanceData]): Instances of each image, with ``masks``.
            rcnn_train_cfg (ConfigDict): With ``mask_size``, cells a side.

        Returns:
            Tensor: (num_pos, h, w) bool, the positive proposals of all images, as in :meth:`get_targets`.
        """
        unreliable = []
        for result, instances in zip(sampling_results, batch_gt_instances):
            masks = instances.masks
            if isinstance(masks, ReliableMasks) and masks.unreliable.masks.any():
                cells = mask_target(
                    [result.pos_priors], [result.pos_assigned_gt_inds], [masks.unreliable], rcnn_train_cfg
                )
            else:
                cells = result.pos_priors.new_zeros(len(result.pos_priors), *_pair(rcnn_train_cfg.mask_size))
            unreliable.append(cells > 0)
        return torch.cat(unreliable)

    def loss_and_target(
        self,
        mask_preds: Tensor,
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        rcnn_train_cfg: ConfigDict,
    ) -> dict[str, Any]:
        """See ``FCNMaskHead.loss_and_target``."""
        result = self._loss_on_labels(mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg)
        if self.feature_similarity is not None:
            term = self._similarity(mask_preds, sampling_results, batch_gt_instances)
            result['loss_mask']['loss_mask_similarity'] = term
        return result

    def _loss_on_labels(
        self,
        mask_preds: Tensor,
        sampling_results: Sequence[SamplingResult],
        batch_gt_instances: Sequence[InstanceData],
        rcnn_train_cfg: ConfigDict,
    ) -> dict[str, Any]:
        """The terms that compare masks with their targets."""
        unreliable = self.get_unreliable(sampling_results, batch_gt_instances, rcnn_train_cfg)
        if unreliable.any():
            targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)  # (num_pos, h, w)
            logits = self._own_logits(mask_preds, sampling_results)
            loss = dict(loss_mask=self._mean_loss(logits[~unreliable], targets[~unreliable]))
            result = dict(loss_mask=loss, mask_targets=targets)
        else:  # also without any proposal
            result = super().loss_and_target(mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg)
        losses = result['loss_mask']
        ranks = num_ranks(self.reduce)
        if ranks > 1:  # from the mean over this process's pixels to its part of the mean over all
            number = (~unreliable).sum()
            losses['loss_mask'] = losses['loss_mask'] * (
                number * ranks / sum_over_ranks(number, self.reduce).clamp(min=1)
            )
        if self.noise_aware is not None:
            if unreliable.any() or ranks > 1:
                logits = self._own_logits(mask_preds, sampling_results)
                _, term = noise_aware_mask_loss(
                    logits, result['mask_targets'], ~unreliable, **self.noise_aware, reduce=self.reduce
                )
                losses['loss_mask_unreliable'] = self.loss_mask.loss_weight * term
            else:
                losses['loss_mask_unreliable'] = mask_preds[:0].sum()
        return result

    def _own_logits(self, mask_preds: Tensor, sampling_results: Sequence[SamplingResult]) -> Tensor:
        """The mask of each proposal's own class, (num_pos, h, w)."""
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        return mask_preds[torch.arange(len(labels), device=labels.device), labels]

    def _similarity(
        self,
        mask_preds: Tensor,
        sampling_results: Sequence[SamplingResult],
        batch_gt_instances: Sequence[InstanceData],
    ) -> Tensor:
        """The feature similarity loss of the masks, over the colours that their proposals enclose."""
        settings = dict(self.feature_similarity)
        weight = settings.pop('loss_weight', 0.1)
        if not len(mask_preds):
            return mask_preds.sum() * weight
        colours = []
        for result, instances in zip(sampling_results, batch_gt_instances):
            image = instances.get('colours')
            if image is None:
                raise TypeError(
                    'ReliableMaskHead: feature_similarity needs the colours of the images: put dict(type="bana_mm.'
                    'KeepColours") into the training pipeline, and dict(type="bana_mm.PackBoxDetInputs") at its end'
                )
            image = image[None].to(result.pos_priors) / 255
            boxes = torch.cat([result.pos_priors.new_zeros(len(result.pos_priors), 1), result.pos_priors], dim=1)
            colours.append(roi_align(image, boxes, mask_preds.shape[2:], 1.0, 0, 'avg', True))  # as masks are cropped
        probability = self._own_logits(mask_preds, sampling_results).float().sigmoid()
        probability = torch.stack([1 - probability, probability], dim=1)
        return weight * feature_similarity_loss(torch.cat(colours), probability, **settings)

    def _mean_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """``loss_mask`` of any number of pixels, (M, ) each: given to it as one mask of one class."""
        if not len(logits):
            return logits.sum()
        return self.loss_mask(logits[None, None, None], targets[None], targets.new_zeros(1, dtype=torch.long))

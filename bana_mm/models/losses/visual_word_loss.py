"""Visual words as further labels of a classifier (Ru et al., IJCAI 2021; VWL-L and VWL-M, IJCV 2022)."""

import math

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, broadcast, get_rank
from torch import Tensor, nn

from bana_mm.functional import WordAssignment, assign_words, update_codebook, word_decorrelation, word_sums
from bana_mm.registry import MODELS

from .dense_loss import DenseInputs, DenseLoss


@MODELS.register_module()
class VisualWordLoss(DenseLoss):
    r"""Learn visual words and classify them (visual words Eq. 1-3 and 5, without its first term).

    .. math:: \mathcal{L} = \mathcal{L}_{cls}(p^{word}, y^{word}) + \mathcal{L}_{cls}(p^{w2i}, y^{img})

    with the words :math:`y^{word}` of an image as labels of its average feature, and the image's classes as labels of
    its histogram of words. The features hold still in the second term (reference code), which trains the codebook and
    its own classifier alone. Of a box classifier (ours) words and averages are those of the cells inside boxes, so that
    they describe objects. Terms are logged as ``loss_word`` and ``loss_word_to_image``, the share of the codebook that
    a batch uses as ``words_in_use``, in percent.

    Args:
        num_classes (int): Object classes L; a classifier gives its own, and so for the next.
        in_channels (int): Channels D of the feature map.
        num_words (int): Words of the codebook, k. Defaults to 256 (reference code; the paper does not give it).
        codebook (str): 'learned' by the second term (VWE, VWL-L), or 'averaged': moved towards the mean of the features
            of each word (VWL-M); a parameter or a buffer of the checkpoint. Defaults to 'learned'.
        temperature (float): tau of the words' probabilities. Defaults to 1.0 (reference code).
        momentum (float): rho of an averaged codebook. Defaults to 1e-3 (reference code).
        word_weight (float): Factor of the first term. Defaults to 1.0.
        image_weight (float | None): Factor of the second term; 0 leaves it and its classifier out. Defaults to None: 1
            for a learned codebook, and 0 for an averaged one (reference code).
        decorrelation (float): Factor of :func:`bana_mm.functional.word_decorrelation`, logged as
            ``loss_decorrelation``. Defaults to 0.0 (VWE; VWL-L: 1).
        max_attention (float | None): Of a box classifier, words are taken from cells whose background attention is
            below this alone. Defaults to None, from all inside boxes.

    Raises:
        ValueError: For another codebook, or one that nothing would train.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_words: int = 256,
        codebook: str = 'learned',
        temperature: float = 1.0,
        momentum: float = 1e-3,
        word_weight: float = 1.0,
        image_weight: float | None = None,
        decorrelation: float = 0.0,
        max_attention: float | None = None,
    ) -> None:
        super().__init__()
        if codebook not in ('learned', 'averaged'):
            raise ValueError(f"codebook must be 'learned' or 'averaged', got {codebook!r}")
        learned = codebook == 'learned'
        image_weight = float(learned) if image_weight is None else image_weight
        if learned and not image_weight:
            raise ValueError("image_weight must be above 0 for a codebook that is 'learned': nothing else trains it")
        self.num_classes = num_classes
        self.temperature = temperature
        self.momentum = momentum
        self.word_weight = word_weight
        self.image_weight = image_weight
        self.decorrelation = decorrelation
        self.max_attention = max_attention
        self.word_classifier = nn.Linear(in_channels, num_words, bias=False)
        self.image_classifier = nn.Linear(num_words, num_classes, bias=False) if image_weight else None
        words = torch.randn(num_words, in_channels) / math.sqrt(3 * in_channels)  # Kaiming's with a = sqrt(5)
        if learned:
            self.codebook = nn.Parameter(words)
        else:
            self.register_buffer('codebook', words)
            self.register_buffer('started', torch.tensor(False))

    @property
    def num_words(self) -> int:
        """Words of the codebook, k."""
        return len(self.codebook)

    def forward(self, dense: DenseInputs) -> dict[str, Tensor]:
        """See :class:`DenseLoss`. In training it moves an averaged codebook."""
        region = self._region(dense)
        words = assign_words(dense.feats, self.codebook, self.temperature, region)
        losses = self._losses(dense, words, region)
        used = words.present.any(dim=0).float().mean()
        losses['words_in_use'] = 100 * used
        if self.training and not isinstance(self.codebook, nn.Parameter):
            self._move(dense.feats, words.index)
        return losses

    def _region(self, dense: DenseInputs) -> Tensor | None:
        """Cells that count, (N, h, w) bool; None for all, padding too (reference code)."""
        if dense.boxes is None:
            return None
        region = dense.boxes.regions(dense.num_classes).any(dim=1)
        if self.max_attention is not None:
            region = region & (dense.boxes.attention[:, 0] < self.max_attention)
        return region

    def _losses(self, dense: DenseInputs, words: WordAssignment, region: Tensor | None) -> dict[str, Tensor]:
        if region is None:
            average = dense.feats.mean(dim=(2, 3))  # and not the pooling of the images (reference code)
            counted = torch.ones(len(average), dtype=torch.bool, device=average.device)
        else:
            counted = region.any(dim=(1, 2))
            average = (dense.feats * region[:, None]).sum(dim=(2, 3)) / region.sum(dim=(1, 2)).clamp(min=1)[:, None]
        word = _soft_margin(self.word_classifier(average), words.present, counted[:, None])
        losses = dict(loss_word=self.word_weight * word)
        if self.image_classifier is not None:
            logits = self.image_classifier(words.histogram)
            image = _soft_margin(logits, dense.present, dense.known & counted[:, None])
            losses['loss_word_to_image'] = self.image_weight * image
        if self.decorrelation:
            losses['loss_decorrelation'] = self.decorrelation * word_decorrelation(self.codebook)
        return losses

    @torch.no_grad()
    def _move(self, feats: Tensor, index: Tensor) -> None:
        """Move the codebook by the features of all processes; the first time, put some of them in its place."""
        if not self.started:
            self._draw(feats, index)
            return
        sums, counts = word_sums(feats, index, self.num_words)
        all_reduce(sums)
        all_reduce(counts)
        self.codebook.copy_(update_codebook(self.codebook, sums, counts, self.momentum))

    def _draw(self, feats: Tensor, index: Tensor) -> None:
        """Take features at random, with replacement, as words (VWL-M, after its first iteration)."""
        rows = feats.flatten(2).transpose(1, 2).flatten(0, 1)[index.flatten() < self.num_words]
        numbers = [int(number) for number in all_gather(torch.tensor([len(rows)], device=feats.device))]
        if not sum(numbers):
            return
        chosen = torch.randint(sum(numbers), (self.num_words,), device=feats.device)
        broadcast(chosen)
        chosen = chosen - sum(numbers[: get_rank()])
        own = (chosen >= 0) & (chosen < len(rows))
        drawn = torch.zeros_like(self.codebook)
        drawn[own] = rows[chosen[own]].to(drawn.dtype)
        all_reduce(drawn)
        self.codebook.copy_(drawn)
        self.started.fill_(True)

    def extra_repr(self) -> str:
        kind = 'learned' if isinstance(self.codebook, nn.Parameter) else f'averaged, momentum={self.momentum}'
        return f'num_words={self.num_words}, codebook={kind}, temperature={self.temperature}'


def _soft_margin(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean binary cross entropy over those that count, (N, 1) or (N, C) bool; zero with gradient without any."""
    loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction='none')
    counted = counted.expand_as(loss)
    return (loss * counted).sum() / counted.sum().clamp(min=1)

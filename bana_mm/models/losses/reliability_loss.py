"""What all losses that tell reliable from unreliable pixels share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bana_mm.functional.reduction import check_reduction


class ReliabilityLoss(nn.Module, ABC):
    """Loss of a :class:`CosineDecodeHead` with one term on the reliable region S and one on the rest.

    The head logs the terms apart. It hands over S and its temperature through :meth:`given`, because mmseg calls all
    losses with the same arguments. Subclasses provide :meth:`terms`.

    Args:
        balance (float): Factor of the term on unreliable pixels; 0 ignores them. Defaults to 0.1.
        loss_weight (float): Factor of both terms. Defaults to 1.0.
        loss_name (str): The name that mmseg asks of every loss; it does not show up in the log.
            Defaults to 'loss_reliability'.
        reduce (str): What the terms are divided by: 'local', the pixels of this process (reference code), or 'global',
            those of all processes. Defaults to 'local'.
    """

    needs_reliable = True

    def __init__(
        self,
        balance: float = 0.1,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_reliability',
        reduce: str = 'local',
    ) -> None:
        super().__init__()
        if balance < 0:
            raise ValueError(f'{type(self).__name__}: balance must not be negative, got {balance}')
        self.balance = balance
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.reduce = check_reduction(reduce)
        self._given: tuple[Tensor | None, float | None] = (None, None)

    @contextmanager
    def given(self, reliable: Tensor, temperature: float) -> Iterator[None]:
        """Provide what :meth:`forward` is not passed, while the ``with`` block lasts."""
        self._given = reliable, temperature
        try:
            yield
        finally:
            self._given = (None, None)

    def forward(
        self,
        seg_logit: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        reliable: Tensor | None = None,
        temperature: float | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            seg_logit (Tensor): temperature * cosine, (N, C, H, W) float.
            label (Tensor): (N, H, W) int64 in 0..C-1 or ``ignore_index``.
            weight (Tensor | None): Must be None; mmseg passes the weights of a pixel sampler. Defaults to None.
            ignore_index (int): Defaults to 255.
            reliable (Tensor | None): S, (N, H, W) bool. Defaults to what was given, or else to all pixels.
            temperature (float | None): Defaults to what was given.

        Returns:
            dict[str, Tensor]: The scalar terms by name.

        Raises:
            TypeError: If nothing says that the logits are cosines, as in a head that is not a ``CosineDecodeHead``.
            ValueError: With a pixel ``weight``.
        """
        name = type(self).__name__
        reliable = self._given[0] if reliable is None else reliable
        temperature = self._given[1] if temperature is None else temperature
        if temperature is None:
            raise TypeError(
                f'{name} is given the reliable pixels by a cosine classifier: wrap the head that has it '
                "in its loss_decode as dict(type='bana_mm.CosineDecodeHead', head=dict(...))"
            )
        if weight is not None:
            raise ValueError(f'{name} weights the pixels itself, so weight must be None')
        if reliable is None:
            reliable = torch.ones_like(label, dtype=torch.bool)
        terms = self.terms(seg_logit, label, reliable, temperature, ignore_index)
        return {key: self.loss_weight * term for key, term in terms.items()}

    @abstractmethod
    def terms(
        self, seg_logit: Tensor, label: Tensor, reliable: Tensor, temperature: float, ignore_index: int
    ) -> dict[str, Tensor]:
        """The terms by name, each already times ``balance`` where that applies."""

    def extra_repr(self) -> str:
        return f'balance={self.balance}, reduce={self.reduce!r}'

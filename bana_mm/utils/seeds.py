"""Figures of several seeds: their spread, and differences between runs that share a seed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and spread of some figures.

    Args:
        count (int): How many they are.
        mean (float): NaN for none.
        deviation (float): Standard deviation of the sample, with n - 1 below the fraction; NaN for fewer than two.
    """

    count: int
    mean: float
    deviation: float

    @property
    def error(self) -> float:
        """Standard error of the mean, deviation / sqrt(n); NaN for fewer than two figures."""
        return self.deviation / math.sqrt(self.count) if self.count else math.nan


def spread(figures: Iterable[float]) -> Spread:
    """Mean and standard deviation.

    Args:
        figures (Iterable[float]): One a seed.

    Returns:
        Spread: In the unit of the figures.
    """
    figures = list(figures)
    count = len(figures)
    mean = math.fsum(figures) / count if count else math.nan
    if count < 2:
        return Spread(count, mean, math.nan)
    return Spread(count, mean, math.sqrt(math.fsum((figure - mean) ** 2 for figure in figures) / (count - 1)))


def paired_differences(figures: Mapping[int, float], reference: Mapping[int, float]) -> dict[int, float]:
    """By how much the figures exceed those of the reference with the same seed.

    What a seed decides for both, such as the images and the labels, drops out, so that these spread less than the
    figures themselves.

    Args:
        figures (Mapping[int, float]): By seed.
        reference (Mapping[int, float]): By seed; seeds that only one of the two has are left out.

    Returns:
        dict[int, float]: By seed, ascending.
    """
    return {seed: figures[seed] - reference[seed] for seed in sorted(figures.keys() & reference.keys())}

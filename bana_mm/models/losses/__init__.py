from .noise_aware_loss import NoiseAwareLoss

__all__ = ['NoiseAwareLoss']

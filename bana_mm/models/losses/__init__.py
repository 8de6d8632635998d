from .noise_aware_loss import NoiseAwareLoss
from .unreliable_losses import BootstrappingLoss, EntropyLoss

__all__ = ['BootstrappingLoss', 'EntropyLoss', 'NoiseAwareLoss']

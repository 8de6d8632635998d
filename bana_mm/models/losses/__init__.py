from .feature_similarity_loss import FeatureSimilarityLoss, SegFeatureSimilarityLoss
from .importance_sampling_loss import HardBackgroundLoss, ImportanceSamplingLoss
from .noise_aware_loss import NoiseAwareLoss
from .unreliable_losses import BootstrappingLoss, EntropyLoss
from .visual_word_loss import VisualWordLoss

__all__ = [
    'BootstrappingLoss',
    'EntropyLoss',
    'FeatureSimilarityLoss',
    'HardBackgroundLoss',
    'ImportanceSamplingLoss',
    'NoiseAwareLoss',
    'SegFeatureSimilarityLoss',
    'VisualWordLoss',
]

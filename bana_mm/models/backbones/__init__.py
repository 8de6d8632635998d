from .vgg import VGG16LargeFOV
from .vgg_weights import VGGWeights, fit_vgg_weights

__all__ = ['VGG16LargeFOV', 'VGGWeights', 'fit_vgg_weights']

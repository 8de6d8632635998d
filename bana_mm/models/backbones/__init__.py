from .vgg import VGG16LargeFOV, map_vgg_keys

__all__ = ['VGG16LargeFOV', 'map_vgg_keys']

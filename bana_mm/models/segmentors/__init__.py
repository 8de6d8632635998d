from .tta import LogitTTAModel

__all__ = ['LogitTTAModel']

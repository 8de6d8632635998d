from .bf16 import BF16OptimWrapper
from .constructor import NewLayersOptimWrapperConstructor

__all__ = ['BF16OptimWrapper', 'NewLayersOptimWrapperConstructor']

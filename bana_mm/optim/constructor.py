"""Learning rates that follow what was loaded."""

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from bana_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NewLayersOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, which also gives a learning rate of their own to layers that start at random.

    Modules with a method ``new_layers()``, such as :class:`VGG16LargeFOV`, say which of their layers no checkpoint
    provides. ``paramwise_cfg`` understands one key more, ``new_layer_lr_mult`` (float, defaults to 1): the multiplier
    of their learning rate. ``bias_lr_mult`` and ``bias_decay_mult`` apply to their biases on top of it.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        multiplier = self.paramwise_cfg.pop('new_layer_lr_mult', 1.0)
        bias_lr = self.paramwise_cfg.get('bias_lr_mult', 1.0)
        bias_decay = self.paramwise_cfg.get('bias_decay_mult', 1.0)
        custom_keys = dict(self.paramwise_cfg.get('custom_keys', {}))
        for name, module in (model.module if is_model_wrapper(model) else model).named_modules():
            for layer in module.new_layers() if hasattr(module, 'new_layers') else ():
                prefix = f'{name}.{layer}' if name else layer
                custom_keys.setdefault(f'{prefix}.weight', dict(lr_mult=multiplier))
                custom_keys.setdefault(f'{prefix}.bias', dict(lr_mult=multiplier * bias_lr, decay_mult=bias_decay))
        self.paramwise_cfg['custom_keys'] = custom_keys
        return super().__call__(model)

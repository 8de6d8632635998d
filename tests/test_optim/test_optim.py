"""Learning rates of new layers, and mixed precision on the CPU."""

import torch
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from torch import nn

import bana_mm.registry  # noqa: F401  registers the scope
from bana_mm.optim import BF16OptimWrapper


class Backbone(BaseModule):
    def __init__(self):
        super().__init__()
        self.old, self.new = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def new_layers(self):
        return ['new']


class Model(BaseModule):
    def __init__(self):
        super().__init__()
        self.backbone, self.bap_head = Backbone(), nn.Linear(4, 2, bias=False)


def test_new_layers_get_their_own_learning_rate():
    wrapper = build_optim_wrapper(
        Model(),
        dict(
            type='OptimWrapper',
            constructor='bana_mm.NewLayersOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=1e-3, weight_decay=5e-4),
            paramwise_cfg=dict(
                bias_lr_mult=2.0,
                bias_decay_mult=0.0,
                new_layer_lr_mult=10.0,
                custom_keys={'bap_head': dict(lr_mult=10.0)},
            ),
        ),
    )
    model = Model()
    names = [name for name, _ in model.named_parameters()]
    rates = {name: (group['lr'], group['weight_decay']) for name, group in zip(names, wrapper.optimizer.param_groups)}
    assert rates == {
        'backbone.old.weight': (1e-3, 5e-4),
        'backbone.old.bias': (2e-3, 0.0),
        'backbone.new.weight': (1e-2, 5e-4),
        'backbone.new.bias': (2e-2, 0.0),
        'bap_head.weight': (1e-2, 5e-4),
    }


def test_bf16_runs_the_forward_pass_in_bfloat16_and_updates_in_float32():
    model = nn.Linear(2, 1)
    before = model.weight.clone()
    wrapper = BF16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        output = model(torch.ones(1, 2))
    assert output.dtype == torch.bfloat16
    wrapper.update_params(output.sum().float())
    torch.testing.assert_close(model.weight, before - 0.1)
    assert model.weight.dtype == torch.float32

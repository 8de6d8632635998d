"""Learning rates of new layers, and mixed precision on the CPU."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
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


@pytest.mark.parametrize('names, new', [(('classifier.0', 'classifier.3'), False), (('fc1', 'fc2'), True)])
def test_fc6_and_fc7_learn_as_fast_as_the_convolutions_only_if_loaded(tmp_path, names, new):
    tiny = dict(type='bana_mm.VGG16LargeFOV', width_mult=1 / 16, out_channels=8)
    state = MODELS.build(tiny).features.state_dict(prefix='features.')
    state[f'{names[0]}.weight'], state[f'{names[1]}.weight'] = torch.zeros(32, 32 * 49), torch.zeros(32, 32)
    torch.save(state, tmp_path / 'vgg.pth')
    model = nn.ModuleDict(dict(backbone=MODELS.build({**tiny, 'pretrained': str(tmp_path / 'vgg.pth')})))
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='bana_mm.NewLayersOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=1e-3, weight_decay=5e-4),
            paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0, new_layer_lr_mult=10.0),
        ),
    )
    rates = {id(p): (group['lr'], group['weight_decay']) for group in wrapper.param_groups for p in group['params']}
    found = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert found['backbone.features.28.weight'] == (1e-3, 5e-4)
    factor = 10 if new else 1
    for fc in ('fc6', 'fc7'):
        assert found[f'backbone.{fc}.weight'] == pytest.approx((factor * 1e-3, 5e-4))
        assert found[f'backbone.{fc}.bias'] == pytest.approx((factor * 2e-3, 0))


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

"""A training whose loss is no number any more ends, and leaves its last good checkpoint."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner, find_latest_checkpoint
from torch.utils.data import DataLoader

from bana_mm.hooks import FiniteLossHook

REPO = Path(__file__).parents[2]


class Toy(BaseModel):
    """Its loss is NaN in some iterations; its weight is so from the first of ``spoiled`` on."""

    def __init__(self, wrong=(), spoiled=()):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.wrong, self.spoiled, self.count = wrong, spoiled, 0

    def forward(self, inputs, mode='tensor'):
        self.count += 1
        factor = float('nan') if self.count in self.wrong else 1.0
        loss = dict(loss_a=self.weight.detach().sum() * 0 + 1, loss_b=self.weight.sum() * factor)
        if self.count in self.spoiled:
            self.weight.data.fill_(float('inf'))
        return loss


class Unspoiled(torch.optim.SGD):
    """Leaves out steps with gradients that are not finite, as a gradient scaler does."""

    def step(self, closure=None):
        if all(p.grad.isfinite().all() for group in self.param_groups for p in group['params']):
            super().step(closure)


@pytest.fixture
def train(tmp_path, request):
    def run(model, iters=12, **hook):
        runner = Runner(
            model,
            str(tmp_path),
            train_dataloader=DataLoader([dict(inputs=torch.zeros(1))] * 2, batch_size=1),
            train_cfg=dict(by_epoch=False, max_iters=iters),
            optim_wrapper=dict(optimizer=Unspoiled(model.parameters(), lr=0.125)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
            custom_hooks=[FiniteLossHook(**hook)],
            default_scope='mmengine',
            experiment_name=f'{tmp_path.name}_{request.node.name}',
        )
        runner.train()

    return run


def test_losses_in_a_row(train, tmp_path):
    with pytest.raises(FloatingPointError, match=r'since iteration 3 \(loss_b\): the learning rate, up to 0.125 here'):
        train(Toy(wrong=range(3, 20)), interval=1)
    assert find_latest_checkpoint(str(tmp_path)).endswith('iter_4.pth')  # the weights are as good as they were


def test_seen_every_few_iterations_and_at_the_end(train):
    with pytest.raises(FloatingPointError, match='since iteration 3 '):
        train(Toy(wrong=range(3, 20)), interval=5)
    with pytest.raises(FloatingPointError, match='since iteration 10 '):
        train(Toy(wrong=range(10, 20)), interval=100)


def test_single_ones_are_passed_over(train, tmp_path):
    train(Toy(wrong=(2, 3, 6, 7, 12)), interval=1)
    assert find_latest_checkpoint(str(tmp_path)).endswith('iter_12.pth')


def test_weights_that_are_no_numbers_are_not_saved(train, tmp_path):
    """The loss of iteration 5 is fine, the weights behind it are not."""
    with pytest.raises(FloatingPointError, match=r'after iteration 5, and not saved: .*iter_4.pth is from before'):
        train(Toy(spoiled=(5,)))
    assert find_latest_checkpoint(str(tmp_path)).endswith('iter_4.pth')


def test_nothing_to_go_on_from(train):
    with pytest.raises(FloatingPointError, match='whether the initial weights were loaded. No checkpoint was written'):
        train(Toy(wrong=(1,), spoiled=(1,)))


@pytest.mark.parametrize('runtime', ['det', 'instance', 'seg'])
def test_every_training_has_it(runtime):
    hooks = Config.fromfile(REPO / f'configs/_base_/default_runtime_{runtime}.py').custom_hooks
    assert dict(type='bana_mm.FiniteLossHook') in hooks

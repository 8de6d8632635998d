"""Find out before a training or a test that a model has another number of classes than its data."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from bana_mm.registry import HOOKS


@HOOKS.register_module()
class NumClassesHook(Hook):
    """Compares ``num_classes`` of every module that has it with the classes of the training or test set.

    Too few classes end in an index error somewhere, too many train without a word. Region proposals (``rpn_head``) have
    one class whatever the data, and backbones say -1 where they classify nothing.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the model.

        Raises:
            ValueError: If a module has another number of classes than the training set; the message names both.
        """
        _check(runner.model, runner.train_dataloader.dataset, 'training set')

    def before_test(self, runner: Runner) -> None:
        """Check the model, also inside a model of test-time augmentation.

        Raises:
            ValueError: If a module has another number of classes than the test set; the message names both.
        """
        _check(runner.model, runner.test_dataloader.dataset, 'test set')


def _check(model: nn.Module, dataset: Dataset, what: str) -> None:
    classes = dataset.metainfo.get('classes') or ()
    for name, module in (model.module if is_model_wrapper(model) else model).named_modules():
        number = getattr(module, 'num_classes', None)
        counts = isinstance(number, int) and number > 0 and not name.endswith('rpn_head')
        if counts and classes and number != len(classes):
            raise ValueError(
                f'model.{name} has num_classes={number}, but the {what} has {len(classes)} classes '
                f"({', '.join(classes)}): set num_classes, or the data set's metainfo"
            )

"""Find out before a training that a model has another number of classes than its data."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from bana_mm.registry import HOOKS


@HOOKS.register_module()
class NumClassesHook(Hook):
    """Compares ``num_classes`` of every module that has it with the classes of the training set.

    Too few classes end in an index error somewhere, too many train without a word.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the model.

        Raises:
            ValueError: If a module has another number of classes than the training set; the message names both.
        """
        classes = runner.train_dataloader.dataset.metainfo.get('classes', ())
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, module in model.named_modules():
            number = getattr(module, 'num_classes', None)
            if isinstance(number, int) and classes and number != len(classes):
                raise ValueError(f'model.{name} has num_classes={number}, but the training set has {len(classes)} '
                                 f"classes ({', '.join(classes)}): set num_classes, or the data set's metainfo")

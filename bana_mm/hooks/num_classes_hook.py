"""Find out before a training or a test that a model or a metric has other classes than its data."""

from collections.abc import Sequence

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bana_mm.registry import HOOKS
from bana_mm.utils.config import check_num_classes


@HOOKS.register_module()
class NumClassesHook(Hook):
    """Compares ``num_classes`` of every module that has it with the classes of the training or test set.

    Too few classes end in an index error somewhere, too many train without a word. Region proposals (``rpn_head``) have
    one class whatever the data, and backbones say -1 where they classify nothing. Our tools set these numbers by the
    data set's ``metainfo``, see :func:`bana_mm.utils.config.set_num_classes`.

    Metrics take the names of the classes from the data set, but mmdet's ``CocoMetric`` with a file of true instances
    takes the file's categories in the order of the file; so they must be in the order of the classes there.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the model, and the metrics of the validation.

        Raises:
            ValueError: If a module has another number of classes than the training set (the message names both), or a
                metric another order.
        """
        classes = runner.train_dataloader.dataset.metainfo.get('classes') or ()
        check_num_classes(runner.model, classes, 'training set')
        if getattr(runner, 'val_loop', None) is not None:
            _check_order(runner.val_loop.evaluator, classes)

    def before_test(self, runner: Runner) -> None:
        """Check the model, also inside a model of test-time augmentation, and the metrics.

        Raises:
            ValueError: If a module has another number of classes than the test set (the message names both), or a
                metric another order.
        """
        classes = runner.test_dataloader.dataset.metainfo.get('classes') or ()
        check_num_classes(runner.model, classes, 'test set')
        if getattr(runner, 'test_loop', None) is not None:
            _check_order(runner.test_loop.evaluator, classes)


def _check_order(evaluator: Evaluator, classes: Sequence[str]) -> None:
    for metric in evaluator.metrics:
        api = getattr(metric, '_coco_api', None)
        if api is None:
            continue
        found = [category['name'] for category in api.dataset['categories'] if category['name'] in classes]
        if found != list(classes):
            raise ValueError(
                f'{type(metric).__name__} counts classes in the order of the categories in its ann_file '
                f'({", ".join(found)}), but metainfo.classes has {", ".join(classes)}; name them in that order'
            )

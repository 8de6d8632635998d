"""Find out before a training that its labels or masks are missing."""

from pathlib import Path

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from bana_mm.datasets.image_ids import DistinctNames, image_id
from bana_mm.datasets.metainfo import without_background
from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.datasets.wrappers import base_datasets
from bana_mm.registry import HOOKS
from bana_mm.utils.config import split_name
from bana_mm.utils.label_origin import LabelOrigin


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Stops a training whose stored labels are missing or of other classes, and prints the commands that make them.

    They are put together from the data set's ``pseudo_labels``: ``config`` and ``checkpoint`` of the classifier, see
    :class:`bana_mm.utils.label_origin.LabelOrigin`; the images are those of the data set, or ``split``. A data set that
    does not know this field, such as mmseg's own, has it at the top of the config. Where some images take their masks
    instead (``BoxPseudoLabel(mask_split=...)``), it says how many.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check the labels of the whole training set, before weights are downloaded and loaded.

        Raises:
            FileNotFoundError: If an image has no labels, or is to take a mask that it has not.
            ValueError: If the labels were made for other classes than the data set's, two images have one id, or no
                image is one of those that are to take masks.
        """
        if not isinstance(runner._train_loop, BaseLoop):  # a test: mmengine has built no training
            return
        seen: dict[Path | None, DistinctNames] = {}  # the images of each store
        for dataset in base_datasets(runner.train_dataloader.dataset):
            items = [dataset.get_data_info(index) for index in range(len(dataset))]
            for transform in dataset.pipeline.transforms:
                if isinstance(transform, BoxPseudoLabel):
                    root = None if transform.store is None else transform.store.root
                    distinct = seen.setdefault(root, DistinctNames(f'{root or transform.source}: the labels'))
                    for item in items:
                        distinct.add(image_id(item), item.get('img_path', ''))
                    _check(transform, dataset, items, runner.cfg)


def _check(transform: BoxPseudoLabel, dataset: BaseDataset, items: list[dict], cfg: ConfigDict) -> None:
    missing = transform.missing(items)
    if missing and transform.source is not None:
        raise FileNotFoundError(
            f'{len(missing)} of {len(dataset)} training images have no labels in '
            f"{transform.source}, BoxPseudoLabel's source ({_first(missing)})"
        )
    if missing:
        store, labels = transform.store, getattr(dataset, 'pseudo_labels', None) or cfg.get('pseudo_labels') or {}
        split = labels.get('split') or split_name(dataset.ann_file) or 'SPLIT'
        remedy = LabelOrigin.from_cfg(labels).remedy('--out-dir', store.root, '--split', split)
        raise FileNotFoundError(
            f'{len(missing)} of {len(dataset)} training images have no {" and ".join(store.maps)} in {store.root} '
            f'({_first(missing)}). {remedy}, '
            "or set BoxPseudoLabel's source to 'box' or 'grabcut'"
        )
    if transform.mask_split is not None:
        _check_masks(transform, items)
    made_for = transform.store.meta.get('classes') if transform.store is not None else None
    classes = without_background(dataset.metainfo.get('classes', ()))
    if made_for is not None and list(made_for) != classes:
        raise ValueError(
            f'{transform.store.root}: meta.json says that the labels are of the classes '
            f'{", ".join(made_for)}; the training set has {", ".join(classes)}'
        )


def _check_masks(transform: BoxPseudoLabel, items: list[dict]) -> None:
    without, masked = transform.without_mask(items), len(transform.masked(items))
    if without:
        raise FileNotFoundError(
            f'{len(without)} training images of {transform.mask_split} have no mask '
            f"({_first(without)}): set the data set's data_prefix.seg_map_path to the folder of "
            'the masks'
        )
    if not masked:
        raise ValueError(
            f'{transform.mask_split}: none of the {len(items)} training images is in it, so none would take its mask'
        )
    print_log(f'{masked} training images take their masks, {len(items) - masked} pseudo labels', logger='current')


def _first(ids: list[str]) -> str:
    return ', '.join(map(str, ids[:3])) + (', ...' if len(ids) > 3 else '')

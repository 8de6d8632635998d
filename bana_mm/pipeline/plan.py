"""All stages of a segmentation or instance config, in order."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config, ConfigDict

from bana_mm.labels.data import build_label_dataset
from bana_mm.utils.config import parse_options, read_config
from bana_mm.utils.label_origin import LabelOrigin
from bana_mm.utils.record import read_json
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.table import format_table

from .stages import evaluate_step, instance_step, label_step, test_step, train_step
from .step import Step
from .work_dirs import read_scores

EXAMPLE = (
    "it must say where labels come from, as in dict(config='configs/bana/bap_vgg16_voc.py', split='train_aug', "
    "val_split='val', dir='work_dirs/bap_vgg16_voc/labels'), or for instances dict(config=..., "
    "boxes='data/coco/annotations/instances_train2017.json', json='labels_train2017.json')"
)


@dataclass
class Plan:
    """Steps, and where their figures will be.

    Args:
        work_dir (str): Of the segmentation model.
        steps (list[Step]): In order.
        evaluations (dict[str, Path]): The file of the labels' figures by split.
    """

    work_dir: str
    steps: list[Step] = field(default_factory=list)
    evaluations: dict[str, Path] = field(default_factory=dict)

    def run(self) -> None:
        """Run what is not done yet."""
        for step in self.steps:
            step.run()

    def summary(self) -> str:
        """A table of all figures."""
        rows = []
        for split, path in self.evaluations.items():
            for name, figures in read_json(path)['rows'].items():
                rows.append([f'labels of {split}: {name}', f'{figures["mIoU"]:.1f}', f'{figures["ignored"]:.1f}'])
        for name, score in read_scores(self.work_dir).items():
            if name.startswith('mIoU'):
                rows.append([f'segmentation: {name}', f'{score:.1f}', ''])
            elif name.endswith('_mAP'):  # COCO's, a share
                rows.append([f'segmentation: {name}', f'{100 * score:.1f}', ''])
        return format_table(['', 'mIoU or AP', 'ignored %'], rows)


def plan_stages(
    config: str | os.PathLike,
    overrides: Sequence[str] = (),
    classifier_overrides: Sequence[str] = (),
    work_dir: str | os.PathLike | None = None,
    amp: bool = False,
    options: RunOptions | None = None,
) -> Plan:
    """The steps that a config needs: those of its labels, which ``pseudo_labels`` describes, its training and its test.

    Args:
        config (str | os.PathLike): Config of the segmentation model.
        overrides (Sequence[str]): ``key=value`` changes of it. Defaults to none.
        classifier_overrides (Sequence[str]): ``key=value`` changes of the classifier's config. Defaults to none.
        work_dir (str | os.PathLike | None): Of the segmentation model. Defaults to None, the config's.
        amp (bool): Train in mixed precision. Defaults to False.
        options (RunOptions | None): For the making of labels. Defaults to None, the tool's defaults.

    Returns:
        Plan: The steps.

    Raises:
        FileNotFoundError: If a config, a checkpoint that it names, or a list of images is missing.
        ValueError: If ``pseudo_labels`` does not say where labels come from.
    """
    cfg = read_config(config, parse_options(overrides), work_dir)
    plan = Plan(cfg.work_dir)
    labels = cfg.get('pseudo_labels') or {}
    described_by = None
    if not ('pseudo_labels' in cfg and cfg.pseudo_labels is None):  # None: trained on masks
        is_instances = 'json' in labels
        fields = ('config', 'boxes', 'json') if is_instances else ('config', 'dir', 'split')
        missing = [name for name in fields if not labels.get(name)]
        if missing:
            raise ValueError(f'{config}: pseudo_labels lacks {", ".join(missing)}; {EXAMPLE}')
        classifier = read_config(labels.config, parse_options(classifier_overrides))
        origin = LabelOrigin.from_cfg(labels, classifier)
        problem = origin.problem()
        if problem is not None:
            raise FileNotFoundError(f'{config}: {problem}')
        if origin.trains:
            plan.steps.append(train_step('classifier', classifier, classifier.work_dir, classifier_overrides, amp))
        if is_instances:
            plan.steps.append(_instances(labels, classifier, origin.checkpoint, classifier_overrides, options))
        else:
            _add_labels(plan, labels, classifier, origin.checkpoint, classifier_overrides, options)
        described_by = labels.json if is_instances else Path(labels.dir, 'meta.json')
    plan.steps.append(train_step('segmentation', cfg, cfg.work_dir, overrides, amp, described_by))
    plan.steps.append(test_step('test', cfg, cfg.work_dir, overrides))
    return plan


def _instances(
    labels: ConfigDict,
    classifier: Config,
    checkpoint: Path,
    overrides: Sequence[str],
    options: RunOptions | None,
) -> Step:
    """Masks of instances; ``tools/evaluate_labels.py --coco`` compares them, where true masks are known."""
    boxes, out, img_dir = labels.boxes, labels.json, labels.get('img_dir')
    title = 'labels of instances'
    return instance_step(title, classifier.filename, checkpoint, boxes, out, img_dir, options, overrides)


def _add_labels(
    plan: Plan,
    labels: ConfigDict,
    classifier: Config,
    checkpoint: Path,
    overrides: Sequence[str],
    options: RunOptions | None,
) -> None:
    """Label maps of one or two splits, and their evaluation where there are masks."""
    evaluations = []
    for split in filter(None, dict.fromkeys((labels.split, labels.get('val_split')))):
        dataset = build_label_dataset(classifier, split)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        # tools/evaluate_labels.py takes lists of images, which data in COCO's format lacks
        has_masks = all('seg_map_path' in item for item in items) and not dataset.ann_file.endswith('.json')
        if split != labels.split and not has_masks:
            continue  # its labels are of no use
        ids = [item['img_id'] for item in items]
        title, folder = f'labels of {split}', labels.dir
        plan.steps.append(label_step(title, classifier.filename, checkpoint, folder, split, ids, options, overrides))
        if has_masks:
            mask_dir = Path(items[0]['seg_map_path']).parent
            evaluations.append(evaluate_step(f'evaluation of {split}', folder, mask_dir, dataset.data_root, split))
            plan.evaluations[split] = Path(folder) / f'{split}.json'
    plan.steps += evaluations  # last, as they ask whether the store has changed since

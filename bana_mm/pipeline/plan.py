"""All stages of a segmentation or instance config, in order."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from bana_mm.labels.data import build_label_dataset
from bana_mm.structures.label_recipe import RECIPES
from bana_mm.utils.config import LIST_FOLDER, find_pseudo_labels, label_splits, parse_options, read_config
from bana_mm.utils.label_origin import LabelOrigin
from bana_mm.utils.record import read_json
from bana_mm.utils.run_options import RunOptions
from bana_mm.utils.table import format_table

from .stages import Teacher, evaluate_step, instance_step, label_step, test_step, train_step
from .step import Step
from .work_dirs import read_scores

EXAMPLE = (
    'the training set must say where labels come from, as in '
    "pseudo_labels=dict(config='configs/bana/bap_vgg16_voc.py', dir='work_dirs/bap_vgg16_voc/labels'), or for "
    'instances pseudo_labels=dict(config=..., '
    "boxes='data/coco/annotations/instances_train2017.json', json='labels_train2017.json')"
)
UNSCORED = 'nothing was evaluated: no images with masks to compare with'


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

    def show(self) -> None:
        """Print the commands, and which of them need not run."""
        for step in self.steps:
            print(f'[{step.title}] {step.line}{"  (done already)" if step.is_done() else ""}')

    def summary(self) -> str:
        """A table of all figures, and what the steps have warned of."""
        rows = []
        for split, path in self.evaluations.items():
            for name, figures in read_json(path)['rows'].items():
                rows.append([f'labels of {split}: {name}', f'{figures["mIoU"]:.1f}', f'{figures["ignored"]:.1f}'])
        for name, score in read_scores(self.work_dir).items():
            if name.startswith('mIoU'):
                rows.append([f'segmentation: {name}', f'{score:.1f}', ''])
            elif name.endswith('_mAP'):  # COCO's, a share
                rows.append([f'segmentation: {name}', f'{100 * score:.1f}', ''])
        table = format_table(['', 'mIoU or AP', 'ignored %'], rows) if rows else UNSCORED
        return '\n'.join([table, *(f'WARNING: {line}' for step in self.steps for line in step.warnings)])


def plan_stages(
    config: str | os.PathLike,
    overrides: Sequence[str] = (),
    classifier_overrides: Sequence[str] = (),
    work_dir: str | os.PathLike | None = None,
    amp: bool = False,
    options: RunOptions | None = None,
    data: str | os.PathLike | None = None,
    preset: str | None = None,
    recipe: str | None = None,
    all_scores: bool = False,
    teacher: Teacher | None = None,
) -> Plan:
    """The steps that a config needs: those of its labels, its training and its test.

    Its training set's ``pseudo_labels`` describe the labels: ``config``, a classifier's; ``checkpoint``, an existing
    one that replaces its training; ``dir`` of label maps, or for instances ``json`` of the masks, ``boxes``,
    ``img_dir`` and ``keep_masks`` (boxes that have a true mask keep it).

    Args:
        config (str | os.PathLike): Config of the segmentation model.
        overrides (Sequence[str]): ``key=value`` changes of it. Defaults to none.
        classifier_overrides (Sequence[str]): ``key=value`` changes of the classifier's config. Defaults to none.
        work_dir (str | os.PathLike | None): Of the segmentation model. Defaults to None, the config's.
        amp (bool): Train in mixed precision. Defaults to False.
        options (RunOptions | None): For the making of labels. Defaults to None, the tool's defaults.
        data (str | os.PathLike | None): A data set that is put into all stages, see
            :func:`bana_mm.utils.config.read_config`. Defaults to None.
        preset (str | None): A size that all stages take, likewise. Defaults to None.
        recipe (str | None): Name of a label recipe, a key of ``RECIPES``. Labels are
            then in the folder ``DIR_RECIPE``, and the segmentation model in ``work_dirs/RECIPE/RUN_NAME`` unless
            ``work_dir`` says otherwise; of several recipes the classifier is the same. Defaults to None, the
            classifier's own.
        all_scores (bool): Test with one view and with eight, each with and without CRF (segmentation). Defaults to
            False, one view.
        teacher (Teacher | None): A trained model that makes the labels in the classifier's place, see
            :mod:`bana_mm.pipeline.rounds`. Defaults to None.

    Returns:
        Plan: The steps.

    Raises:
        FileNotFoundError: If a config, a checkpoint that it names, or a list of images is missing.
        ValueError: If ``pseudo_labels`` does not say where labels come from, or a recipe is given for what has none.
    """
    cfg = read_config(config, parse_options(overrides), work_dir, data, preset)
    labels = find_pseudo_labels(cfg)
    label_changes = list(classifier_overrides)
    if recipe is not None:
        _check_recipe(config, labels, recipe)
        overrides = [*overrides, f'pseudo_labels.dir={labels["dir"]}_{recipe}']
        label_changes.append(f'model.label_recipe.recipe={recipe}')
        own = Path(cfg.work_dir)
        work_dir = own.parent / recipe / own.name if work_dir is None else work_dir
        cfg = read_config(config, parse_options(overrides), work_dir, data, preset)
        labels = find_pseudo_labels(cfg)
    plan = Plan(cfg.work_dir)
    described_by = None
    if labels is not None and (labels.get('dir') or not labels.get('source')):  # else masks, or made while training
        is_instances = 'json' in labels
        splits = label_splits(cfg)
        fields = ('config', 'boxes', 'json') if is_instances else ('config', 'dir')
        missing = [name for name in fields if not labels.get(name)]
        if missing:
            raise ValueError(f'{config}: pseudo_labels lacks {", ".join(missing)}; {EXAMPLE}')
        if not is_instances and splits[0] is None:
            raise ValueError(
                f'{config}: labels are made of lists in {LIST_FOLDER}, where ann_file of the training set must be'
            )
        changes = parse_options(classifier_overrides)
        classifier = read_config(labels.config, changes, data=labels.get('data'), preset=labels.get('preset'))
        if teacher is None:
            origin = LabelOrigin.from_cfg(labels, classifier)
            problem = origin.problem()
            if problem is not None:
                raise FileNotFoundError(f'{config}: {problem}')
            if origin.trains:
                plan.steps.append(train_step('classifier', classifier, classifier.work_dir, classifier_overrides, amp))
        checkpoint = origin.checkpoint if teacher is None else teacher.checkpoint
        if is_instances:
            plan.steps.append(_instances(labels, classifier, checkpoint, label_changes, options, teacher))
        else:
            _add_labels(plan, labels.dir, splits, classifier, checkpoint, label_changes, options, teacher)
        described_by = labels.json if is_instances else Path(labels.dir, 'meta.json')
    plan.steps.append(train_step('segmentation', cfg, cfg.work_dir, overrides, amp, described_by))
    if cfg.get('test_dataloader', True) is not None:
        plan.steps.append(test_step('test', cfg, cfg.work_dir, overrides, all_scores=all_scores))
    return plan


def _check_recipe(config: str | os.PathLike, labels: Mapping[str, Any] | None, recipe: str) -> None:
    if recipe not in RECIPES:
        raise ValueError(f'there is no label recipe {recipe!r}; there are {", ".join(RECIPES)}')
    if not labels or not labels.get('dir'):
        raise ValueError(f'{config}: trains on no folder of label maps, so that it has no label recipe')


def _instances(
    labels: ConfigDict,
    classifier: Config,
    checkpoint: Path,
    overrides: Sequence[str],
    options: RunOptions | None,
    teacher: Teacher | None,
) -> Step:
    """Masks of instances; ``tools/evaluate_labels.py --coco`` compares them, where true masks are known."""
    return instance_step(
        'labels of instances',
        classifier,
        checkpoint,
        labels.boxes,
        labels.json,
        labels.get('img_dir'),
        options,
        overrides,
        labels.get('keep_masks', False),
        teacher,
    )


def _add_labels(
    plan: Plan,
    folder: str,
    splits: tuple[str, str | None],
    classifier: Config,
    checkpoint: Path,
    overrides: Sequence[str],
    options: RunOptions | None,
    teacher: Teacher | None,
) -> None:
    """Label maps of one or two splits, and their evaluation where there are masks."""
    evaluations = []
    for split in filter(None, dict.fromkeys(splits)):
        dataset = build_label_dataset(classifier, split)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        # tools/evaluate_labels.py takes lists of images, which data in COCO's format lacks
        has_masks = all('seg_map_path' in item for item in items) and not dataset.ann_file.endswith('.json')
        if split != splits[0] and not has_masks:
            continue  # its labels are of no use
        ids = [item['img_id'] for item in items]
        title = f'labels of {split}'
        step = label_step(title, classifier, checkpoint, folder, split, ids, options, overrides, teacher)
        plan.steps.append(step)
        if has_masks:
            mask_dir = Path(items[0]['seg_map_path']).parent
            title, merged = f'evaluation of {split}', teacher is None  # a teacher makes one map
            evaluations.append(evaluate_step(title, folder, mask_dir, dataset.data_root, split, merged=merged))
            plan.evaluations[split] = Path(folder) / f'{split}.json'
    plan.steps += evaluations  # last, as they ask whether the store has changed since

"""Run all stages of a segmentation config: train the classifier, make and evaluate the labels, train, test.

The config names the classifier in `pseudo_labels`: `config`, `dir` (of the labels), `split`, and optionally
`checkpoint` (an existing one replaces the classifier's training) and `val_split` (labels that are only evaluated).
For instances `json` (the masks, COCO's format), `boxes` (COCO's JSON of the boxes) and optionally `img_dir` take the
place of `dir` and the splits; these labels are not evaluated, tools/evaluate_labels.py --coco does that.
What is done already is skipped; killed and started again, it goes on where it stopped.
"""

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import Config, DictAction

from bana_mm.labels.building import build_label_dataset
from bana_mm.utils.cli import load_config
from bana_mm.utils.stages import (
    Step,
    StepError,
    evaluate_step,
    final_checkpoint,
    instance_step,
    label_step,
    read_scores,
    test_step,
    train_step,
)
from bana_mm.utils.table import format_table


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the segmentation model')
    parser.add_argument('--work-dir', help='of the segmentation model; defaults to work_dirs/CONFIG_NAME')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--workers', type=int, help='processes for the CRF (default: one for each core)')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override settings of the segmentation config'
    )
    parser.add_argument(
        '--classifier-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="override settings of the classifier's config",
    )
    return parser.parse_args()


def read_config(path: str, options: list[str], work_dir: str | None = None) -> Config:
    """A config with ``key=value`` overrides and a work directory, as the tools that are called will see it."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    given = parser.parse_args(['--cfg-options', *options] if options else [])
    return load_config(argparse.Namespace(config=path, work_dir=work_dir, cfg_options=given.cfg_options))


def find_classifier(cfg: Config, classifier: Config) -> tuple[Path, bool]:
    """The classifier's checkpoint, and whether training it is part of the run.

    Raises:
        FileNotFoundError: If the config names a checkpoint that is neither there nor what training would write.
    """
    trained = final_checkpoint(classifier, classifier.work_dir)
    given = cfg.pseudo_labels.get('checkpoint')
    if given is None or Path(given).resolve() == trained.resolve():
        return trained, True
    if not Path(given).is_file():
        raise FileNotFoundError(
            f'{cfg.filename}: pseudo_labels.checkpoint {given!r} does not exist; correct it, or '
            f'set it to None to train {classifier.filename} first'
        )
    return Path(given), False


def plan(args: argparse.Namespace, cfg: Config) -> tuple[list[Step], dict[str, Path]]:
    """All steps in order, and where the figures of each split's labels will be."""
    labels = cfg.get('pseudo_labels') or {}
    instances = 'json' in labels
    described_by = labels.get('json') if instances else labels.get('dir') and Path(labels.dir, 'meta.json')
    segmentation = [
        train_step('segmentation', cfg, cfg.work_dir, args.cfg_options, args.amp, described_by),
        test_step('test', cfg, cfg.work_dir, args.cfg_options),
    ]
    if 'pseudo_labels' in cfg and cfg.pseudo_labels is None:
        return segmentation, {}  # trained on masks
    fields = ('config', 'boxes', 'json') if instances else ('config', 'dir', 'split')
    missing = [field for field in fields if not labels.get(field)]
    if missing:
        raise ValueError(
            f'{args.config}: pseudo_labels lacks {", ".join(missing)}; it must say where labels come '
            "from, as in dict(config='configs/bana/bap_vgg16_voc.py', split='train_aug', val_split='val', "
            "dir='work_dirs/bap_vgg16_voc/labels'), or for instances dict(config=..., "
            "boxes='data/coco/annotations/instances_train2017.json', json='labels_train2017.json')"
        )
    classifier = read_config(labels.config, args.classifier_options)
    checkpoint, trains = find_classifier(cfg, classifier)

    steps, results = [], {}
    if trains:
        steps.append(train_step('classifier', classifier, classifier.work_dir, args.classifier_options, args.amp))
    if instances:
        steps.append(
            instance_step(
                'labels of instances',
                labels.config,
                checkpoint,
                labels.boxes,
                labels.json,
                labels.get('img_dir'),
                args.workers,
                args.classifier_options,
            )
        )
        return steps + segmentation, {}
    evaluations = []
    for split in filter(None, dict.fromkeys((labels.split, labels.get('val_split')))):
        dataset = build_label_dataset(classifier, split)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        # tools/evaluate_labels.py takes lists of images, which data in COCO's format lacks
        has_masks = all('seg_map_path' in item for item in items) and not dataset.ann_file.endswith('.json')
        if split != labels.split and not has_masks:
            continue  # its labels are of no use
        steps.append(
            label_step(
                f'labels of {split}',
                labels.config,
                checkpoint,
                labels.dir,
                split,
                [item['img_id'] for item in items],
                args.workers,
                args.classifier_options,
            )
        )
        if has_masks:
            mask_dir = Path(items[0]['seg_map_path']).parent
            evaluations.append(evaluate_step(f'evaluation of {split}', labels.dir, mask_dir, dataset.data_root, split))
            results[split] = Path(labels.dir) / f'{split}.json'
    steps += evaluations  # last, as they ask whether the store has changed since
    return steps + segmentation, results


def summary(work_dir: str, results: dict[str, Path]) -> str:
    """Table of all figures."""
    rows = []
    for split, path in results.items():
        for name, figures in json.loads(path.read_text())['rows'].items():
            rows.append([f'labels of {split}: {name}', f'{figures["mIoU"]:.1f}', f'{figures["ignored"]:.1f}'])
    for name, score in read_scores(work_dir).items():
        if name.startswith('mIoU'):
            rows.append([f'segmentation: {name}', f'{score:.1f}', ''])
        elif name.endswith('_mAP'):  # COCO's, a share
            rows.append([f'segmentation: {name}', f'{100 * score:.1f}', ''])
    return format_table(['', 'mIoU or AP', 'ignored %'], rows)


def main() -> None:
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    steps, results = plan(args, cfg)
    try:
        for step in steps:
            step.run()
    except StepError as error:
        sys.exit(f'{error}\nThe same command goes on from here.')
    print(summary(cfg.work_dir, results))


if __name__ == '__main__':
    main()

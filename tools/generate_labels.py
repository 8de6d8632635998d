"""Make pseudo labels of a split with a trained classifier: DIR/Y_crf/ID.png and DIR/Y_ret/ID.png.

Killed and started again, it goes on where it stopped.
"""

import argparse
import sys

# Worker processes import this file too: what only the main process needs is imported in main().


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    from bana_mm.labels import usable_cores

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the classifier')
    parser.add_argument('checkpoint', help='checkpoint trained with it')
    parser.add_argument('--out-dir', required=True, help='folder of the labels')
    parser.add_argument('--split', default='train_aug', help='list of images, ImageSets/Segmentation/SPLIT.txt')
    parser.add_argument('--workers', type=int, default=usable_cores(),
                        help='processes for the CRF, 0 for none (default: one for each core, here %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='drop all labels in DIR and make them anew')
    parser.add_argument('--device', help="defaults to 'cuda' where there is one, else 'cpu'")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='override settings: key=value, such as model.label_recipe.background=cam')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import torch
    from mmengine.config import Config

    from bana_mm.labels import LabelStore
    from bana_mm.labels.building import build_classifier, build_label_dataset, describe_run
    from bana_mm.labels.generator import LabelGenerator
    from bana_mm.labels.runner import generate_labels

    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    model = build_classifier(cfg, args.checkpoint, device)
    dataset = build_label_dataset(cfg, args.split)
    generator = LabelGenerator.from_model(model, model.label_recipe)
    store = LabelStore(args.out_dir)
    store.begin(describe_run(cfg, args.checkpoint, generator.recipe.to_dict(), dataset.metainfo['classes']),
                args.overwrite)
    try:
        run = generate_labels(model, dataset, store, generator, args.workers, cfg.test_dataloader.get('num_workers', 0))
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; the same command (without --overwrite) goes on from here')
    print(run)


if __name__ == '__main__':
    main()

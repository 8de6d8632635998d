"""Search for the label recipe that fits masks best, with one classifier.

The network sees every image once per view; its maps are kept in WORK_DIR/HASH_OF_CHECKPOINT/maps. With --only these
are the views and layers that the recipes ask for, otherwise three scales and their mirror images, and the attention of
conv5_3 too where the network has it. Then one part of the recipe after the other is varied, starting from --start, and
the best choice kept until no change helps. Every recipe that was tried is a line of a CSV file there, and the same
command continues where it stopped.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel

from bana_mm.evaluation.contours import add_contours_option
from bana_mm.evaluation.label_tables import class_indices
from bana_mm.labels import LabelItems
from bana_mm.labels.classifier import build_classifier, extract_features
from bana_mm.labels.data import build_label_dataset
from bana_mm.search.crf_search_inputs import describe_images
from bana_mm.search.map_cache import MapCache
from bana_mm.search.recipe_search import ParallelEvaluation, RecipeTable, SearchImage, coordinate_search, recipe_counts
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.utils.cli import add_common_arguments, load_config
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import interruptible
from bana_mm.utils.progress import Progress
from bana_mm.utils.record import file_digest, keep_record, model_settings
from bana_mm.utils.run_options import add_run_options
from bana_mm.utils.worker_pool import WorkerPool

ALL_VIEWS = dict(scales=(1.0, 0.75, 1.25), flip=True)
PARTS = dict(
    attention_layers=[dict(attention_layers=layers) for layers in (('last',), ('conv5_3',), ('conv5_3', 'last'))],
    background=[
        dict(background='none'),
        dict(background='attention', threshold=0.99, threshold_mode='relative'),
        dict(background='cam', background_range='image'),
        dict(background='cam', background_range='box'),
        *(
            dict(background=background, threshold=threshold, threshold_mode='box')
            for background in ('attention', 'maximum')
            for threshold in (0.7, 0.8, 0.9)
        ),
    ],
    recognised=[dict(min_recognised=share) for share in (0.0, 0.2, 0.35, 0.5)],
    score=[dict(score=score) for score in ('cam', 'attention', 'mean')],
    views=[dict(scales=(1.0,), flip=False), dict(scales=(1.0,), flip=True), ALL_VIEWS],
    softmax=[dict(temperature=temperature) for temperature in (None, 0.5, 0.7, 1.0, 1.5)],
    competition=[dict(competition=competition) for competition in ('image', 'pixel')],
    crf_labels=[dict(crf_labels=labels) for labels in ('class', 'instance')],
    bilateral=[
        dict(crf=dict(bilateral=b))
        for b in ((4, 55, 3), (4, 55, 5), (4, 55, 8), (4, 30, 5), (4, 80, 5), (8, 55, 5), (6, 55, 5), (2.5, 55, 5))
    ],
    gaussian=[dict(crf=dict(gaussian=g)) for g in ((3, 3), (1, 3), (6, 3), (3, 1.5))],
)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['configs/bana/bap_vgg16_voc.py CHECKPOINT --images 100'])
    parser.add_argument('config', help='config of the classifier')
    parser.add_argument('checkpoint', help='its checkpoint')
    add_common_arguments(parser)
    parser.set_defaults(work_dir='work_dirs/search_recipe')
    parser.add_argument('--split', default='train_aug', help='images with boxes and masks')
    parser.add_argument('--images', type=int, help='take that many, evenly spread over the split (default: all)')
    parser.add_argument('--classes', help='comma-separated: the classes, beside the background, whose mean counts')
    parser.add_argument(
        '--start',
        type=json.loads,
        default={},
        metavar='JSON',
        help='fields of the recipe to begin with (default: the published recipe)',
    )
    parser.add_argument(
        '--only', type=json.loads, metavar='JSON', help='a list of recipes to evaluate instead of searching'
    )
    add_run_options(parser, ['workers', 'device'])
    parser.set_defaults(device='cpu')  # where the maps are stored from
    parser.add_argument('--amp', action='store_true', help='run the network in bfloat16')
    add_contours_option(parser)
    return parser.parse_args()


def choose_images(dataset: BaseDataset, split: str, wanted: int | None) -> dict[int, SearchImage]:
    """The images of the search by their position in the dataset.

    Raises:
        FileNotFoundError: If one has no mask.
    """
    count = min(wanted or len(dataset), len(dataset))
    images = {}
    for index in (len(dataset) * n // count for n in range(count)):
        info = dataset.get_data_info(index)
        if 'seg_map_path' not in info:
            raise FileNotFoundError(f'{info["img_path"]} has no mask; the search needs one for each image of {split}')
        layout = BoxLayout.from_instances((info['height'], info['width']), info['instances'])
        images[index] = SearchImage(info['img_id'], info['img_path'], info['seg_map_path'], layout)
    return images


def offered_parts(model: BaseModel) -> dict[str, list[dict[str, Any]]]:
    """The parts without the layers that a network does not have, or has as its last."""
    known = {'last', *model.layer_names[:-1]}
    layers = [change for change in PARTS['attention_layers'] if known.issuperset(change['attention_layers'])]
    return {**PARTS, 'attention_layers': layers}


def store_maps(model: BaseModel, dataset: BaseDataset, images: Mapping[int, SearchImage], cache: MapCache) -> None:
    """Make the maps that are missing."""
    missing = [index for index, image in images.items() if not cache.is_complete(image.img_id)]
    if not missing:
        return
    weight, items = model.bap_head.weight.detach().float(), LabelItems(dataset)
    with Progress(len(images), len(images) - len(missing), 'maps') as progress:
        for index in missing:
            (features,) = extract_features(model, [items[index].image], cache.recipe)
            cache.write(images[index].img_id, features, images[index].layout, weight)
            progress.update()


def wanted_views(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The views and layers that some recipes need, one at least."""
    parsed = [LabelRecipe.from_cfg(fields) for fields in recipes or [{}]]
    return dict(
        attention_layers=tuple(dict.fromkeys(name for recipe in parsed for name in recipe.attention_layers)),
        scales=tuple(dict.fromkeys(scale for recipe in parsed for scale in recipe.scales)),
        flip=any(recipe.flip for recipe in parsed),
    )


def describe(fields: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """A line with what a recipe reaches."""
    zero = [name for name, value in figures.items() if value == 0]
    text = f'{json.dumps(fields)}: chosen classes {figures["mIoU_chosen"]:.2f}, all {figures["mIoU"]:.2f}'
    if 'contour_F' in figures:
        text += f', contours {figures["contour_F_chosen"]:.2f}, all {figures["contour_F"]:.2f}'
    return text + (f', zero: {", ".join(zero)}' if zero else '')


@interruptible()
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    dataset = build_label_dataset(cfg, args.split)
    images = choose_images(dataset, args.split, args.images)
    run = file_digest(args.checkpoint)
    folder = Path(args.work_dir) / (f'{run}_amp' if args.amp else run)
    folder.mkdir(parents=True, exist_ok=True)
    classes = dataset.metainfo['classes']
    chosen = class_indices(args.classes.split(','), classes) if args.classes else ()
    name = '_'.join(map(str, [args.split, len(images), *chosen]))
    keep_record(folder / 'search.json', dict(model=model_settings(cfg.model)))
    keep_record(folder / f'{name}.json', describe_images(dataset, list(images)))
    model = build_classifier(cfg, args.checkpoint, args.device)
    parts = offered_parts(model)
    seen = [ALL_VIEWS, args.start, *parts['attention_layers']] if args.only is None else args.only
    cache = MapCache(folder / 'maps', LabelRecipe(**wanted_views(seen), amp=args.amp))
    store_maps(model, dataset, images, cache)
    del model

    table_name = name if args.contours is None else f'{name}_contours{args.contours:g}'
    with WorkerPool(recipe_counts, args.workers) as pool:
        evaluation = ParallelEvaluation(list(images.values()), cache, len(classes), pool, args.contours)
        table = RecipeTable(folder / f'{table_name}.csv', evaluation, classes, chosen, args.contours is not None)
        recipes = args.only
        if recipes is None:
            recipes = [
                args.start,
                coordinate_search(
                    table.score,
                    args.start,
                    parts,
                    lambda part, change, score: print(f'{part}: {json.dumps(change)}: {score:.2f}', flush=True),
                ),
            ]
        for fields in recipes:
            print(describe(fields, table.figures(LabelRecipe.from_cfg(fields))), flush=True)
    say_done(f'{len(images)} images, all recipes that were tried', table.path)


if __name__ == '__main__':
    main()

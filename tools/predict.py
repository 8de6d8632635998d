"""Let a trained model look at images: a segmentation model of mmseg, or a model of instances of mmdet.

IMAGE is a file, or a folder with all images below it; no boxes and no annotations are needed. Large images may need
windows, see docs/own_data.md.

Writes OUT_DIR/NAME_overlay.png of each image, and what was found: a segmentation model's label map OUT_DIR/NAME.png (0
background, 1..L classes; VOC's colours), or all instances as COCO's JSON, OUT_DIR/instances.json. What is in OUT_DIR
already is written anew.
"""

import argparse
import sys
from pathlib import Path

from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible


def parse_args() -> argparse.Namespace:
    from bana_mm.utils.cli import add_config_arguments
    from bana_mm.utils.command_line import tool_parser
    from bana_mm.utils.run_options import add_run_options

    parser = tool_parser(
        __file__,
        __doc__,
        [
            'configs/bana/deeplabv1_vgg16_voc.py CHECKPOINT photo.jpg',
            'configs/bana/deeplabv1_vgg16_voc.py CHECKPOINT photos --data configs/own_data/zoo.py --preset cpu',
            'configs/bana/mask-rcnn_r50_fpn_coco2coco.py CHECKPOINT photos --min-score 0.5 --out-dir found',
        ],
    )
    parser.add_argument('config', help='config that the model was trained with')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='images, or folders of images')
    parser.add_argument('--out-dir', default='outputs', help='where the files go (default: %(default)s)')
    parser.add_argument(
        '--min-score', type=float, default=0.3, help='of instances: those below are left out (default: %(default)s)'
    )
    parser.add_argument('--height', type=int, default=400, help='of the overlay in pixels (default: %(default)s)')
    add_run_options(parser, ['device'])
    add_config_arguments(parser)
    return parser.parse_args()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    from bana_mm.utils.command_line import say_done

    try:
        count = predict(args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'predict: {error}')
    say_done(f'predictions of {count} image{"" if count == 1 else "s"}', args.out_dir)


def predict(args: argparse.Namespace) -> int:
    """From the arguments to the files; how many images there were."""
    from bana_mm.datasets.image_ids import DistinctNames, prediction_name
    from bana_mm.labels import read_rgb
    from bana_mm.labels.trained_model import TrainedModel
    from bana_mm.structures import write_label_png
    from bana_mm.utils.cli import load_config
    from bana_mm.utils.progress import Progress
    from bana_mm.utils.record import write_json
    from bana_mm.utils.run_options import RunOptions

    named = find_images(args.images)
    distinct = DistinctNames('--out-dir: the prediction')
    names = [prediction_name(str(path), folder and str(folder)) for path, folder in named]
    for name, (path, _) in zip(names, named):
        distinct.add(name, str(path))
    trained = TrainedModel(load_config(args), args.checkpoint, RunOptions.from_args(args).device)
    categories = [dict(id=number, name=name) for number, name in enumerate(trained.classes, start=1)]
    found = dict(images=[], annotations=[], categories=categories)
    with Progress(len(named), title='predictions') as progress:
        for name, (path, _) in zip(names, named):
            image, file = read_rgb(str(path)), Path(args.out_dir, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            sample = trained.predict(image)
            if 'pred_sem_seg' in sample:
                label, boxes, indices = sample.pred_sem_seg.data[0].cpu().numpy().astype('uint8'), None, []
                write_label_png(file, label)
            else:
                found['images'].append(
                    dict(id=len(found['images']) + 1, file_name=str(path), height=image.shape[0], width=image.shape[1])
                )
                label, boxes, indices = note_instances(sample.pred_instances, args.min_score, image.shape[:2], found)
            draw(file.with_name(f'{file.stem}_overlay.png'), image, label, boxes, indices, trained.classes, args.height)
            progress.update()
    if found['images']:
        write_json(Path(args.out_dir, 'instances.json'), found)
    return len(named)


def find_images(named: list[str]) -> list[tuple[Path, Path | None]]:
    """The images that were named, each with the folder that was named for it.

    Raises:
        FileNotFoundError: If one is not there, or a folder has no image.
    """
    from bana_mm.own_data.formats.source import find_images as images_below

    found: list[tuple[Path, Path | None]] = []
    for path in map(Path, named):
        if path.is_dir():
            below = images_below(path)
            if not below:
                raise FileNotFoundError(f'{path}: holds no image')
            found += [(image, path) for image in below]
        elif path.is_file():
            found.append((path, None))
        else:
            raise FileNotFoundError(f'{path}: there is no such image or folder')
    return found


def note_instances(instances, min_score: float, size: tuple[int, int], found: dict):
    """Add the instances of the last image to the JSON; label map, boxes and class indices are for the overlay."""
    from bana_mm.labels.trained_model import sure_instances
    from bana_mm.structures import encode_mask, paint_instances

    kept, masks = sure_instances(instances, min_score, size)
    boxes, indices = kept.bboxes.numpy().reshape(-1, 4), (kept.labels + 1).tolist()
    for (x1, y1, x2, y2), index, mask, score in zip(boxes.tolist(), indices, masks, kept.scores.tolist()):
        found['annotations'].append(
            dict(
                id=len(found['annotations']) + 1,
                image_id=found['images'][-1]['id'],
                category_id=index,
                bbox=[round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                area=int(mask.sum()),
                iscrowd=0,
                segmentation=encode_mask(mask, size),
                score=round(score, 4),
            )
        )
    return paint_instances(masks, indices), boxes, indices


def draw(path: Path, image, label, boxes, indices, classes, height: int) -> None:
    """The image and beside it what was found, with a legend."""
    from PIL import Image

    from bana_mm.utils.atomic import whole_file
    from bana_mm.visualization import panel_row
    from bana_mm.visualization.panels import panel_cells

    cells = panel_cells(image, classes, boxes, indices, predictions=dict(prediction=label), height=height)
    with whole_file(path) as partial:
        Image.fromarray(panel_row(*cells)).save(partial, format='PNG')


if __name__ == '__main__':
    main()

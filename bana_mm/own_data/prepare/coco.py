"""A data set in COCO's format: its files are taken as they are, or split where there is one alone."""

from pathlib import Path
from typing import Any

from bana_mm.datasets.coco_files import object_names
from bana_mm.datasets.metainfo import object_classes
from bana_mm.own_data.formats.coco import COCOPart
from bana_mm.own_data.label_maps import has_masks, write_label_maps
from bana_mm.own_data.split import Split, choose_split, with_masks

from .result import Prepared, Wishes, below, coco_data, folder_below, stem, write_json

MASK_FOLDERS = ('masks', 'SegmentationClass', 'SegmentationClassAug')


def prepare_coco(parts: list[COCOPart], root: Path, out: Path, wishes: Wishes) -> Prepared:
    by_split = {part.split or 'train': part for part in parts}
    train = by_split.get('train') or parts[0]
    used = {one['category_id'] for part in parts for one in part.content['annotations']}
    names = object_names(train.content, used)
    classes = list(object_classes(wishes.classes or names))
    remarks: list[str] = []
    prepared = Prepared('coco', coco_data(root, classes, remarks), remarks)
    folders: dict[str, Path] = {'train': train.images}
    mask_folder = next((root / name for name in MASK_FOLDERS if (root / name).is_dir()), None)
    if 'val' in by_split and wishes.val_share is None:
        val = by_split['val']
        folders['val'] = val.images
        prepared.data.update(train=below(train.file, root), val=below(val.file, root))
        images, content = val.content['images'], val.content
    else:
        if len(parts) > 1:
            remarks.append(f'{", ".join(str(part.file) for part in parts if part is not train)} not used.')
        content = train.content
        of_image: dict[int, list] = {image['id']: [] for image in content['images']}
        for one in content['annotations']:
            of_image[one['image_id']].append(one)
        by_id = {image['id']: image for image in content['images']}
        masked = [img_id for img_id, found in of_image.items() if found and has_masks(found)]
        if mask_folder is not None:
            masked = [one for one in by_id if (mask_folder / f'{stem(by_id[one])}.png').is_file()]
        split = choose_split(list(by_id), [None] * len(by_id), masked, wishes.val_share, wishes.seed)
        remarks += split.remarks
        prepared.data['train'] = below(train.file, root)
        if split.val:
            folders['val'] = train.images
            for mode, img_ids in (('train', split.train), ('val', split.val)):
                prepared.data[mode] = below(_write_part(out / f'{mode}.json', content, set(img_ids)), root)
                prepared.written.append(out / f'{mode}.json')
        images = [by_id[one] for one in split.val]
    prefix = dict(img=folder_below(folders['train'], root))
    if images:
        _masks_of_coco(prepared, content, images, mask_folder, root, out, prefix, classes)
    if 'val' in prepared.data and folders['val'] != folders['train']:
        for mode in ('train', 'val'):
            ann_file = prepared.data[mode]
            prepared.data[mode] = dict(ann_file=ann_file, data_prefix=dict(img=folder_below(folders[mode], root)))
        del prefix['img']
    prepared.data['data_prefix'] = prefix
    if not prefix:
        del prepared.data['data_prefix']
    return prepared


def _masks_of_coco(
    prepared: Prepared,
    content: dict[str, Any],
    images: list[dict[str, Any]],
    mask_folder: Path | None,
    root: Path,
    out: Path,
    prefix: dict[str, str],
    classes: list[str],
) -> None:
    """Masks of the validation images: those in a folder, or the annotations' own as label maps; or no validation."""
    there = [mask_folder is not None and (mask_folder / f'{stem(image)}.png').is_file() for image in images]
    if mask_folder is not None and all(there):
        prefix['seg'] = f'{below(mask_folder, root)}/'
        return
    of_image: dict[int, list] = {image['id']: [] for image in images}
    for one in content['annotations']:
        if one['image_id'] in of_image:
            of_image[one['image_id']].append(one)
    masked = {image['id'] for image in images if has_masks(of_image[image['id']])}
    if len(masked) == len(images) and any(of_image.values()):
        write_label_maps(content, images, classes, out / 'masks')
        prepared.written.append(out / 'masks')
        prefix['seg'] = f'{below(out / "masks", root)}/'
        prepared.remarks.append('Masks of the validation images are written as label maps, from their segmentation.')
        return
    masked = {image['id'] for image, is_there in zip(images, there) if is_there} or masked
    prepared.remarks += with_masks(Split([], [image['id'] for image in images]), masked).remarks
    del prepared.data['val']


def _write_part(path: Path, content: dict[str, Any], img_ids: set[int]) -> Path:
    """The file of some images of one in COCO's format."""
    part = {key: value for key, value in content.items() if key not in ('images', 'annotations')}
    part['images'] = [image for image in content['images'] if image['id'] in img_ids]
    part['annotations'] = [one for one in content['annotations'] if one['image_id'] in img_ids]
    return write_json(path, part)

"""A data set in a foreign format: its boxes become COCO's JSON."""

from pathlib import Path

from bana_mm.datasets.metainfo import object_classes
from bana_mm.own_data.formats import Source
from bana_mm.own_data.label_maps import has_masks, write_label_maps
from bana_mm.own_data.split import choose_split
from bana_mm.own_data.to_coco import to_coco
from bana_mm.utils.problems import Problems

from .result import Prepared, Wishes, below, coco_data, list_masked, stem, write_json


def prepare_foreign(source: Source, root: Path, name: str, out: Path, wishes: Wishes, problems: Problems) -> Prepared:
    content = to_coco(source, root, problems, wishes.masks)
    classes = list(object_classes(wishes.classes or content.classes))
    by_id = {image['id']: image for image in content.images}
    masked = [img_id for img_id, found in content.annotations.items() if wishes.masks and has_masks(found)]
    split = choose_split(list(by_id), content.splits, masked, wishes.val_share, wishes.seed)
    prepared = Prepared(name, coco_data(content.root, classes, split.remarks), split.remarks)
    prefix = dict(img=content.folder)
    for mode, img_ids in (('train', split.train), ('val', split.val)):
        if img_ids:
            path = out / f'{mode}.json'
            write_json(path, content.part(img_ids))
            prepared.data[mode] = below(path, content.root)
            prepared.written.append(path)
    if masked:
        everything = content.part(list(by_id))
        write_label_maps(everything, [by_id[img_id] for img_id in masked], classes, out / 'masks')
        prepared.written.append(out / 'masks')
        prefix['seg'] = f'{below(out / "masks", content.root)}/'
        list_masked(
            prepared, [stem(by_id[one]) for one in split.train], {stem(by_id[one]) for one in masked}, out, content.root
        )
    prepared.data['data_prefix'] = prefix
    prepared.remarks.append(
        "The boxes are written in COCO's format; the images stay where they are. After changes of the annotations "
        'start this again.'
    )
    return prepared

import copy
import json
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import instance_building
from bana_mm.labels.classifier import classifier_classes
from bana_mm.labels.instance_building import build_instance_dataset, make_pseudo_masks
from bana_mm.labels.instance_generator import InstanceLabelGenerator
from bana_mm.labels.instance_runner import generate_instance_labels
from bana_mm.labels.sinks.parts import LabelParts, PartWriter

CONFIG = dict(
    default_scope='mmdet',
    custom_imports=dict(imports=['bana_mm.registry'], allow_failed_imports=False),
    model=dict(
        type='bana_mm.BoxClassifier',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3),
        backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
        bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
    ),
    instance_recipe=dict(side=32, unary=dict(crf=dict(iterations=2))),
    test_dataloader=dict(num_workers=0),
)


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A data set, and the config and checkpoint of a classifier that knows one of its three categories."""
    root = make_tiny_coco(tmp_path_factory.mktemp('coco') / 'coco', more_categories=['square'])
    Config(CONFIG).dump(root.parent / 'bap.py')
    cfg = Config.fromfile(root.parent / 'bap.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=('cat', 'ring')))),
        root.parent / 'bap.pth',
    )
    return root, cfg, root.parent / 'bap.pth'


def make(work, out, **kwargs):
    root, cfg, checkpoint = work
    run = make_pseudo_masks(cfg, checkpoint, root / 'annotations/instances_train2017.json', out, **kwargs)
    return run, json.loads(out.read_text())


@pytest.fixture(scope='module')
def reference(work, tmp_path_factory):
    return make(work, tmp_path_factory.mktemp('masks') / 'masks.json')


def test_every_box_gets_a_mask_inside_it(work, reference):
    root, _, _ = work
    run, content = reference
    boxes = json.loads((root / 'annotations/instances_train2017.json').read_text())
    assert (run.images, run.skipped) == (6, 0)
    assert [image['id'] for image in content['images']] == [image['id'] for image in boxes['images']]
    assert [one['id'] for one in content['annotations']] == [one['id'] for one in boxes['annotations']]
    assert content['pseudo_masks']['unseen'] == ['triangle', 'square']
    for given, found in zip(boxes['annotations'], content['annotations'], strict=True):
        assert all(found[name] == given[name] for name in ('image_id', 'category_id', 'bbox', 'iscrowd'))
        mask, unreliable = (mask_api.decode(found[name]) for name in ('segmentation', 'unreliable'))
        assert mask.sum() == found['area'] > 0
        x, y, width, height = map(int, given['bbox'])
        for pixels in (mask, unreliable):
            pixels[y : y + height, x : x + width] = 0
            assert not pixels.any()
        assert 0 < found['score'] <= 1
    assert any(mask_api.area(one['unreliable']) for one in content['annotations'])


def test_pycocotools_and_mmdet_read_it(work, reference, tmp_path):
    root, _, _ = work
    _, content = reference
    path = tmp_path / 'masks.json'
    path.write_text(json.dumps(content))
    coco = COCO(path)
    areas = {number: coco.annToMask(one).sum() for number, one in coco.anns.items()}
    assert areas == {one['id']: one['area'] for one in content['annotations']}
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = CocoDataset(
            ann_file=str(path),
            data_prefix=dict(img=str(root / 'train2017')),
            metainfo=dict(classes=('ring', 'triangle', 'square')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
        )
        loaded = [dataset[index] for index in range(len(dataset))]
    assert sum(len(item['gt_masks']) for item in loaded) == len(content['annotations'])
    assert sum(item['gt_masks'].areas.sum() for item in loaded) == sum(areas.values())


def test_masks_do_not_depend_on_workers(work, reference, tmp_path):
    _, content = make(work, tmp_path / 'masks.json', workers=2)
    assert content == reference[1]


def test_goes_on_where_it_was_killed(work, reference, tmp_path, monkeypatch):
    finished = []

    def write_two(self, image_id, labels):
        if len(finished) == 2:
            self._file.write('{"image_id": 1')  # killed in the middle of a line
            self._file.flush()
            raise KeyboardInterrupt
        finished.append(image_id)
        original(self, image_id, labels)

    original = PartWriter.write
    monkeypatch.setattr(PartWriter, 'write', write_two)
    with pytest.raises(KeyboardInterrupt):
        make(work, tmp_path / 'masks.json')
    monkeypatch.setattr(PartWriter, 'write', original)
    assert not (tmp_path / 'masks.json').exists() and (tmp_path / 'masks.json.parts').is_dir()
    run, content = make(work, tmp_path / 'masks.json')
    assert (run.images, run.skipped) == (4, 2) and content == reference[1]
    assert not (tmp_path / 'masks.json.parts').exists()
    run, content = make(work, tmp_path / 'masks.json')
    assert (run.images, run.skipped) == (0, 6) and content == reference[1]


def test_shares_of_ranks_give_the_same_file(work, reference, tmp_path, monkeypatch):
    """One rank has finished its share, the other was killed; the next run has one rank."""

    def killed(model, dataset, parts, maker, *args, indices, rank):
        generate_instance_labels(model, dataset, parts, maker, indices=indices[1::2], rank=1)
        generate_instance_labels(model, dataset, parts, maker, indices=indices[:1], rank=0)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            instance_building,
            'generate_instance_labels',
            lambda *args, **kwargs: killed(*args[:-1], indices=args[-1], rank=kwargs['rank']),
        )
        with pytest.raises(KeyboardInterrupt):
            make(work, tmp_path / 'masks.json')
    run, content = make(work, tmp_path / 'masks.json')
    assert (run.images, run.skipped) == (2, 4) and content == reference[1]


def test_other_masks_are_not_mixed_or_overwritten(work, reference, tmp_path):
    out = tmp_path / 'masks.json'
    out.write_text(json.dumps(reference[1]))
    root, cfg, checkpoint = work
    other = copy.deepcopy(cfg)
    other.instance_recipe.front = False
    ann_file = root / 'annotations/instances_train2017.json'
    with pytest.raises(ValueError, match=r'masks\.json: its masks were made with recipe\.front = True, this run has F'):
        make_pseudo_masks(other, checkpoint, ann_file, out)
    assert make_pseudo_masks(other, checkpoint, ann_file, out, overwrite=True).images == 6
    assert json.loads(out.read_text())['pseudo_masks']['recipe']['front'] is False
    with pytest.raises(ValueError, match='was not written by this tool'):
        shutil.copy(root / 'annotations/instances_val2017.json', tmp_path / 'val.json')
        make_pseudo_masks(cfg, checkpoint, ann_file, tmp_path / 'val.json')
    with pytest.raises(ValueError, match='is the file of boxes; choose another name'):
        make_pseudo_masks(cfg, checkpoint, ann_file, ann_file, overwrite=True)


def test_unusual_input(work, tmp_path):
    """200 boxes; no box; grey and CMYK images; no masks; crowds; boxes without area; a box of a hair's breadth."""
    root, cfg, checkpoint = work
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'odd').mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    for name, mode in dict(grey='L', cmyk='CMYK', plain='RGB').items():
        Image.fromarray(pixels).convert(mode).save(tmp_path / f'odd/{name}.jpg')
    images = [
        dict(id=90 - k, file_name=f'{name}.jpg', height=50, width=70)
        for k, name in enumerate(('grey', 'cmyk', 'plain'))
    ]
    corner = np.random.default_rng(1).integers(0, 45, (200, 2)).tolist()
    boxes = [
        *([x, y, 17, 5] for x, y in corner),
        [0, 0, 70, 50],
        [-5, -5, 9.5, 80],
        [30, 20, 0.01, 9],
        [5, 5, 0, 9],
        [80, 5, 5, 9],
        [1, 1, 20, 20],
    ]
    annotations = [
        dict(id=1000 + k, image_id=89 if k % 2 else 90, category_id=7, bbox=box, segmentation=None)
        for k, box in enumerate(boxes)
    ]
    annotations[-1].update(iscrowd=1)
    ann_file = tmp_path / 'annotations/instances_odd.json'
    ann_file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=7, name='ring')])))
    run = make_pseudo_masks(cfg, checkpoint, ann_file, tmp_path / 'new/masks.json')
    assert run.images == 3
    found = json.loads((tmp_path / 'new/masks.json').read_text())['annotations']
    assert [one['id'] for one in found] == [one['id'] for one in annotations]
    area = [int(mask_api.area(one['segmentation'])) for one in found]
    assert min(area[:-3]) > 0 and area[-3:] == [0, 0, 400]
    assert ['score' in one for one in found] == [True] * (len(boxes) - 3) + [False] * 3
    assert found[-1]['unreliable'] == found[-1]['segmentation']


def test_bad_input_is_named(work, tmp_path):
    root, cfg, checkpoint = work
    (tmp_path / 'annotations').mkdir()
    shutil.copy(root / 'annotations/instances_train2017.json', tmp_path / 'annotations')
    ann_file = tmp_path / 'annotations/instances_train2017.json'
    with pytest.raises(FileNotFoundError, match='train2017: the folder of .*json.s images does not exist.*--img-dir'):
        make_pseudo_masks(cfg, checkpoint, ann_file, tmp_path / 'masks.json')
    shutil.copytree(root / 'train2017', tmp_path / 'images')
    first, second, *_ = sorted((tmp_path / 'images').iterdir())
    with Image.open(first) as image:
        image.resize((20, 20)).save(first)
    with pytest.raises(RuntimeError, match=f'{first.name}: .*height and width 20 x 20, but its annotation file says'):
        make_pseudo_masks(cfg, checkpoint, ann_file, tmp_path / 'masks.json', tmp_path / 'images')
    first.unlink()
    with pytest.raises(FileNotFoundError, match=first.name):
        make_pseudo_masks(cfg, checkpoint, ann_file, tmp_path / 'masks.json', tmp_path / 'images')
    with pytest.raises(ValueError, match="same_as names the class 'rings'"):
        make(work, tmp_path / 'masks.json', same_as=dict(rings='ring'))


def test_names_of_the_classifiers_classes(work, tmp_path):
    _, _, checkpoint = work
    assert classifier_classes(Config(CONFIG), checkpoint) == ('cat', 'ring')
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    dataset = dict(type='RepeatDataset', dataset=dict(type='bana_mm.VOCBoxDataset'))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    assert classifier_classes(cfg, tmp_path / 'bare.pth')[14] == 'person'
    dataset['dataset']['metainfo'] = dict(classes=('a', 'b'))
    assert classifier_classes(Config(dict(train_dataloader=dict(dataset=dataset))), tmp_path / 'bare.pth') == ('a', 'b')


def test_memory_does_not_grow_with_the_images(work, tmp_path):
    """Labels would take 1.5 kB an image if they were kept, features 6 kB."""
    root, cfg, checkpoint = work
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model).eval()
    dataset = build_instance_dataset(cfg, root / 'annotations/instances_train2017.json')
    maker = InstanceLabelGenerator(torch.rand(4, 8), cfg.instance_recipe)
    parts = LabelParts(tmp_path / 'parts')
    parts.begin({})
    tracemalloc.start()
    generate_instance_labels(model, dataset, parts, maker, indices=[0, 1, 2, 3, 4, 5])  # fills caches
    before, _ = tracemalloc.get_traced_memory()
    generate_instance_labels(model, dataset, parts, maker, indices=[0, 1, 2, 3, 4, 5] * 10)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 60 * 1000

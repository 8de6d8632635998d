import gc
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import (
    ClassifierSource,
    GrabCutSource,
    LabelItems,
    MaskSink,
    MergedSource,
    build_label_source,
    make_labels,
    runner,
)
from bana_mm.labels.data import build_coco_dataset
from bana_mm.labels.runner import label_images
from bana_mm.labels.sinks.parts import PartWriter
from bana_mm.structures import BoxLayout
from bana_mm.utils.run_options import RunOptions


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """A data set with three categories, of which the classifier knows two by name, and the last appears nowhere."""
    return make_tiny_coco(tmp_path_factory.mktemp('coco') / 'coco', more_categories=['square'])


@pytest.fixture(scope='module')
def ann_file(coco):
    return coco / 'annotations/instances_train2017.json'


SOURCES = ('classifier', 'grabcut', 'merged')


@pytest.fixture(scope='module')
def sources(tiny):
    """A network, GrabCut, and both."""
    files = dict(config=tiny / 'bap.py', checkpoint=tiny / 'bap.pth', device='cpu')
    both = [dict(type='bana_ret', recipe=dict(crf=dict(iterations=2)), **files), dict(type='grabcut', iterations=1)]
    return dict(classifier=ClassifierSource(**files), grabcut=GrabCutSource(iterations=1), merged=MergedSource(both))


@pytest.fixture
def source(sources):
    return sources['classifier']


def make(source, ann_file, out, img_dir=None, same_as=None, overwrite=False, **options):
    items = LabelItems(build_coco_dataset(ann_file, img_dir))
    run = make_labels(source, items, MaskSink(out, items), RunOptions(**options), same_as, overwrite)
    return run, json.loads(out.read_text())


@pytest.fixture(scope='module')
def references(sources, ann_file, tmp_path_factory):
    """The file of each source, made at one go."""
    folder = tmp_path_factory.mktemp('masks')
    for name, source in sources.items():
        make(source, ann_file, folder / f'{name}.json')
    return {name: folder / f'{name}.json' for name in sources}


@pytest.fixture
def reference(references):
    return json.loads(references['classifier'].read_text())


@pytest.mark.parametrize('name', SOURCES)
def test_every_box_gets_a_mask_inside_it(ann_file, references, name):
    content, boxes = json.loads(references[name].read_text()), json.loads(ann_file.read_text())
    assert [image['id'] for image in content['images']] == [image['id'] for image in boxes['images']]
    assert [one['id'] for one in content['annotations']] == [one['id'] for one in boxes['annotations']]
    for given, found in zip(boxes['annotations'], content['annotations'], strict=True):
        assert all(found[field] == given[field] for field in ('image_id', 'category_id', 'bbox', 'iscrowd'))
        mask, unreliable = (mask_api.decode(found[field]) for field in ('segmentation', 'unreliable'))
        assert mask.sum() == found['area'] > 0
        x, y, width, height = map(int, given['bbox'])
        for pixels in (mask, unreliable):
            pixels[y : y + height, x : x + width] = 0
            assert not pixels.any()
        assert 0 <= found['score'] <= 1
    assert any(mask_api.area(one['unreliable']) for one in content['annotations']) == (name != 'grabcut')


def test_records(ann_file, references):
    records = {name: json.loads(path.read_text())['pseudo_masks'] for name, path in references.items()}
    classes = ['ring', 'triangle', 'square']
    assert all(record['classes'] == classes for record in records.values())
    assert all(record['boxes']['name'] == ann_file.name for record in records.values())
    fields = {'config', 'checkpoint', 'recipe', 'classes', 'model', 'unseen', 'boxes', 'masks_used'}
    assert set(records['classifier']) == fields and all(record['masks_used'] == 0 for record in records.values())
    assert records['classifier']['unseen'] == ['square'] and records['classifier']['recipe']['side'] == 32
    assert records['classifier']['checkpoint']['name'] == 'bap.pth'
    assert records['grabcut']['source'] == dict(type='grabcut', iterations=1, min_pixels=16, seed=0)
    assert [part['type'] for part in records['merged']['source']['sources']] == ['bana_ret', 'grabcut']


@pytest.mark.parametrize('name', SOURCES)
def test_pycocotools_and_mmdet_read_it(coco, references, name):
    path = references[name]
    content, api = json.loads(path.read_text()), COCO(path)
    areas = {number: api.annToMask(one).sum() for number, one in api.anns.items()}
    assert areas == {one['id']: one['area'] for one in content['annotations']}
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = CocoDataset(
            ann_file=str(path),
            data_prefix=dict(img=str(coco / 'train2017')),
            metainfo=dict(classes=('ring', 'triangle', 'square')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
        )
        loaded = [dataset[index] for index in range(len(dataset))]
    assert sum(len(item['gt_masks']) for item in loaded) == len(content['annotations'])
    assert sum(item['gt_masks'].areas.sum() for item in loaded) == sum(areas.values())


@pytest.mark.parametrize(('name', 'options'), [('merged', dict(workers=2)), ('classifier', dict(loading_workers=1))])
def test_the_file_does_not_depend_on_workers(sources, ann_file, references, tmp_path, name, options):
    run, _ = make(sources[name], ann_file, tmp_path / 'masks.json', **options)
    assert (run.images, run.skipped) == (6, 0)
    assert (tmp_path / 'masks.json').read_bytes() == references[name].read_bytes()


@pytest.mark.parametrize('name', SOURCES)
def test_goes_on_where_it_was_killed(sources, ann_file, references, tmp_path, monkeypatch, name):
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
    out = tmp_path / 'masks.json'
    with pytest.raises(KeyboardInterrupt):
        make(sources[name], ann_file, out)
    monkeypatch.setattr(PartWriter, 'write', original)
    assert not out.exists() and (tmp_path / 'masks.json.parts').is_dir()
    run, _ = make(sources[name], ann_file, out)
    assert (run.images, run.skipped) == (4, 2) and out.read_bytes() == references[name].read_bytes()
    assert not (tmp_path / 'masks.json.parts').exists()
    run, _ = make(sources[name], ann_file, out)
    assert (run.images, run.skipped) == (0, 6) and out.read_bytes() == references[name].read_bytes()


def test_killed_between_the_file_and_the_end(sources, ann_file, references, tmp_path):
    """The file is there, and so are the labels that it was written from."""
    out, parts = tmp_path / 'masks.json', tmp_path / 'masks.json.parts'
    shutil.copy(references['grabcut'], out)
    parts.mkdir()
    for name in ('0.jsonl', 'record.json', '.boxes.json.1@here.part'):
        (parts / name).touch()
    run, _ = make(sources['grabcut'], ann_file, out)
    assert (run.images, run.skipped) == (0, 6) and not parts.exists()


def test_overwriting_goes_on_without_being_asked_again(sources, ann_file, references, tmp_path, monkeypatch):
    out = tmp_path / 'masks.json'
    shutil.copy(references['classifier'], out)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartWriter, 'write', _interrupted)
        make(sources['grabcut'], ann_file, out, overwrite=True)
    assert not out.exists()
    make(sources['grabcut'], ann_file, out)
    assert out.read_bytes() == references['grabcut'].read_bytes()


def _interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize('name', SOURCES)
def test_shares_of_ranks_give_the_same_file(sources, ann_file, references, tmp_path, monkeypatch, name):
    """One rank has finished its share, the other was killed; the next run has one rank."""

    def killed(function, source, items, sink, options, indices, keep_going):
        for rank, share in ((1, indices[1::2]), (0, indices[:1])):
            patch.setattr(runner, 'get_rank', lambda rank=rank: rank)
            label_images(source, items, sink, options, share, keep_going)
        raise KeyboardInterrupt

    out = tmp_path / 'masks.json'
    with monkeypatch.context() as patch:
        patch.setattr(runner, 'on_all_ranks', killed)
        with pytest.raises(KeyboardInterrupt):
            make(sources[name], ann_file, out)
    assert sorted(path.name for path in (tmp_path / 'masks.json.parts').glob('*.jsonl')) == ['0.jsonl', '1.jsonl']
    run, _ = make(sources[name], ann_file, out)
    assert (run.images, run.skipped) == (2, 4) and out.read_bytes() == references[name].read_bytes()


def test_other_masks_are_not_mixed_or_overwritten(tiny, source, coco, ann_file, references, tmp_path):
    out = tmp_path / 'masks.json'
    shutil.copy(references['classifier'], out)
    (tmp_path / 'bap.py').write_text(f"_base_ = '{tiny}/bap.py'\ninstance_recipe = dict(front=False)\n")
    other = ClassifierSource(tmp_path / 'bap.py', tiny / 'bap.pth', device='cpu')
    with pytest.raises(ValueError, match=r'masks\.json: its masks were made with recipe\.front = True, this run has F'):
        make(other, ann_file, out)
    run, content = make(other, ann_file, out, overwrite=True)
    assert run.images == 6 and content['pseudo_masks']['recipe']['front'] is False
    with pytest.raises(ValueError, match="its masks were made with config = 'bap.py', this run has 'nothing'"):
        make(build_label_source('box'), ann_file, out)
    shutil.copy(coco / 'annotations/instances_val2017.json', tmp_path / 'val.json')
    with pytest.raises(ValueError, match='was not written by this tool'):
        make(source, ann_file, tmp_path / 'val.json')
    with pytest.raises(ValueError, match='is the file of boxes; choose another name'):
        make(source, ann_file, ann_file, overwrite=True)


def test_masks_that_were_begun_in_another_way(source, ann_file, tmp_path):
    items = LabelItems(build_coco_dataset(ann_file))
    MaskSink(tmp_path / 'masks.json', items).begin(dict(source='box'))
    with pytest.raises(ValueError, match=r"masks\.json\.parts.*source = 'box', this run has 'nothing'"):
        make(source, ann_file, tmp_path / 'masks.json')


def test_unusual_input(source, tmp_path):
    """200 boxes; no box; grey and CMYK images; no masks; crowds; boxes without area; a box of a hair's breadth."""
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
    run, content = make(source, ann_file, tmp_path / 'new/masks.json')
    assert run.images == 3
    found = content['annotations']
    assert [one['id'] for one in found] == [one['id'] for one in annotations]
    area = [int(mask_api.area(one['segmentation'])) for one in found]
    assert min(area[:-3]) > 0 and area[-3:] == [0, 0, 400]
    assert ['score' in one for one in found] == [True] * (len(boxes) - 3) + [False] * 3
    assert found[-1]['unreliable'] == found[-1]['segmentation']


def test_bad_input_is_named(source, coco, ann_file, tmp_path):
    shutil.copytree(coco / 'train2017', tmp_path / 'images')
    first, *_ = sorted((tmp_path / 'images').iterdir())
    with Image.open(first) as image:
        image.resize((20, 20)).save(first)
    with pytest.raises(RuntimeError, match=f'{first.name}: .*height and width 20 x 20, but its annotation file says'):
        make(source, ann_file, tmp_path / 'masks.json', tmp_path / 'images')
    first.unlink()
    with pytest.raises(FileNotFoundError, match=first.name):
        make(source, ann_file, tmp_path / 'masks.json', tmp_path / 'images')
    with pytest.raises(ValueError, match="same_as names the class 'rings'"):
        make(source, ann_file, tmp_path / 'masks.json', same_as=dict(rings='ring'))


def test_a_data_set_that_is_no_coco_file(source, tmp_path, monkeypatch):
    """Its boxes become a COCO file, those marked difficult too; these have no label, and no score."""
    root = make_tiny_voc(tmp_path / 'voc')
    ids = (root / 'ImageSets/Segmentation/val.txt').read_text().split()
    annotation = root / f'Annotations/{ids[0]}.xml'
    annotation.write_text(annotation.read_text().replace('<difficult>0', '<difficult>1', 1))
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt', data_root=str(root), metainfo=dict(classes=('ring', 'triangle'))
    )
    items = LabelItems(dataset)

    def run_into(out, **kwargs):
        return make_labels(source, items, MaskSink(out, items), RunOptions(), **kwargs)

    assert run_into(tmp_path / 'masks.json').images == 2
    content = json.loads((tmp_path / 'masks.json').read_text())
    assert [(image['file_name'], image['img_id']) for image in content['images']] == [(f'{i}.jpg', i) for i in ids]
    assert content['categories'] == [dict(id=1, name='ring'), dict(id=2, name='triangle')]
    infos = [dataset.get_data_info(index) for index in range(2)]
    instances = [(number, one) for number, info in enumerate(infos, 1) for one in info['instances']]
    assert content['pseudo_masks']['boxes'] == dict(images=2, annotations=len(instances))
    for found, (image_id, instance) in zip(content['annotations'], instances, strict=True):
        x, y, width, height = found['bbox']
        assert [x, y, x + width, y + height] == instance['bbox'] and found['image_id'] == image_id
        assert found['category_id'] == instance['bbox_label'] + 1 and found['ignore'] == instance['ignore_flag']
        assert ('score' in found) == (not instance['ignore_flag'])
    (ignored,) = (one for one in content['annotations'] if one['ignore'])
    assert ignored['unreliable'] == ignored['segmentation'] and mask_api.area(ignored['segmentation']) > 0

    # Killed after an image it goes on, and boxes that have changed meanwhile are noticed.
    original = PartWriter.write
    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, 'write', lambda self, image_id, labels: _once(original, self, image_id, labels))
        with pytest.raises(KeyboardInterrupt):
            run_into(tmp_path / 'again.json')
    run = run_into(tmp_path / 'again.json')
    assert (run.images, run.skipped) == (1, 1)
    assert (tmp_path / 'again.json').read_bytes() == (tmp_path / 'masks.json').read_bytes()


def _once(write, writer, image_id, labels):
    if image_id == 2:
        raise KeyboardInterrupt
    write(writer, image_id, labels)


def test_layouts_and_annotations_go_together(ann_file, tmp_path):
    """Masks are matched to annotations by the order of the boxes, without crowds and those that have no area."""
    content = json.loads(ann_file.read_text())
    content['annotations'][0]['iscrowd'] = 1
    content['annotations'][1]['bbox'][2] = 0
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    _, found = make(
        build_label_source('box'), tmp_path / 'boxes.json', tmp_path / 'masks.json', ann_file.parents[1] / 'train2017'
    )
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
    for given, one in zip(content['annotations'][2:], found['annotations'][2:], strict=True):
        x, y, width, height = given['bbox']
        layout = BoxLayout.from_boxes(sizes[given['image_id']], [[x, y, x + width, y + height]], [1])
        assert one['area'] == layout.areas[0] and np.array_equal(
            mask_api.decode(one['segmentation']), layout.regions()[0]
        )
    assert ['score' in one for one in found['annotations'][:3]] == [False, False, True]


def test_memory_does_not_grow_with_the_images(source, ann_file, tmp_path):
    """Labels would take 1.5 kB an image if they were kept, features 6 kB."""
    items = LabelItems(build_coco_dataset(ann_file))
    source.bind(items.classes, items.category_ids)
    sink = MaskSink(tmp_path / 'masks.json', items)
    sink.begin({})
    tracemalloc.start()
    label_images(source, items, sink, RunOptions(), [0, 1, 2, 3, 4, 5])  # fills caches
    gc.collect()  # of mmengine's configs
    before, _ = tracemalloc.get_traced_memory()
    label_images(source, items, sink, RunOptions(), [0, 1, 2, 3, 4, 5] * 10)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 60 * 1000


@pytest.fixture
def partly(ann_file, tmp_path):
    """Boxes of which some have masks, in all of the forms that there are; the first image has masks only."""
    content = json.loads(ann_file.read_text())
    annotations = content['annotations']
    first = annotations[0]['image_id']
    rest = [one for one in annotations if one['image_id'] != first]
    for one in rest:
        one['segmentation'] = None
    x, y, *_ = rest[0]['bbox']
    rest[0].update(segmentation=[[x, y, x + 4, y, x + 4, y + 3, x, y + 3]])
    del rest[0]['area']
    sizes = {one['id']: (one['height'], one['width']) for one in content['images']}
    height, width = sizes[rest[1]['image_id']]
    rest[1].update(segmentation=dict(size=[height, width], counts=[height, 5, height * width - height - 5]), area=4.5)
    height, width = sizes[rest[2]['image_id']]
    rest[2].update(segmentation=dict(size=[height, width], counts=[height * width]))  # without a pixel
    rest[3].update(segmentation=[])
    rest[4].pop('segmentation')
    rest[5].update(segmentation=[[1, 1, 9, 1, 9, 9]], iscrowd=1)
    path = tmp_path / 'partly.json'
    path.write_text(json.dumps(content))
    return path, content, [one['id'] for one in annotations if one['image_id'] == first], [one['id'] for one in rest]


def make_partly(source, path, out, img_dir, keep_masks):
    items = LabelItems(build_coco_dataset(path, img_dir))
    run = make_labels(source, items, MaskSink(out, items, keep_masks), RunOptions())
    return run, json.loads(out.read_text())


def test_true_masks_are_kept_where_there_are_some(coco, partly, tmp_path):
    path, given, whole, rest = partly
    kept = {*whole, *rest[:2]}
    box = build_label_source('box')
    run, mixed = make_partly(box, path, tmp_path / 'mixed.json', coco / 'train2017', True)
    pseudo_run, pseudo = make_partly(box, path, tmp_path / 'pseudo.json', coco / 'train2017', False)
    unmasked = {one['image_id'] for one in given['annotations'] if one['id'] not in kept and not one['iscrowd']}
    assert (run.images, run.skipped) == (len(unmasked), 6 - len(unmasked))  # nothing to do for images with masks only
    assert pseudo_run.images == 6 and given['annotations'][0]['image_id'] not in unmasked
    assert mixed['pseudo_masks']['masks_used'] == len(whole) + 2
    assert {**mixed['pseudo_masks'], 'masks_used': 0} == {**pseudo['pseudo_masks'], 'masks_used': 0}
    assert pseudo['pseudo_masks']['masks_used'] == 0
    for before, one, made in zip(given['annotations'], mixed['annotations'], pseudo['annotations'], strict=True):
        if one['id'] not in kept:
            assert one == made
            continue
        assert one['segmentation'] == before['segmentation'] and one['score'] == 1
        assert mask_api.area(one['unreliable']) == 0
        assert one['area'] == before.get('area', 12)  # the square of 4 x 3 pixels had none
        assert made['segmentation'] != before['segmentation']  # by default the true mask is not used
    api = COCO(tmp_path / 'mixed.json')
    assert [int(api.annToMask(api.anns[number]).sum()) for number in rest[:2]] == [12, 5]


def test_kept_masks_are_part_of_how_a_file_was_made(coco, partly, tmp_path):
    path, _, _, rest = partly
    box, images, out = build_label_source('box'), coco / 'train2017', tmp_path / 'masks.json'
    make_partly(box, path, out, images, False)
    with pytest.raises(ValueError, match=r'masks\.json: its masks were made with masks_used = 0, this run has'):
        make_partly(box, path, out, images, True)
    with pytest.raises(ValueError, match=r'masks\.json: its masks are pseudo masks, which can not be kept'):
        make_partly(box, out, tmp_path / 'other.json', images, True)
    content = json.loads(path.read_text())
    (bad,) = (one for one in content['annotations'] if one['id'] == rest[1])
    bad['segmentation']['size'] = [1, 2]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'partly\.json: annotation {rest[1]}: run lengths have size \[1, 2\]'):
        make_partly(box, path, tmp_path / 'other.json', images, True)


def test_no_mask_is_needed_and_none_is_used(source, coco, ann_file, references, tmp_path):
    """Without any segmentation the masks are the same, and with --keep-masks there is nothing to keep."""
    content = json.loads(ann_file.read_text())
    for one in content['annotations']:
        del one['segmentation']
    (tmp_path / 'bare.json').write_text(json.dumps(content))
    expected = json.loads(references['classifier'].read_text())
    for keep_masks in (False, True):
        out = tmp_path / f'{keep_masks}.json'
        _, found = make_partly(source, tmp_path / 'bare.json', out, coco / 'train2017', keep_masks)
        assert found['annotations'] == expected['annotations'] and found['pseudo_masks']['masks_used'] == 0


def test_masks_are_kept_of_coco_files_only(tmp_path):
    root = make_tiny_voc(tmp_path / 'voc')
    classes = dict(classes=('ring', 'triangle'))
    items = LabelItems(VOCBoxDataset('ImageSets/Segmentation/val.txt', data_root=str(root), metainfo=classes))
    with pytest.raises(ValueError, match="only masks of a file in COCO's format can be kept"):
        MaskSink(tmp_path / 'masks.json', items, keep_masks=True)

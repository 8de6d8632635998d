import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.labels import LabelItem, answers, build_label_source, classifier_source_class, engine, label_map, read_rgb
from bana_mm.labels.classifier import build_classifier, extract_features
from bana_mm.labels.crf import LabelTask
from bana_mm.labels.data import build_label_dataset
from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.instance_generator import InstanceLabelGenerator
from bana_mm.structures import BoxLayout, LabelStore
from bana_mm.utils.record import as_stored, check_record, file_digest

CONFIG = f"""
_base_ = '{Path(__file__).parents[3]}/configs/bana/bap_vgg16_voc.py'
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    bap_head=dict(num_classes=2, in_channels=8),
    label_recipe=dict(_delete_=True, background='attention', crf=dict(iterations=2)))
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(difficult='ignore', metainfo=dict(classes=('ring', 'triangle'))))
"""


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A config and a checkpoint, the images that they belong to, and their labels made step by step."""
    folder = tmp_path_factory.mktemp('work')
    root = make_tiny_voc(folder / 'voc')
    annotation = root / 'Annotations' / f'{(root / "ImageSets/Segmentation/val.txt").read_text().split()[0]}.xml'
    annotation.write_text(annotation.read_text().replace('<difficult>0', '<difficult>1', 1))
    (folder / 'bap.py').write_text(CONFIG)
    (folder / 'gap.py').write_text("_base_ = 'bap.py'\nmodel = dict(bap_head=dict(pooling='gap'))\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('VOC_ROOT', str(root))
        cfg = Config.fromfile(folder / 'bap.py')
        cfg.test_dataloader.dataset.difficult = 'ignore'
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(cfg.model)
            model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), folder / 'bap.pth')
        model, dataset = build_classifier(cfg, folder / 'bap.pth'), build_label_dataset(cfg, 'val')
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        for name, changes in (('att', {}), ('cam', dict(background='cam'))):
            store = LabelStore(folder / name)
            store.begin({})
            generator = LabelGenerator(model.bap_head.weight, dict(crf=dict(iterations=2), **changes))
            for info in infos:
                image = read_rgb(info['img_path'])
                layout = BoxLayout.from_instances(image.shape[:2], info['instances'])
                (features,) = extract_features(model, [image])
                y_crf = generator.prepare(features, image, layout).run()
                store.write(info['img_id'], Y_crf=y_crf, Y_ret=generator.retrieve(features, layout, y_crf))
        yield folder, infos


@pytest.fixture(autouse=True)
def fresh_networks():
    engine._engine.cache_clear()


def name_of(folder, name, config='bap'):
    return f'{name}:{folder / config}.py:{folder / "bap.pth"}'


@pytest.mark.parametrize(
    ('name', 'store', 'map_name'),
    [('bana_crf', 'att', 'Y_crf'), ('bana_ret', 'att', 'Y_ret'), ('bana_crf_cam', 'cam', 'Y_crf')],
)
def test_makes_what_the_generator_makes(work, name, store, map_name):
    folder, infos = work
    source = build_label_source(name_of(folder, name))
    assert source.map_names == (name,)
    for info in infos:
        label = label_map(source, LabelItem.from_info(info))
        assert np.array_equal(label, LabelStore(folder / store).read(map_name, info['img_id']))
    assert any(instance['ignore_flag'] for info in infos for instance in info['instances'])


def test_both_maps_of_a_classifier(work):
    folder, infos = work
    source = build_label_source(name_of(folder, 'classifier'))
    items = [LabelItem.from_info(info) for info in infos]
    assert source.map_names == ('Y_crf', 'Y_ret') and source.has_network
    for item, maps in zip(items, answers(source, items, 'maps'), strict=True):
        for name, label in maps.items():
            assert np.array_equal(label, LabelStore(folder / 'att').read(name, item.img_id))


def test_masks_are_those_of_the_instance_generator(work):
    folder, infos = work
    items = [LabelItem.from_info(info) for info in infos]
    cfg = Config.fromfile(folder / 'bap.py')
    model = build_classifier(cfg, folder / 'bap.pth')
    generator = InstanceLabelGenerator(model.bap_head.weight, dict(unary=dict(crf=dict(iterations=2))))
    of_name = dict(classifier='Y_crf', bana_crf='Y_crf', bana_ret='Y_ret')
    recipe = dict(crf=dict(iterations=2))
    sources = {name: build_label_source(name_of(folder, name), recipe=recipe) for name in of_name}
    found = {name: answers(source, items, 'masks') for name, source in sources.items()}
    for position, item in enumerate(items):
        (features,) = extract_features(model, [item.image])
        masks = generator.prepare(features, item.image, item.layout).run()
        both = generator.finish(features, item.layout, masks)
        for name, map_name in of_name.items():
            for one, expected in zip(found[name][position], both[map_name], strict=True):
                assert np.array_equal(one.mask, expected.mask) and one.score == expected.score
                assert np.array_equal(one.unreliable, expected.unreliable)


def test_recipe_changes(work):
    folder, infos = work
    files = dict(config=folder / 'bap.py', checkpoint=folder / 'bap.pth')
    source = build_label_source(dict(type='bana_crf', recipe=dict(background='cam', crf=dict(backend='auto')), **files))
    item = LabelItem.from_info(infos[1])
    expected = LabelStore(folder / 'cam').read('Y_crf', infos[1]['img_id'])
    assert np.array_equal(label_map(source, item), expected)
    assert source.make_recipe().crf['iterations'] == 2 and source.make_recipe().background == 'cam'
    assert source.make_instance_recipe().unary.background == 'cam'
    assert source.make_instance_recipe().unary.crf['iterations'] == 10  # not the label recipe's
    named = build_label_source(dict(type='bana_crf_cam', recipe=dict(recipe='paper'), **files)).make_recipe()
    assert named.background == 'cam' and named.crf['iterations'] == 10 and named.threshold == 0.99
    source = build_label_source('bana_crf', recipe=dict(treshold=1), **files)
    with pytest.raises(ValueError, match="unknown field 'treshold'"):
        label_map(source, item)


def test_network_runs_once_an_image(work, monkeypatch):
    folder, infos = work
    runs, crfs = [], []
    build, run = engine.ClassifierEngine.__init__, LabelTask.run

    def count(self, *args):
        build(self, *args)
        forward = self.model.extract_feat
        self.model.extract_feat = lambda inputs: runs.append(inputs.shape) or forward(inputs)

    monkeypatch.setattr(engine.ClassifierEngine, '__init__', count)
    monkeypatch.setattr(LabelTask, 'run', lambda self: crfs.append(1) or run(self))
    sources = [build_label_source(name_of(folder, name)) for name in ('bana_crf', 'bana_ret', 'bana_crf_cam')]
    for info in infos:
        item = LabelItem.from_info(info)
        labels = [label_map(source, item) for source in sources]
        for label in labels:
            label[:] = 77  # is the caller's own
        assert 77 not in label_map(sources[2], item)
        assert 77 not in label_map(sources[1], item)
    assert len(runs) == len(infos)
    runs.clear(), crfs.clear()
    merged = build_label_source([name_of(folder, name) for name in ('bana_crf', 'bana_ret')])
    for maps in answers(merged, [LabelItem.from_info(info) for info in infos], 'maps'):
        assert list(maps) == ['bana_crf', 'bana_ret']
    assert len(runs) == len(crfs) == len(infos)  # Y_crf and Y_ret share network and CRF


def test_answers_are_not_shared_with_the_next_caller(work):
    folder, infos = work
    source = build_label_source(name_of(folder, 'classifier'))
    item = LabelItem.from_info(infos[0])
    (first,) = answers(source, [item], 'maps')
    for label in first.values():
        label[:] = 77
    (second,) = answers(source, [item], 'maps')
    assert not any(77 in label for label in second.values())


def test_travels_without_its_network(work):
    folder, infos = work
    source = build_label_source(name_of(folder, 'bana_crf'))
    item = LabelItem.from_info(infos[0])
    expected = label_map(source, item)
    packed = pickle.dumps(source)
    assert len(packed) < 2000
    assert np.array_equal(label_map(pickle.loads(packed), item), expected)
    merged = build_label_source([name_of(folder, 'bana_crf'), 'box'])
    label_map(merged, item)
    assert len(pickle.dumps(merged)) < 3000


def test_classes_by_name(work):
    """The classes of another data set: one by another name, one that the classifier knows, one that it does not."""
    folder, infos = work
    item = LabelItem.from_info(infos[1])
    classes = sorted({instance['bbox_label'] for instance in infos[1]['instances']})
    torch.save(
        dict(torch.load(folder / 'bap.pth'), meta=dict(dataset_meta=dict(classes=('ring', 'triangle')))),
        folder / 'named.pth',
    )
    source = build_label_source(f'bana_crf:{folder / "bap.py"}:{folder / "named.pth"}')
    expected = label_map(source, item)
    source.bind(('zebra', 'triangle', 'hoop'), same_as=dict(hoop='ring'))
    record = source.record(('zebra', 'triangle', 'hoop'), 'maps')
    assert record['unseen'] == ['zebra'] and record['source']['type'] == 'bana_crf'
    other = [dict(one, bbox_label=2 if one['bbox_label'] == 0 else 1) for one in infos[1]['instances']]
    found = label_map(source, LabelItem.from_info(dict(infos[1], instances=other)))
    assert classes and np.array_equal(found, np.array([0, 3, 2], np.uint8)[expected])
    with pytest.raises(ValueError, match="same_as names the class 'rings'"):
        source.bind(('zebra',), same_as=dict(rings='ring'))


def test_record(work):
    folder, _ = work
    source = build_label_source(name_of(folder, 'classifier'))
    record = source.record(('ring', 'triangle'), 'maps')
    assert record['config'] == 'bap.py' and record['checkpoint']['name'] == 'bap.pth'
    assert record['recipe'] == source.make_recipe().to_dict() and record['classes'] == ['ring', 'triangle']
    assert set(record) == {'config', 'checkpoint', 'recipe', 'classes', 'model'}
    record = source.record(('ring', 'triangle'), 'masks')
    assert record['recipe'] == source.make_instance_recipe().to_dict() and record['unseen'] == []


def test_in_a_training_of_mmseg(work):
    folder, items = work
    text = f':{folder / "bap.py"}:{folder / "bap.pth"}'
    item = dict(items[0], img=cv2.imread(items[0]['img_path']), seg_fields=[])
    with DefaultScope.overwrite_default_scope('mmseg'):
        transform = BoxPseudoLabel(source=['bana_crf' + text, 'bana_ret' + text])
        stored, made = BoxPseudoLabel(label_dir=str(folder / 'att'))(dict(item)), transform(dict(item))
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'
    for key in ('gt_seg_map', 'gt_reliable_map'):
        assert np.array_equal(made[key], stored[key])


def test_description(work):
    """What decides on labels, in the words of the stores written so far: runs go on on another device."""
    folder, _ = work
    files = dict(config=str(folder / 'bap.py'), checkpoint=str(folder / 'bap.pth'))
    for device in (None, 'cpu', 'cuda'):
        source = build_label_source(dict(type='bana_ret', device=device, recipe=dict(score='mean'), **files))
        described = dict(type='bana_ret', **files, recipe=dict(score='mean'), device=None)
        assert source.describe() == described and source.device == device
        if device != 'cuda':
            record = source.record(('ring', 'triangle'), 'maps')
            assert list(record.pop('networks')) == ['bana_ret']
            assert record == dict(source=described, classes=['ring', 'triangle'])


def test_networks_are_known_by_what_they_hold(work, tmp_path):
    """Files of the same names with another content, and changes of the config on the command line."""
    folder, _ = work
    config, checkpoint = tmp_path / 'bap.py', tmp_path / 'bap.pth'
    config.write_text(CONFIG), checkpoint.write_bytes((folder / 'bap.pth').read_bytes())
    names = [f'{name}:{config}:{checkpoint}' for name in ('bana_ret', 'bana_crf')]

    def record(source=f'{names[0]}+box+{names[1]}+{names[1]}', kind='maps', **changes):
        engine._engine.cache_clear()
        return build_label_source(source, **changes).record(('ring', 'triangle'), kind)

    first = record()
    assert list(first['networks']) == ['bana_ret', 'bana_crf', 'bana_crf_2']
    recipe = build_label_source(names[0]).make_recipe().to_dict()
    digest = file_digest(checkpoint)
    held = first['networks']['bana_crf']
    assert list(held) == ['checkpoint', 'recipe', 'model'] and held['checkpoint'] == digest
    assert held['recipe'] == recipe and recipe['crf']['iterations'] == 2 and 'label_recipe' not in held['model']
    assert 'side' in record(kind='masks')['networks']['bana_crf']['recipe']
    judged = record(f'trusted:{names[0]}', second=names[1])
    assert list(judged['networks']) == ['bana_ret', 'bana_crf'] and judged == record(
        f'trusted:{names[0]}', 'masks', second=names[1]
    )
    assert 'side' in judged['networks']['bana_ret']['recipe']
    assert 'networks' not in build_label_source('box+grabcut').record(('ring', 'triangle'), 'maps')
    config.write_text(CONFIG.replace('iterations=2', 'iterations=4'))
    message = r'networks\.bana_ret\.recipe\.crf\.iterations = 2, this run has 4'
    with pytest.raises(ValueError, match=message):
        check_record('labels', as_stored(first), record())
    changed = Config.fromfile(folder / 'bap.py')
    changed.merge_from_dict({'model.label_recipe.crf.iterations': 4})
    single = dict(type='bana_ret', checkpoint=checkpoint)
    with pytest.raises(ValueError, match=message):
        stored = as_stored(record(dict(single, config=folder / 'bap.py')))
        check_record('labels', stored, record(dict(single, config=changed)))
    changed = Config.fromfile(folder / 'bap.py')
    changed.merge_from_dict({'model.data_preprocessor.mean': [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r'networks\.bana_ret\.model\.data_preprocessor\.mean = .*this run has \[1'):
        check_record('labels', stored, record(dict(single, config=changed)))
    both = dict(type='classifier', checkpoint=checkpoint)
    stored = as_stored(record(dict(both, config=folder / 'bap.py')))
    with pytest.raises(ValueError, match=r'labels: made with model\.data_preprocessor\.mean = '):
        check_record('labels', stored, record(dict(both, config=changed)), 'made')
    del stored['model']  # as in stores of earlier versions
    check_record('labels', stored, record(dict(both, config=changed)))
    config.write_text(CONFIG)
    check_record('labels', as_stored(first), record())
    state = torch.load(checkpoint)
    torch.save(dict(state, meta=dict(epoch=2)), checkpoint)
    with pytest.raises(ValueError, match=rf"networks\.bana_ret\.checkpoint = '{digest}', this run has"):
        check_record('labels', as_stored(first), record())


def test_a_store_from_before_networks_were_recorded_goes_on(work, tmp_path):
    folder, _ = work
    source = build_label_source(name_of(folder, 'bana_ret'))
    record = source.record(('ring', 'triangle'), 'maps')
    store = LabelStore(tmp_path, source.map_names)
    store.begin({field: value for field, value in record.items() if field != 'networks'})
    store.begin(record)
    other = dict(record, networks=dict(bana_ret=dict(record['networks']['bana_ret'], checkpoint='other')))
    with pytest.raises(ValueError, match=r'networks\.bana_ret\.checkpoint = '):
        store.begin(other)
    with pytest.raises(ValueError, match=r"classes = \['ring', 'triangle'\]"):
        store.begin(dict(record, classes=['ring']))


def test_bad_classifiers(work):
    folder, infos = work
    with pytest.raises(FileNotFoundError, match=r"none\.pth: checkpoint of label source 'bana_crf' does not exist"):
        build_label_source(f'bana_crf:{folder / "bap.py"}:{folder / "none.pth"}')
    item = LabelItem.from_info(infos[0])
    source = build_label_source(name_of(folder, 'gap'))
    with pytest.raises(ValueError, match=r"bap\.py: label source 'gap' needs .* but it is 'bap'"):
        label_map(source, item)
    source = build_label_source(name_of(folder, 'gap', config='gap'))
    classes = {0, 255, *(instance['bbox_label'] + 1 for instance in infos[0]['instances'])}
    assert set(np.unique(label_map(source, item))) <= classes
    with pytest.raises(
        ValueError, match="a classifier makes bana_crf, bana_crf_cam, bana_ret, gap, image_crf, not 'box'"
    ):
        classifier_source_class('box')
    assert classifier_source_class('classifier').name == 'classifier'

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.transforms import BoxPseudoLabel
from bana_mm.labels import build_label_source, label_from_instances
from bana_mm.labels.classifier import build_classifier
from bana_mm.labels.data import build_label_dataset
from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.runner import generate_labels
from bana_mm.labels.sources import network
from bana_mm.structures import LabelStore

CONFIG = f"""
_base_ = '{Path(__file__).parents[2]}/configs/bana/bap_vgg16_voc.py'
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    bap_head=dict(num_classes=2, in_channels=8),
    label_recipe=dict(_delete_=True, background='attention', crf=dict(iterations=2)))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(metainfo=dict(classes=('ring', 'triangle'))))
"""


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A config and a checkpoint, the images that they belong to, and their labels as the runner makes them."""
    folder = tmp_path_factory.mktemp('work')
    root = make_tiny_voc(folder / 'voc')
    annotation = root / 'Annotations' / f'{(root / "ImageSets/Segmentation/val.txt").read_text().split()[0]}.xml'
    annotation.write_text(annotation.read_text().replace('<difficult>0', '<difficult>1', 1))
    (folder / 'bap.py').write_text(CONFIG)
    (folder / 'gap.py').write_text("_base_ = 'bap.py'\nmodel = dict(bap_head=dict(pooling='gap'))\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('VOC_ROOT', str(root))
        cfg = Config.fromfile(folder / 'bap.py')
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(cfg.model)
            model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), folder / 'bap.pth')
        model, dataset = build_classifier(cfg, folder / 'bap.pth'), build_label_dataset(cfg, 'val')
        for name, changes in (('att', {}), ('cam', dict(background='cam'))):
            store = LabelStore(folder / name)
            store.begin({})
            recipe = dict(crf=dict(iterations=2), **changes)
            generate_labels(model, dataset, store, LabelGenerator.from_model(model, recipe))
        yield folder, [dataset.get_data_info(index) for index in range(len(dataset))]


@pytest.fixture(autouse=True)
def fresh_networks():
    network._classifier.cache_clear()


@pytest.mark.parametrize(
    ('name', 'store', 'map_name'),
    [('bana_crf', 'att', 'Y_crf'), ('bana_ret', 'att', 'Y_ret'), ('bana_crf_cam', 'cam', 'Y_crf')],
)
def test_makes_what_the_runner_stores(work, name, store, map_name):
    folder, items = work
    source = build_label_source(f'{name}:{folder / "bap.py"}:{folder / "bap.pth"}')
    for item in items:
        image = cv2.imread(item['img_path'])[..., ::-1].copy()
        label = label_from_instances(source, image, item['instances'], item['img_id'])
        assert np.array_equal(label, LabelStore(folder / store).read(map_name, item['img_id']))
    assert any(instance['ignore_flag'] for item in items for instance in item['instances'])


def test_recipe_changes(work):
    folder, items = work
    files = dict(config=folder / 'bap.py', checkpoint=folder / 'bap.pth')
    source = build_label_source(dict(type='bana_crf', recipe=dict(background='cam', crf=dict(backend='auto')), **files))
    image = cv2.imread(items[1]['img_path'])[..., ::-1].copy()
    expected = LabelStore(folder / 'cam').read('Y_crf', items[1]['img_id'])
    assert np.array_equal(label_from_instances(source, image, items[1]['instances']), expected)
    source = build_label_source('bana_crf', recipe=dict(treshold=1), **files)
    with pytest.raises(ValueError, match="unknown field 'treshold'"):
        label_from_instances(source, image, items[1]['instances'])


def test_network_runs_once_an_image(work, monkeypatch):
    folder, items = work
    text = f':{folder / "bap.py"}:{folder / "bap.pth"}'
    runs, crfs = [], []
    extract = network._Classifier.__init__

    def count(self, *args):
        extract(self, *args)
        forward = self.model.extract_feat
        self.model.extract_feat = lambda inputs: runs.append(inputs.shape) or forward(inputs)

    original = network.crf_label
    monkeypatch.setattr(network._Classifier, '__init__', count)
    monkeypatch.setattr(network, 'crf_label', lambda *args: crfs.append(1) or original(*args))
    sources = [build_label_source(name + text) for name in ('bana_crf', 'bana_ret', 'bana_crf_cam')]
    for item in items:
        image = cv2.imread(item['img_path'])
        labels = [label_from_instances(source, image, item['instances']) for source in sources]
        for label in labels:
            label[:] = 77  # is the caller's own
        assert 77 not in label_from_instances(sources[2], image, item['instances'])
        assert 77 not in label_from_instances(sources[1], image, item['instances'])
    assert len(runs) == len(items)
    assert len(crfs) == 3 * len(items)  # Y_crf and Y_ret share one; one without u_0, kept; and Y_ret once more


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


def test_bad_classifiers(work):
    folder, items = work
    with pytest.raises(FileNotFoundError, match=r"none\.pth: checkpoint of label source 'bana_crf' does not exist"):
        build_label_source(f'bana_crf:{folder / "bap.py"}:{folder / "none.pth"}')
    image = cv2.imread(items[0]['img_path'])
    source = build_label_source(f'gap:{folder / "bap.py"}:{folder / "bap.pth"}')
    with pytest.raises(ValueError, match=r"bap\.py: label source 'gap' needs .* but it is 'bap'"):
        label_from_instances(source, image, items[0]['instances'])
    source = build_label_source(f'gap:{folder / "gap.py"}:{folder / "bap.pth"}')
    classes = {0, 255, *(instance['bbox_label'] + 1 for instance in items[0]['instances'])}
    assert set(np.unique(label_from_instances(source, image, items[0]['instances']))) <= classes
    with pytest.raises(ValueError, match="a classifier makes bana_crf, bana_crf_cam, bana_ret, gap, not 'box'"):
        network.network_source_class('box')

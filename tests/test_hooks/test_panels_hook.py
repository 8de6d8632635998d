"""Panels in the middle of a training, with mmengine's runner on a few tiny images."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import BaseVisBackend
from PIL import Image

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore, read_label_png

CONFIGS = Path(__file__).parents[2] / 'configs' / 'bana'


@VISBACKENDS.register_module(force=True)
class RememberingBackend(BaseVisBackend):
    """Keeps the pictures that a training shows, as TensorBoard or WandB would."""

    pictures: list = []

    experiment = None

    def _init_env(self):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        self.pictures.append((name, step, image))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = make_tiny_voc(tmp_path_factory.mktemp('tiny'))
    store = LabelStore(root / 'labels')
    store.begin({})
    for path in sorted((root / 'SegmentationClassAug').glob('train*.png')):
        y_crf = read_label_png(path)
        y_ret = y_crf.copy()
        y_ret[:, 20:30] = (y_crf[:, 20:30] + 1) % 3
        store.write(path.stem, Y_crf=y_crf, Y_ret=y_ret)
    return root


@pytest.fixture
def train(root, tmp_path, monkeypatch):
    """Train for four iterations of two images; returns the runner and the pictures."""
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))

    def call(name, model, hook=None, crop=(41, 41), backend='RememberingBackend'):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        cfg.merge_from_dict(
            {
                'experiment_name': f'{name}-{hook}-{backend}',
                'work_dir': str(tmp_path / 'work'),
                'train_cfg.max_iters': 4,
                'param_scheduler.0.end': 4,
                'env_cfg.dist_cfg.backend': 'gloo',
                'model.backbone': dict(width_mult=0.0625, out_channels=8, pretrained=None),
                **model,
                'train_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False),
                'train_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
                'train_dataloader.dataset.pipeline.resize.scale': (64, 64),
                'train_dataloader.dataset.pipeline.crop.crop_size': crop,
            }
        )
        for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
            cfg[key] = None
        cfg.train_cfg.pop('val_interval')
        cfg.visualizer = dict(
            type='Visualizer',
            name=f'{name}-{hook}-{backend}',
            vis_backends=[dict(type=backend, save_dir=str(tmp_path))],
        )
        cfg.custom_hooks = [*cfg.custom_hooks, *([dict(type='bana_mm.PanelsHook', **hook)] if hook else [])]
        monkeypatch.setattr(RememberingBackend, 'pictures', [])
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner, RememberingBackend.pictures

    return call


SEGMENTOR = {
    'model.decode_head.head': dict(in_channels=8, channels=8, num_classes=3),
    'model.data_preprocessor.size': (41, 41),
}
CLASSIFIER = {'model.bap_head': dict(in_channels=8, num_classes=2)}


def test_segmentation(train, root):
    runner, pictures = train('deeplabv1_vgg16_voc', SEGMENTOR, dict(images=['train_00001'], interval=2, height=100))
    assert [(name, step) for name, step, _ in pictures] == [('panels_train_00001', 2), ('panels_train_00001', 4)]
    picture = pictures[0][2]
    size = read_label_png(root / 'SegmentationClassAug/train_00001.png').shape
    # image, boxes, Y_crf, Y_ret, agreement, confidence, prediction, ground truth, each with its caption above
    cell = max(round(size[1] * 100 / size[0]), 72)
    assert picture.dtype == np.uint8 and abs(picture.shape[1] - 8 * (cell + 4)) < 60 and picture.shape[0] == 144
    assert not np.array_equal(pictures[0][2], pictures[1][2])  # two iterations later the network says something else
    plain, nothing = train('deeplabv1_vgg16_voc', SEGMENTOR)
    assert nothing == []
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), name


def test_classifier(train):
    _, pictures = train('bap_vgg16_voc', CLASSIFIER, dict(images=2, interval=100, height=60))
    assert [step for _, step, _ in pictures] == [4, 4] and len({name for name, _, _ in pictures}) == 2
    assert all(picture.ndim == 3 and picture.std() > 10 for _, _, picture in pictures)


def test_tensorboard(train, tmp_path):
    """Its own reader finds the pictures in its files, pixel by pixel those that other backends are given."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    hook = dict(images=1, interval=100, height=60)
    _, pictures = train('bap_vgg16_voc', CLASSIFIER, hook)
    runner, _ = train('bap_vgg16_voc', CLASSIFIER, hook, backend='TensorboardVisBackend')
    runner.visualizer.close()
    events = EventAccumulator(str(tmp_path), size_guidance=dict(images=0)).Reload()
    ((name, step, picture),) = pictures
    assert events.Tags()['images'] == [name]
    (event,) = events.Images(name)
    drawn = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert('RGB'))
    assert event.step == step and np.array_equal(drawn, picture)


def test_wrong_settings(train):
    for settings, message in (
        (dict(images=0), 'images must be'),
        (dict(images='a'), 'images must be'),
        (dict(interval=0), 'interval'),
    ):
        with pytest.raises(ValueError, match=f'PanelsHook: {message}'):
            HOOKS.build(dict(type='bana_mm.PanelsHook', **settings))
    with pytest.raises(ValueError, match="image 'cat' is not among the 6 of the training set"):
        train('deeplabv1_vgg16_voc', SEGMENTOR, dict(images=['cat']))

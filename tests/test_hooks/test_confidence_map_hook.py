"""Confidence maps of a training's images, with mmengine's runner on a few tiny images."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from PIL import Image

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.hooks.undisturbed import undisturbed
from bana_mm.structures import LabelStore, read_label_png

CONFIG = Path(__file__).parents[2] / 'configs' / 'bana' / 'deeplabv1_vgg16_voc.py'
IDS = [f'train_{number:05d}' for number in range(6)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Images whose labels are their masks, with a stripe in doubt and one that is ignored."""
    root = make_tiny_voc(tmp_path_factory.mktemp('tiny'))
    store = LabelStore(root / 'labels')
    store.begin({})
    for path in sorted((root / 'SegmentationClassAug').glob('train*.png')):
        y_crf = read_label_png(path)
        y_ret = y_crf.copy()
        y_ret[:, 20:30] = (y_crf[:, 20:30] + 1) % 3
        y_crf[:, 5:8] = 255
        store.write(path.stem, Y_crf=y_crf, Y_ret=y_ret)
    return root


@pytest.fixture
def run(root, tmp_path, monkeypatch):
    """Train a narrow DeepLab-V1 for four iterations of two images; returns the runner."""
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))

    def train(name, hook=None, work_dir='work', edit=None, **options):
        cfg = Config.fromfile(CONFIG)
        cfg.merge_from_dict(
            {
                'experiment_name': name,
                'work_dir': str(tmp_path / work_dir),
                'train_cfg.max_iters': 4,
                'param_scheduler.0.end': 4,
                'default_hooks.checkpoint.interval': 2,
                'default_hooks.checkpoint.max_keep_ckpts': -1,
                'env_cfg.dist_cfg.backend': 'gloo',
                'model.backbone': dict(width_mult=0.0625, out_channels=8, pretrained=None),
                'model.decode_head.head': dict(in_channels=8, channels=8, num_classes=3),
                'model.data_preprocessor.size': (41, 41),
                'train_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False),
                'train_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
                'train_dataloader.dataset.pipeline.resize.scale': (64, 64),
                'train_dataloader.dataset.pipeline.crop.crop_size': (41, 41),
                **options,
            }
        )
        for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
            cfg[key] = None
        cfg.train_cfg.pop('val_interval')
        if hook is not None:
            cfg.custom_hooks = [*cfg.custom_hooks, dict(type='bana_mm.ConfidenceMapHook', **hook)]
        if edit is not None:
            edit(cfg)
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    return train


def maps_of(runner):
    return Path(runner.log_dir) / 'vis_data' / 'confidence_maps'


def state_of(runner):
    """Weights and the optimizer's momentum."""
    momentum = runner.optim_wrapper.optimizer.state_dict()['state']
    return {**runner.model.state_dict(), **{number: entry['momentum_buffer'] for number, entry in momentum.items()}}


def test_the_training_is_as_without(run):
    plain = run('plain')
    watched = run('watched', dict(images=IDS[:2], iterations=range(5)), work_dir='other')
    expected, found = state_of(plain), state_of(watched)
    assert expected.keys() == found.keys() and 0 in found
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    modes = {name: module.training for name, module in plain.model.named_modules()}
    assert modes == {name: module.training for name, module in watched.model.named_modules()}
    assert {path.relative_to(maps_of(watched)).as_posix() for path in maps_of(watched).rglob('*.png')} == {
        f'{name}.png' for name in IDS[:2]
    } | {f'{name}/iter_{time}.png' for name in IDS[:2] for time in range(5)}


def test_values_and_picture(run, root):
    """Sigma of Eq. 11 and 12, step by step: features of the whole image, cosines, upsampling, power."""
    runner = run('values', dict(images=['train_00003.jpg'], iterations=[4, 2], gamma=3.0))
    saved = np.asarray(Image.open(maps_of(runner) / 'train_00003' / 'iter_4.png')).astype(float) / 255
    label = np.asarray(Image.open(root / 'labels' / 'Y_crf' / 'train_00003.png')).astype(np.int64)
    image = np.asarray(Image.open(root / 'JPEGImages' / 'train_00003.jpg').convert('RGB')).astype(np.float32)
    assert saved.shape == label.shape

    model = runner.model.eval()
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    inputs = torch.from_numpy(np.ascontiguousarray((image[..., ::-1] - mean).transpose(2, 0, 1)))[None]
    with torch.no_grad():
        feats = model.backbone(inputs)[0]
        weight = model.decode_head.conv_seg.weight
        cosine = torch.nn.functional.cosine_similarity(feats[:, None], weight[None], dim=2)
        cosine = torch.nn.functional.interpolate(cosine, label.shape, mode='bilinear', align_corners=True)[0]
    correlation = 1 + cosine.numpy()
    own = np.take_along_axis(correlation, np.where(label == 255, 0, label)[None], 0)[0]
    expected = np.where(label == 255, 0, (own / correlation.max(axis=0)) ** 3)
    assert np.abs(saved - expected).max() < 0.51 / 255 + 1e-4 and expected.std() > 0

    height, width = label.shape
    strip = np.asarray(Image.open(maps_of(runner) / 'train_00003.png'))
    # image, Y_crf, Y_ret, disagreement, ground truth, two times
    assert strip.ndim == 3 and strip.shape[1] >= 7 * round(224 / height * width)


def test_epochs(run):
    """Six images in batches of two: an epoch is three iterations; the second one ends after the training."""
    runner = run('epochs', dict(images=['train_00000'], epochs=(0, 1, 2)))
    assert {path.name for path in (maps_of(runner) / 'train_00000').iterdir()} == {'iter_0.png', 'iter_3.png'}


def test_resume_takes_the_maps_over(run, tmp_path):
    hook = dict(images=['train_00001'], iterations=(0, 1, 2, 3))
    first = maps_of(run('first', hook, **{'train_cfg.max_iters': 2}))
    before = {path.name: path.read_bytes() for path in (first / 'train_00001').iterdir()}
    assert before.keys() == {'iter_0.png', 'iter_1.png', 'iter_2.png'}
    other = tmp_path / 'work' / '20000101_000000'  # as if it had been another day
    first.parents[1].rename(other)
    again = maps_of(run('again', hook, resume=True, load_from=str(tmp_path / 'work' / 'iter_2.pth')))
    assert again.parents[1] != other
    after = {path.name: path.read_bytes() for path in (again / 'train_00001').iterdir()}
    assert after.keys() == {*before, 'iter_3.png'} and before == {name: after[name] for name in before}
    whole = np.asarray(Image.open(again / 'train_00001.png')).shape[1]
    assert whole > np.asarray(Image.open(other / 'vis_data' / 'confidence_maps' / 'train_00001.png')).shape[1]


def test_masks_have_no_doubt(run):
    """With masks instead of labels the picture shows sigma of the mask."""

    def edit(cfg):
        cfg.train_dataloader.dataset.update(pseudo_labels=None)
        cfg.train_dataloader.dataset.pipeline.labels = dict(type='LoadAnnotations')

    runner = run('masks', dict(images=['train_00002'], iterations=[0]), edit=edit)
    assert (maps_of(runner) / 'train_00002.png').is_file()


def test_bad_images(run, root):
    with pytest.raises(ValueError, match=r"image 'nobody' is not in the training set \(6 images of .*train_aug.txt\)"):
        run('unknown', dict(images=['train_00000', 'nobody'], iterations=[0]))
    lost = root / 'labels' / 'Y_crf' / 'train_00005.png'
    content = lost.read_bytes()
    lost.unlink()
    try:
        with pytest.raises(FileNotFoundError, match="image 'train_00005' can not be loaded .*train_00005.png"):
            run('unlabelled', dict(images=['train_00005'], iterations=[0]), custom_hooks=[])
    finally:
        lost.write_bytes(content)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(images='train_00000', iterations=[0]), 'images must list'),
        (dict(images=[], iterations=[0]), 'images must list'),
        (dict(images=['a']), 'either iterations or epochs'),
        (dict(images=['a'], iterations=[0], epochs=[0]), 'either iterations or epochs'),
        (dict(images=['a'], epochs=[-1, 2]), r'from 0 on, got \(-1, 2\)'),
        (dict(images=['a'], iterations=[]), 'from 0 on'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f'ConfidenceMapHook: .*{message}'):
        HOOKS.build(dict(type='bana_mm.ConfidenceMapHook', **arguments))


def test_no_cosines(run):
    head = dict(
        _delete_=True,
        type='FCNHead',
        in_channels=8,
        in_index=0,
        channels=8,
        num_convs=0,
        num_classes=3,
        concat_input=False,
    )
    with pytest.raises(TypeError, match='must be a bana_mm.CosineDecodeHead, not FCNHead'):
        run('fcn', dict(images=['train_00000'], iterations=[0]), **{'model.decode_head': head})


def testundisturbed():
    """Random numbers go on, frozen modules stay frozen, also where what happens inside fails."""
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1).eval(), torch.nn.Dropout()).train(False)
    model[1].train()

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seed()
    expected = [draw() for _ in range(2)][1]
    seed()
    draw()
    with pytest.raises(KeyError), undisturbed(model):
        assert not model[1].training and not torch.is_grad_enabled()
        draw()
        raise KeyError
    assert draw() == expected
    assert [module.training for module in model.modules()] == [False, False, True] and torch.is_grad_enabled()

"""Stage 3 from stored labels to scores, with mmengine's runner on a few tiny images."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore, read_label_png
from bana_mm.utils.safe_loading import read_checkpoint

CONFIG = Path(__file__).parents[1] / 'configs' / 'bana' / 'deeplabv1_vgg16_voc.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The images, and labels made from their masks, with a stripe in doubt and one that is ignored."""
    root = make_tiny_voc(tmp_path_factory.mktemp('tiny'))
    store = LabelStore(root / 'labels')
    store.begin(dict(classes=['ring', 'triangle']))
    for path in sorted((root / 'SegmentationClassAug').glob('train*.png')):
        y_crf = read_label_png(path)
        y_ret = y_crf.copy()
        y_ret[:, 20:30] = (y_crf[:, 20:30] + 1) % 3
        y_crf[:, 5:8] = 255
        store.write(path.stem, Y_crf=y_crf, Y_ret=y_ret)
    return root


@pytest.fixture
def config(root, tmp_path, monkeypatch):
    """DeepLab-V1's config with a narrow network, four iterations of two images."""
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))
    cfg = Config.fromfile(CONFIG)
    options = {
        'work_dir': str(tmp_path / 'work'),
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 4,
        'param_scheduler.0.end': 4,
        'train_dataloader.batch_size': 2,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'default_hooks.logger.interval': 1,
        'model.backbone': dict(width_mult=0.0625, out_channels=8, pretrained=None),
        'model.decode_head.head.in_channels': 8,
        'model.decode_head.head.channels': 8,
        'model.decode_head.head.num_classes': 3,
        'train_dataloader.dataset.pipeline.resize.scale': (64, 64),
        'train_dataloader.dataset.pipeline.crop.crop_size': (41, 41),
        'model.data_preprocessor.size': (41, 41),
        'env_cfg.dist_cfg.backend': 'gloo',
    }
    for loader in ('train', 'val', 'test'):
        options.update(
            {
                f'{loader}_dataloader.num_workers': 0,
                f'{loader}_dataloader.persistent_workers': False,
                f'{loader}_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
            }
        )
    cfg.merge_from_dict(options)
    return cfg


def losses_of(runner):
    history = runner.message_hub.log_scalars
    return {name: history[f'train/decode.{name}'].data[0] for name in ('loss_ce', 'loss_wce')}


def test_train_resume_and_test(config, tmp_path):
    config.experiment_name = 'whole'
    runner = Runner.from_cfg(config)
    runner.train()
    losses = losses_of(runner)
    assert all(len(values) == 4 and np.isfinite(values).all() and (values > 0).all() for values in losses.values())
    assert {'val/mIoU', 'val/aAcc'} <= set(runner.message_hub.log_scalars)
    whole = read_checkpoint(tmp_path / 'work' / 'iter_4.pth')

    config.update(
        experiment_name='resumed',
        resume=True,
        load_from=str(tmp_path / 'work' / 'iter_2.pth'),
        work_dir=str(tmp_path / 'resumed'),
    )
    resumed = Runner.from_cfg(config)
    resumed.train()
    assert resumed.iter == 4 and not (tmp_path / 'resumed' / 'iter_2.pth').exists()
    again = read_checkpoint(tmp_path / 'resumed' / 'iter_4.pth')
    assert again['state_dict'].keys() == whole['state_dict'].keys()
    assert again['optimizer']['param_groups'][0]['lr'] == whole['optimizer']['param_groups'][0]['lr']

    config.update(
        experiment_name='test',
        resume=False,
        load_from=str(tmp_path / 'work' / 'iter_4.pth'),
        work_dir=str(tmp_path / 'test'),
    )
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = dict(**config.tta_model, module=config.model)
    config.test_evaluator.update(with_crf=True, workers=0, output_dir=str(tmp_path / 'predictions'))
    scores = Runner.from_cfg(config).test()
    assert 0 <= scores['mIoU'] <= 100 and 0 <= scores['mIoU_crf'] <= 100
    assert len(list((tmp_path / 'predictions').glob('val*.png'))) == 2


def test_mixed_precision(config):
    config.experiment_name = 'bf16'
    config.optim_wrapper.type = 'bana_mm.BF16OptimWrapper'
    runner = Runner.from_cfg(config)
    runner.train()
    losses = losses_of(runner)
    assert all(len(values) == 4 and np.isfinite(values).all() for values in losses.values())


def test_no_labels(config):
    config.train_dataloader.dataset.pseudo_labels.dir = 'nowhere'
    config.experiment_name = 'missing'
    with pytest.raises(FileNotFoundError, match='6 of 6 training images[\\s\\S]*tools/generate_labels.py'):
        Runner.from_cfg(config).train()

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bana_mm.visualization.browse import browse

CONFIGS = Path(__file__).parents[2] / 'configs' / 'bana'


@pytest.fixture
def config(work, monkeypatch):
    monkeypatch.setenv('VOC_ROOT', str(work / 'voc'))
    monkeypatch.setenv('LABEL_DIR', str(work / 'none'))

    def read(name):
        cfg = Config.fromfile(CONFIGS / name)
        cfg.merge_from_dict(
            {
                'train_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
                'test_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
                'train_dataloader.dataset.pipeline.resize.scale': (64, 64),
                'train_dataloader.dataset.pipeline.crop.crop_size': (48, 48),
            }
        )
        return cfg

    return read


def test_segmentation_with_another_source(config):
    cfg = config('deeplabv1_vgg16_voc.py')
    pictures = dict(browse(cfg, source='box', images=['train_00001'], times=2, height=96))
    (picture,) = pictures.values()
    assert list(pictures) == ['train_00001'] and picture.dtype == np.uint8
    assert (
        dict(browse(cfg, source='box', images=['train_00001'], times=2, height=96))['train_00001'].tobytes()
        == picture.tobytes()
    )
    other = dict(browse(cfg, source='box', images=['train_00001'], times=2, height=96, seed=7))['train_00001']
    assert other.shape != picture.shape or not np.array_equal(other, picture)
    with pytest.raises(FileNotFoundError, match='none'):
        next(browse(cfg, images=1))
    with pytest.raises(ValueError, match="image 'cat' is not among"):
        next(browse(cfg, source='box', images=['cat']))


def test_tool_on_a_classifier(config, run, tmp_path, monkeypatch, capsys):
    cfg = config('bap_vgg16_voc.py')
    cfg.dump(tmp_path / 'bap_tiny.py')
    monkeypatch.chdir(tmp_path)
    run('analysis/browse', 'bap_tiny.py', '--source', 'box', '--number', 2, '--times', 1)
    assert ': 2 pictures -> work_dirs/browse/bap_tiny' in capsys.readouterr().err
    files = sorted((tmp_path / 'work_dirs/browse/bap_tiny').glob('*.png'))
    assert len(files) == 2 and np.asarray(Image.open(files[0])).ndim == 3
    with pytest.raises(SystemExit, match='browse: .*the number of images and of times must be at least 1'):
        run('analysis/browse', 'bap_tiny.py', '--times', 0)


def test_data_of_a_test_with_masks(config):
    """Those of a classifier are mmdet's, those of a segmentation model mmseg's, and both hold the mask."""
    _, shown = next(browse(config('bap_vgg16_voc.py'), mode='test', images=1, times=1, height=96))
    _, alone = next(browse(config('bap_vgg16_voc.py'), source='box', mode='test', images=1, times=1, height=96))
    assert shown.shape[1] < alone.shape[1]  # with the labels of a source there are two cells more
    assert next(browse(config('deeplabv1_vgg16_voc.py'), mode='test', images=1, times=1, height=96))

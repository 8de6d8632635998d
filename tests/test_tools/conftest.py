"""What the tests of the tools share."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmengine.visualization import Visualizer
from tiny_detector import CONFIG, write_coco

from bana_mm.datasets.synthetic import make_tiny_voc

CLASSIFIER = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8),
    label_recipe=dict(crf=dict(iterations=2)))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        type='bana_mm.VOCBoxDataset',
        data_root={root!r},
        ann_file='ImageSets/Segmentation/val.txt',
        metainfo=dict(classes=('ring', 'triangle')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
        ]))
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a tool's main() with a command line, in this process to spare its start-up."""

    def call(tool: str, *args: object) -> None:
        path = Path(__file__).parents[2] / 'tools' / f'{tool}.py'
        spec = importlib.util.spec_from_file_location(f'tool_{tool}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # mmengine keeps these by a name that runs within one second share: logs and histories would mix
        for shared in (MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
            shared._instance_dict.clear()
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, args)])
        module.main()

    return call


@pytest.fixture
def save_untrained() -> Callable[[Path], Path]:
    """Write the checkpoint of a config's model as it is before training, ``NAME.pth`` beside ``NAME.py``."""

    def save(config: Path) -> Path:
        cfg = Config.fromfile(config)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
            model.init_weights()
        checkpoint = config.with_suffix('.pth')
        torch.save(dict(state_dict=model.state_dict()), checkpoint)
        return checkpoint

    return save


@pytest.fixture
def work(tmp_path: Path, save_untrained: Callable[[Path], Path]) -> Iterator[Path]:
    """A folder with a data set, ``voc``, and a classifier's config and checkpoint, ``bap.py`` and ``bap.pth``."""
    make_tiny_voc(tmp_path / 'voc')
    (tmp_path / 'bap.py').write_text(CLASSIFIER.format(root=str(tmp_path / 'voc')))
    save_untrained(tmp_path / 'bap.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield tmp_path


@pytest.fixture
def tiny_detector(tmp_path: Path) -> Path:
    """A folder with three images in COCO's format, ``coco/boxes.json``, and a detector's config, ``tiny.py``."""
    write_coco(tmp_path / 'coco')
    (tmp_path / 'tiny.py').write_text(CONFIG.replace("'coco", f"'{tmp_path}/coco"))
    return tmp_path

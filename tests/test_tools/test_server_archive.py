"""tools/test.py --server-archive on images alone, as VOC's test split comes."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from bana_mm.registry import MODELS

REPO = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{REPO}/configs/bana/deeplabv1_vgg16_voc.py'
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    decode_head=dict(head=dict(in_channels=8, channels=8)))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(ann_file='ImageSets/Segmentation/test.txt'))
test_evaluator = dict(workers=0)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""


def test_archive(run, tmp_path, monkeypatch, capsys):
    sizes = {'2008_000006': (40, 56), '2008_000011': (64, 48)}
    for folder in ('JPEGImages', 'ImageSets/Segmentation'):
        (tmp_path / 'voc' / folder).mkdir(parents=True)
    for name, size in sizes.items():
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'voc/JPEGImages/{name}.jpg')
    (tmp_path / 'voc/ImageSets/Segmentation/test.txt').write_text('\n'.join(sizes))
    monkeypatch.setenv('VOC_ROOT', str(tmp_path / 'voc'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny.py').write_text(CONFIG)
    model = MODELS.build(dict(Config.fromfile('tiny.py').model, _scope_='mmseg'))
    torch.save({name: torch.randn_like(value) * 0.2 for name, value in model.state_dict().items()}, 'tiny.pth')

    run('test', 'tiny.py', 'tiny.pth', '--format-only', '--server-archive', 'sent/voc.zip')
    with zipfile.ZipFile('sent/voc.zip') as archive:
        assert sorted(archive.namelist()) == [
            f'results/VOC2012/Segmentation/comp6_test_cls/{name}.png' for name in sizes
        ]
        for member in archive.namelist():
            with archive.open(member) as file, Image.open(file) as png:
                label = np.array(png)
                assert png.mode == 'P' and png.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
            assert label.dtype == np.uint8 and label.shape == sizes[Path(member).stem] and label.max() <= 20
            assert np.array_equal(label, np.array(Image.open(Path('sent/voc') / member)))
    assert '2 label maps in results/VOC2012/Segmentation/comp6_test_cls\nnote: the test split of VOC2012 has 1456' in (
        capsys.readouterr().out
    )

"""tools/analysis/confidence.py on a tiny DeepLab-V1 with labels that are partly wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.structures import LabelStore, read_label_png

CONFIG = Path(__file__).parents[2] / 'configs' / 'bana' / 'deeplabv1_vgg16_voc.py'


def test_figures(run, save_untrained, tmp_path, monkeypatch, capsys):
    root = make_tiny_voc(tmp_path / 'voc')
    store, doubted, right = LabelStore(root / 'labels'), 0, 0
    store.begin({})
    for path in sorted((root / 'SegmentationClassAug').glob('train*.png')):
        ground_truth = read_label_png(path)
        y_crf, y_ret = ground_truth.copy(), ground_truth.copy()
        y_crf[4:8] = (ground_truth[4:8] + 1) % 3  # wrong
        y_ret[:12] = (y_crf[:12] + 1) % 3
        store.write(path.stem, Y_crf=y_crf, Y_ret=y_ret)
        known = ground_truth[:12] != 255
        doubted += int(known.sum())
        right += int((known & (y_crf == ground_truth)[:12]).sum())
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.setenv('LABEL_DIR', str(root / 'labels'))
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            'model.backbone': dict(width_mult=0.0625, out_channels=8, pretrained=None),
            'model.decode_head.head': dict(in_channels=8, channels=8, num_classes=3),
            'train_dataloader.dataset.metainfo': dict(classes=('ring', 'triangle')),
        }
    )
    cfg.dump(tmp_path / 'tiny.py')
    shutil.copyfile(save_untrained(tmp_path / 'tiny.py'), tmp_path / 'same.pth')

    arguments = (
        'analysis/confidence',
        tmp_path / 'tiny.py',
        tmp_path / 'tiny.pth',
        tmp_path / 'same.pth',
        '--json',
        tmp_path / 'out.json',
    )
    run(*arguments)
    figures, same = json.loads((tmp_path / 'out.json').read_text())['checkpoints'].values()
    assert figures == same
    assert figures['right'] == pytest.approx(100 * right / doubted, abs=1e-3)
    assert 0 < figures['doubted'] < 50 and 0 < figures['sigma_wrong'] <= 100
    assert f'{figures["right_by_weight"]:.1f}' in capsys.readouterr().out
    # with gamma 0 every sigma is 1
    run(*arguments, '--gamma', 0, '--images', 2)
    content = json.loads((tmp_path / 'out.json').read_text())
    figures = content['checkpoints'][str(tmp_path / 'tiny.pth')]
    assert content['images'] == 2 and figures['sigma_right'] == figures['sigma_wrong'] == 100
    assert figures['right_by_weight'] == figures['right'] and np.isfinite(figures['average_precision'])

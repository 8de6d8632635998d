import csv
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.labels.recipe import LabelRecipe

CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=8, stride=8))
test_dataloader = dict(dataset=dict(
    type='bana_mm.VOCBoxDataset', data_root={root!r}, ann_file='', metainfo=dict(classes=('ring', 'triangle')),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
              dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))]))
"""


def test_recipes_are_evaluated_once_on_maps_made_once(run, tmp_path, capsys):
    make_tiny_voc(tmp_path / 'voc')
    (tmp_path / 'bap.py').write_text(CONFIG.format(root=str(tmp_path / 'voc')))
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(tmp_path / 'bap.py').model)
        torch.save(dict(state_dict=model.state_dict()), tmp_path / 'bap.pth')
        recipes = [dict(crf=dict(iterations=2)), dict(crf=dict(iterations=2), score='mean', flip=True)]
        arguments = (tmp_path / 'bap.py', tmp_path / 'bap.pth', '--work-dir', tmp_path / 'search', '--images', 3,
                     '--classes', 'ring', '--workers', 0, '--only')
        run('analysis/search_recipe', *arguments, json.dumps(recipes[:1]))
        maps = sorted(tmp_path.glob('search/*/maps/*.npz'))
        assert len(maps) == 3
        made = [path.stat().st_mtime_ns for path in maps]
        capsys.readouterr()
        run('analysis/search_recipe', *arguments, json.dumps(recipes))
        assert [path.stat().st_mtime_ns for path in maps] == made

        (table, ) = tmp_path.glob('search/*/train_aug_3_0_1.csv')
        with open(table, newline='') as file:
            header, *rows = csv.reader(file)
        assert [LabelRecipe.from_cfg(json.loads(row[0])) for row in rows] == [LabelRecipe(**r) for r in recipes]
        chosen = float(rows[1][header.index('mIoU_chosen')])
        assert chosen == pytest.approx((float(rows[1][3]) + float(rows[1][4])) / 2, abs=1e-3) and chosen > 0
        assert f'chosen classes {chosen:.2f}' in capsys.readouterr().out
        for path in (tmp_path / 'voc/SegmentationClassAug').iterdir():
            path.unlink()
        with pytest.raises(FileNotFoundError, match='has no mask'):
            run('analysis/search_recipe', *arguments, '[]')

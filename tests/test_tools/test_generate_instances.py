import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from bana_mm.datasets.synthetic_coco import make_tiny_coco

TOOL = Path(__file__).parents[2] / 'tools/generate_labels.py'
CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
model = dict(
    type='bana_mm.BoxClassifier',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[100.] * 3, std=[50.] * 3),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    bap_head=dict(type='bana_mm.BAPHead', num_classes=20, in_channels=8, stride=8))
train_dataloader = dict(dataset=dict(type='bana_mm.VOCBoxDataset'))
test_dataloader = dict(num_workers=0)
"""


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['generate_labels.py', '--workers', '0', '--device', 'cpu', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_a_classifier_of_voc_labels_boxes_of_other_classes(tmp_path, monkeypatch, capsys):
    make_tiny_coco(tmp_path / 'coco', num_train=2)
    (tmp_path / 'bap.py').write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tmp_path / 'bap.py').model)
        model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'bap.pth')
    boxes = tmp_path / 'coco/annotations/instances_train2017.json'
    given = [tmp_path / 'bap.py', tmp_path / 'bap.pth', '--coco', boxes]

    run_tool(monkeypatch, *given, '--out', tmp_path / 'masks.json', '--same-as', 'ring=person', '--cfg-options',
             'instance_recipe.unary.crf.iterations=2', 'instance_recipe.side=32')
    content = json.loads((tmp_path / 'masks.json').read_text())
    assert all(annotation['area'] > 0 for annotation in content['annotations'])
    record = content['pseudo_masks']
    assert record['unseen'] == ['triangle'] and record['recipe']['side'] == 32
    assert record['recipe']['unary']['crf']['iterations'] == 2
    assert '2 images in ' in capsys.readouterr().out

    with pytest.raises(ValueError, match="same_as names the class 'human', but the classifier's classes are aeroplane"):
        run_tool(monkeypatch, *given, '--out', tmp_path / 'other.json', '--same-as', 'ring=human')


@pytest.mark.parametrize('arguments, message', [
    (['a.py', 'a.pth', '--coco', 'b.json'], 'or --coco and --out'),
    (['a.py', 'a.pth', '--coco', 'b.json', '--out', 'c.json', '--out-dir', 'd'], 'or --coco and --out'),
    (['a.py', 'a.pth'], 'give --out-dir'),
    (['a.py', '--source', 'grabcut', '--coco', 'b.json', '--out', 'c.json'], '--coco needs CONFIG and CHECKPOINT'),
])
def test_arguments_that_do_not_go_together(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *arguments)
    assert message in capsys.readouterr().err

import json
import runpy
import sys
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic_coco import make_tiny_coco

TOOL = Path(__file__).parents[2] / 'tools/generate_labels.py'
CONFIG = """
_base_ = 'bap.py'
model = dict(bap_head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(type='bana_mm.VOCBoxDataset'))
"""


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['generate_labels.py', '--workers', '0', '--device', 'cpu', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_a_classifier_of_voc_labels_boxes_of_other_classes(work, save_untrained, monkeypatch, capsys):
    make_tiny_coco(work / 'coco', num_train=2)
    config = work / 'voc.py'
    config.write_text(CONFIG)
    boxes = work / 'coco/annotations/instances_train2017.json'
    given = [config, save_untrained(config), '--coco', boxes]

    run_tool(
        monkeypatch,
        *given,
        '--out',
        work / 'masks.json',
        '--same-as',
        'ring=person',
        '--cfg-options',
        'instance_recipe.unary.crf.iterations=2',
        'instance_recipe.side=32',
    )
    content = json.loads((work / 'masks.json').read_text())
    assert all(annotation['area'] > 0 for annotation in content['annotations'])
    record = content['pseudo_masks']
    assert record['unseen'] == ['triangle'] and record['recipe']['side'] == 32
    assert record['recipe']['unary']['crf']['iterations'] == 2
    assert '2 images in ' in capsys.readouterr().out

    with pytest.raises(ValueError, match="same_as names the class 'human', but the classifier's classes are aeroplane"):
        run_tool(monkeypatch, *given, '--out', work / 'other.json', '--same-as', 'ring=human')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['a.py', 'a.pth', '--coco', 'b.json'], 'or --coco and --out'),
        (['a.py', 'a.pth', '--coco', 'b.json', '--out', 'c.json', '--out-dir', 'd'], 'or --coco and --out'),
        (['a.py', 'a.pth'], 'give --out-dir'),
        (['a.py', '--source', 'grabcut', '--coco', 'b.json', '--out', 'c.json'], '--coco needs CONFIG and CHECKPOINT'),
    ],
)
def test_arguments_that_do_not_go_together(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *arguments)
    assert message in capsys.readouterr().err

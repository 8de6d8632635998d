import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.structures import decode_mask, read_label_png

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


def test_masks_of_a_source_without_a_network(work, monkeypatch, capsys):
    """Of a COCO file and of VOC's layout; what a store holds can be cut to masks."""
    root = make_tiny_coco(work / 'coco', num_train=2)
    boxes = root / 'annotations/instances_train2017.json'
    run_tool(monkeypatch, '--source', 'box', '--coco', boxes, '--out', work / 'box.json')
    content = json.loads((work / 'box.json').read_text())
    assert all(one['area'] == one['bbox'][2] * one['bbox'][3] for one in content['annotations'])
    run_tool(monkeypatch, '--source', 'box', '--coco', boxes, '--keep-masks', '--out', work / 'kept.json')
    kept, true = json.loads((work / 'kept.json').read_text()), json.loads(boxes.read_text())
    assert kept['pseudo_masks']['masks_used'] == len(true['annotations'])
    assert [one['segmentation'] for one in kept['annotations']] == [one['segmentation'] for one in true['annotations']]
    assert content['pseudo_masks']['source'] == dict(type='box')

    run_tool(monkeypatch, '--source', 'box', '--coco', boxes, '--out-dir', work / 'maps')
    images = {image['id']: image['file_name'] for image in content['images']}
    assert sorted(path.name for path in (work / 'maps/box').iterdir()) == sorted(
        name.replace('.jpg', '.png') for name in images.values()
    )
    run_tool(monkeypatch, '--source', f'files:{work / "maps/box"}', '--coco', boxes, '--out', work / 'files.json')
    cut = json.loads((work / 'files.json').read_text())
    classes = {category['id']: number for number, category in enumerate(content['categories'], 1)}
    for one, whole in zip(cut['annotations'], content['annotations'], strict=True):
        label = read_label_png(work / 'maps/box' / images[one['image_id']].replace('.jpg', '.png'))
        mask = decode_mask(one['segmentation'], label.shape)
        assert mask.any() and not (mask & ~decode_mask(whole['segmentation'], label.shape)).any()
        assert (label[mask] == classes[one['category_id']]).all() or one['score'] == 0

    capsys.readouterr()
    given = [work / 'bap.py', '--split', 'val']
    run_tool(monkeypatch, *given, '--source', 'box+grabcut', '--out', work / 'voc.json')
    voc = json.loads((work / 'voc.json').read_text())
    assert [image['img_id'] for image in voc['images']] == ['val_00000', 'val_00001']
    assert all(0 <= one['score'] <= 1 and one['area'] > 0 for one in voc['annotations'])
    assert '2 images in ' in capsys.readouterr().out


def test_masks_of_one_of_the_maps(work, monkeypatch):
    """bana_ret's are Y_ret, not Y_crf, and the file says so."""
    boxes = make_tiny_coco(work / 'coco', num_train=2) / 'annotations/instances_train2017.json'
    given = [work / 'bap.py', work / 'bap.pth', '--coco', boxes]
    quick = ['--cfg-options', 'instance_recipe.unary.crf.iterations=2', 'instance_recipe.side=32']
    files = {}
    for name in ('bana_crf', 'bana_ret'):
        run_tool(monkeypatch, *given, '--out', work / f'{name}.json', '--source', name, *quick)
        files[name] = json.loads((work / f'{name}.json').read_text())
        assert files[name]['pseudo_masks']['source']['type'] == name
    run_tool(monkeypatch, *given, '--out', work / 'classifier.json', *quick)
    both = json.loads((work / 'classifier.json').read_text())['annotations']
    crf, ret = (files[name]['annotations'] for name in ('bana_crf', 'bana_ret'))
    assert [one['segmentation'] for one in both] == [one['segmentation'] for one in crf]
    assert (
        [one['unreliable'] for one in both] == [one['unreliable'] for one in crf] == [one['unreliable'] for one in ret]
    )
    assert [one['segmentation'] for one in crf] != [one['segmentation'] for one in ret]
    for one, other in zip(crf, ret, strict=True):  # they differ where they are unreliable
        first, second, unreliable = (
            decode_mask(given, given['size'])
            for given in (one['segmentation'], other['segmentation'], one['unreliable'])
        )
        assert np.array_equal(first != second, unreliable) or np.array_equal(first, second)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['a.py', 'a.pth', '--coco', 'b.json'], 'give --out-dir for label maps, or --out for masks'),
        (
            ['a.py', 'a.pth', '--coco', 'b.json', '--out', 'c.json', '--out-dir', 'd'],
            'give --out-dir for label maps, or',
        ),
        (['a.py', 'a.pth'], 'give --out-dir'),
        (['--source', 'box', '--keep-masks', '--coco', 'b.json', '--out-dir', 'd'], '--keep-masks is for masks of'),
        (['--source', 'box', '--keep-masks', '--out', 'c.json'], '--keep-masks is for masks of'),
        (['a.py', '--coco', 'b.json', '--out', 'c.json'], 'give CONFIG and CHECKPOINT of a classifier, or --source'),
    ],
)
def test_arguments_that_do_not_go_together(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *arguments)
    assert message in capsys.readouterr().err

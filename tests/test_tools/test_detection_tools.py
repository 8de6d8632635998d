"""tools/train.py and tools/test.py on a Mask R-CNN of mmdet, with default_scope='mmdet'."""

import json
import pickle
import re
from pathlib import Path

import pytest


def test_train_and_test(run, tiny_detector, monkeypatch):
    monkeypatch.chdir(tiny_detector)
    run('train', 'tiny.py', '--work-dir', 'work')
    logged = [json.loads(line) for path in Path('work').glob('*/vis_data/scalars.json') for line in open(path)]
    assert sum('loss_mask' in entry for entry in logged) == 2 and 'coco/segm_mAP' in logged[-1]
    checkpoint = 'work/iter_2.pth'

    run('test', 'tiny.py', checkpoint, '--work-dir', 'tested', '--out', 'out.pkl', '--show-dir', 'shown')
    (scores,) = (json.loads(path.read_text()) for path in Path('tested').glob('*/*.json'))
    assert scores['coco/segm_mAP'] == logged[-1]['coco/segm_mAP']
    predictions = pickle.loads(Path('out.pkl').read_bytes())
    assert [sample['img_id'] for sample in predictions] == [0, 1, 2]
    assert all(len(sample['pred_instances']['masks']) > 0 for sample in predictions)
    assert sorted(path.name for path in Path('shown').iterdir()) == ['0.jpg', '1.jpg', '2.jpg']

    run('test', 'tiny.py', checkpoint, '--work-dir', 'formatted', '--format-only', '--out', 'sent/coco')
    results = json.loads(Path('sent/coco.segm.json').read_text())
    assert {result['category_id'] for result in results} <= {7, 9} and {r['image_id'] for r in results} == {0, 1, 2}

    run('predict', 'tiny.py', checkpoint, 'coco', '--min-score', '0', '--device', 'cpu', '--out-dir', 'found')
    found = json.loads(Path('found/instances.json').read_text())
    assert [Path(image['file_name']).stem for image in found['images']] == ['0', '1', '2']
    assert len(found['annotations']) == sum(len(sample['pred_instances']['masks']) for sample in predictions)
    (first, *_), told = predictions[0]['pred_instances']['masks'], found['annotations'][0]
    assert (told['category_id'], told['image_id'], told['segmentation']) == (
        int(predictions[0]['pred_instances']['labels'][0]) + 1, 1, dict(first, counts=first['counts'].decode()),
    )  # fmt: skip
    assert sorted(path.name for path in Path('found').glob('*.png')) == [f'{n}_overlay.png' for n in range(3)]

    run('analysis/report', 'work', '--device', 'cpu')
    text = Path('work/report.html').read_text()
    shown = set(re.findall('alt="(.*?) of ', text))
    assert shown == {'image', 'boxes', 'masks', 'reliable region', 'prediction'} and text.count('<article') == 3

    with pytest.raises(ValueError, match='iter_2.pth: checkpoint of another model than tiny.py: it lacks backbone'):
        run('test', 'tiny.py', checkpoint, '--cfg-options', 'model.backbone.depth=34')
    with pytest.raises(ValueError, match='model.roi_head.*num_classes=2, but the test set has 1 classes'):
        run('test', 'tiny.py', checkpoint, '--cfg-options', 'test_dataloader.dataset.metainfo.classes=[cat]')
    with pytest.raises(ValueError, match='--out x: the predictions of a detector go into one .pkl file'):
        run('test', 'tiny.py', checkpoint, '--out', 'x')

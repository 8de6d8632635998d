"""tools/evaluate_labels.py --coco: rows side by side, and what it refuses."""

import json
import sys
from importlib import util
from pathlib import Path

import pytest

from bana_mm.datasets.synthetic_coco import make_tiny_coco

TOOL = Path(__file__).parents[2] / 'tools/evaluate_labels.py'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    spec = util.spec_from_file_location('evaluate_labels', TOOL)
    tool = util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def runner(*arguments):
        monkeypatch.setattr(sys, 'argv', ['evaluate_labels.py', *map(str, arguments)])
        tool.main()
        return capsys.readouterr().out

    return runner


def test_files_and_sources_side_by_side(run, tmp_path):
    root = make_tiny_coco(tmp_path / 'coco', num_train=3, num_val=1)
    ground_truth = root / 'annotations/instances_train2017.json'
    content = json.loads(ground_truth.read_text())
    (tmp_path / 'exact.json').write_text(json.dumps(content))
    for annotation in content['annotations'][1:]:
        annotation['segmentation'] = None
    (tmp_path / 'first.json').write_text(json.dumps(content))
    output = run(
        '--coco',
        tmp_path / 'exact.json',
        tmp_path / 'first.json',
        '--gt',
        ground_truth,
        '--sources',
        'box',
        '--img-dir',
        root / 'train2017',
        '--json',
        tmp_path / 'figures.json',
    )
    rows = json.loads((tmp_path / 'figures.json').read_text())['rows']
    number = len(content['annotations'])
    assert rows['exact']['AP'] == rows['exact']['mIoU'] == 100
    assert rows['first']['mIoU'] == pytest.approx(100 / number, abs=1e-3)
    assert rows['first']['without_mask'] == number - 1
    assert 30 < rows['box']['mIoU'] < 80  # objects fill 40 to 65 % of their boxes, less where others cover them
    assert f'{number} instances in 3 images' in output and 'ranked by area' in output
    assert ['exact', 'first', 'box'] in [line.split() for line in output.splitlines()]

    # Labels of some of the images.
    content['images'] = content['images'][:1]
    content['annotations'] = content['annotations'][:1]
    (tmp_path / 'one.json').write_text(json.dumps(content))
    run('--coco', tmp_path / 'one.json', '--gt', ground_truth, '--json', tmp_path / 'figures.json')
    assert json.loads((tmp_path / 'figures.json').read_text())['images'] == 1
    with pytest.raises(ValueError, match='exact.json: has other images than .*one.json'):
        run('--coco', tmp_path / 'one.json', tmp_path / 'exact.json', '--gt', ground_truth)
    with pytest.raises(ValueError, match='labels have no score; rank them by area'):
        run('--coco', tmp_path / 'one.json', '--gt', ground_truth, '--rank', 'score')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--coco'], 'nothing to evaluate'),
        (['--coco', '--sources', 'box'], '--coco with --sources needs --img-dir'),
        (['labels', '--gt', 'masks'], '--split is missing'),
    ],
)
def test_arguments_that_do_not_fit(run, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(*arguments, '--gt', 'true.json')
    assert message in capsys.readouterr().err

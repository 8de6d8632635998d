"""A row of Table 1, from the commands of its reproduction to its figures in the tables."""

from pathlib import Path

import pytest

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.pipeline.reproduction import Reproduction
from bana_mm.pipeline.work_dirs import find_scores, match


def test_a_row_without_a_network(run, tmp_path, monkeypatch):
    root = make_tiny_voc(tmp_path / 'voc')
    for path in (root / 'Annotations').glob('*.xml'):
        path.write_text(path.read_text().replace('>ring<', '>aeroplane<').replace('>triangle<', '>bicycle<'))
    monkeypatch.setenv('VOC_ROOT', str(root))
    monkeypatch.chdir(tmp_path)
    reproduction = Reproduction('voc', [1])
    row = next(row for row in reproduction.rows if row.title == 'Table 1: Box')
    for step in row.steps:
        assert not step.is_done()
        tool, *arguments = step.command
        run(tool.removesuffix('.py'), *arguments)
    assert all(step.is_done() for step in row.steps)
    numbers = dict(zip(reproduction.experiments['Datasets'], (6, 2)))  # images for training and validation
    figures, left_out = match({**reproduction.experiments, 'Datasets': numbers}, find_scores(Path('work_dirs')))
    assert left_out == []
    train, val = 'PASCAL VOC 2012 train_aug', 'PASCAL VOC 2012 val'
    assert set(figures) == {('bap_vgg16_voc', split, 'mIoU box') for split in (train, val)}
    value, path = figures['bap_vgg16_voc', val, 'mIoU box']
    assert path == Path('work_dirs/bap_vgg16_voc/box_val.json') and 50 < value < 100
    assert value != pytest.approx(figures['bap_vgg16_voc', train, 'mIoU box'][0])

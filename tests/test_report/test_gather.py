import json
import os

import pytest

from bana_mm.report.gather import find_all, read_training
from bana_mm.structures import LabelStore


def write_lines(path, lines):
    path.parent.mkdir(parents=True)
    path.write_text(''.join(f'{line if isinstance(line, str) else json.dumps(line)}\n' for line in lines))


def train_line(step, loss, time=0.5):
    return {'loss': loss, 'lr': 0.1, 'time': time, 'data_time': 0.1, 'iter': step, 'step': step}


@pytest.fixture
def root(tmp_path):
    """A training that was killed after its third line and went on from step 20, and its test."""
    first = [train_line(10, 4.0), train_line(20, 3.0), train_line(30, 2.9), '{"loss": 2.8, "st']
    second = [train_line(30, 2.0, 1.0), dict(mIoU=41.5, time=9.0, data_time=1.0, step=30), train_line(40, 1.0)]
    write_lines(tmp_path / 'nal/20260101_000000/vis_data/scalars.json', first)
    write_lines(tmp_path / 'nal/20260102_000000/vis_data/scalars.json', second)
    write_lines(tmp_path / 'nal/test/20260103_000000/vis_data/scalars.json', [dict(mIoU=50.0, step=0)])
    test = tmp_path / 'nal/test/20260103_000000/20260103_000000.json'
    test.write_text(json.dumps(dict(mIoU=50.25, mIoU_crf=51.0)))
    return tmp_path


def test_curves_of_a_training_that_went_on(root):
    training = read_training(root / 'nal', 'nal')
    assert training.series['loss'] == [(10, 4.0), (20, 3.0), (30, 2.0), (40, 1.0)]
    assert training.series['mIoU'] == [(30, 41.5)] and training.series['val_time'] == [(30, 9.0)]
    assert training.seconds == 10 * 0.5 + 10 * 0.5 + 10 * 1.0 + 10 * 0.5
    assert training.scores == dict(mIoU=50.25, mIoU_crf=51.0)
    assert training.cfg is None and training.checkpoint is None and training.predictions is None


def test_everything_below_a_folder(root):
    store = LabelStore(root / 'labels', ['grabcut'])
    store.begin(dict(classes=['cat']))
    (root / 'labels/val.json').write_text(json.dumps(dict(images=2, rows=dict(grabcut=dict(mIoU=70.0)))))
    (root / 'labels/both.json').write_text(
        json.dumps(dict(splits=[dict(split='a/train.txt', rows={}), dict(split='a/test.txt', rows={})]))
    )
    (root / 'rates').mkdir()
    (root / 'rates/filling_rates.json').write_text(json.dumps(dict(labels=dict(box=1))))
    findings = find_all(root)
    assert [one.name for one in findings.trainings] == ['nal'] and [one.name for one in findings.labels] == ['labels']
    assert list(findings.labels[0].evaluations) == ['test', 'train', 'val'] or set(findings.labels[0].evaluations) == {
        'test',
        'train',
        'val',
    }
    assert findings.labels[0].evaluations['val']['rows']['grabcut'] == dict(mIoU=70.0)
    assert findings.labels[0].seconds is None and findings.filling_rates == dict(box=1)
    first = root / 'labels/grabcut/a.png'
    first.write_bytes(b'')
    begun = (root / 'labels/meta.json').stat().st_mtime
    os.utime(first, (begun + 90, begun + 90))
    assert find_all(root).labels[0].seconds == pytest.approx(90)
    assert [one.name for one in find_all(root / 'nal').trainings] == ['nal']
    (root / 'short').mkdir()
    (root / 'short/iter_2.pth').write_bytes(b'')
    (root / 'short/last_checkpoint').write_text('iter_2.pth')  # without scalars
    short, nal = find_all(root).trainings
    assert (short.name, short.series, short.seconds) == ('short', {}, None) and nal.name == 'nal'
    assert short.checkpoint == root / 'short/iter_2.pth'


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone: there is no such work directory'):
        find_all(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='holds neither a training .* nor labels'):
        find_all(tmp_path)
    assert read_training(tmp_path, 'x') is None

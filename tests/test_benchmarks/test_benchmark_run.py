"""The benchmarks' own arithmetic, and one run of the tool."""

import json
import time

import numpy as np
import pytest
import torch

from benchmarks import run
from benchmarks.harness import Candidate, Options, Row, SkipItem, compare, extra_memory, in_child, take_turns
from benchmarks.items import crf, nal
from benchmarks.synthetic import photographs, voc_folder


def allocate(megabytes):
    """Inputs of 30 MB, and a function that needs so many megabytes for a moment."""
    inputs = np.ones(30 * 2**20, np.uint8)
    return lambda: int(np.ones(megabytes * 2**20, np.uint8)[0]) + int(inputs[0])


def test_ratio_is_how_many_times_as_fast():
    row = Row('it', 0.05, 'other', 0.2, '>= 4', [5_000_000, 20_000_000], 'so')
    assert row.cells() == ['it', '50 ms', 'other', '0.2 s', '4 x', '>= 4', '5 / 20 MB', 'so']
    assert row.to_dict()['ratio'] == 4
    assert Row('it', 1.0, 'other', 1.0).cells()[-2] == ''


def test_turns_and_shortest_times():
    calls = []
    naps = dict(a=iter([0.03, 0.01, 0.02]), b=iter([0.001, 0.03, 0.03]))

    def nap(name):
        calls.append(name)
        time.sleep(next(naps[name]))

    times = take_turns([lambda: nap('a'), lambda: nap('b')], Options(repeats=2))
    assert calls == list('ababab')
    assert 0.01 <= times[0] < 0.02 and 0.001 <= times[1] < 0.01


def test_long_rounds_are_not_repeated(monkeypatch):
    monkeypatch.setattr('benchmarks.harness.PATIENCE', 0.0)
    calls = []
    take_turns([lambda: calls.append(0)], Options(repeats=5))
    assert len(calls) == 1


def test_memory_beyond_the_inputs():
    found = extra_memory(Candidate(allocate, (50,)), 'cpu')
    if found is None:
        pytest.skip('memory is measured on Linux only')
    assert found == pytest.approx(50 * 2**20, rel=0.2)


def test_an_error_in_a_child_comes_back():
    with pytest.raises(ZeroDivisionError):
        in_child(divmod, 1, 0)


def test_compare_in_quick_mode():
    row = compare(
        Options(quick=True, repeats=1),
        'NAL',
        Candidate(nal.make, ('nal', (1, 3, 5, 5), 'cpu')),
        'CE',
        Candidate(nal.make, ('cross entropy', (1, 3, 5, 5), 'cpu')),
    )
    assert row.memory == [None, None] and row.ours > 0 and row.theirs > 0


def test_agreement_by_hand():
    ours = torch.tensor([[[0.6, 0.4, 0.6, 0.6]], [[0.4, 0.6, 0.4, 0.4]]])
    theirs = torch.tensor([[[0.5, 0.6, 0.7, 0.6]], [[0.4, 0.4, 0.3, 0.4]]])
    assert crf.agreement(ours, theirs) == 'same label 75.0000 %, posterior within 2e-01'


def test_unreadable_photograph_is_named(tmp_path):
    with pytest.raises(SystemExit, match='gone.jpg: not an image'):
        photographs(Options(images=[str(tmp_path / 'gone.jpg')]))


def test_synthetic_data_set_can_be_read(tmp_path):
    dataset_module = pytest.importorskip('bana_mm.datasets.voc_box')
    voc_folder(tmp_path / 'voc', 3, 60, 80)
    dataset = dataset_module.VOCBoxDataset('ImageSets/Segmentation/train_aug.txt', str(tmp_path / 'voc'))
    assert len(dataset) == 3 and all(1 <= len(item['instances']) <= 3 for item in dataset)


def test_run_prints_and_stores_rows_and_reasons(monkeypatch, tmp_path, capsys):

    def left_out(options):
        raise SkipItem('no such package')

    monkeypatch.setattr('benchmarks.items.crf.rows', left_out)
    run.main(
        [
            '--items',
            'bap',
            'crf',
            'nal',
            '--quick',
            '--repeats',
            '0',
            '--threads',
            '1',
            '--markdown',
            '--json',
            str(tmp_path / 'out.json'),
        ]
    )
    report = json.loads((tmp_path / 'out.json').read_text())
    assert {row['item'].split(',')[0] for row in report['rows']} == {'BAP', 'NAL'}
    assert report['skipped'] == dict(crf='no such package') and report['machine']['torch'] == torch.__version__
    printed = capsys.readouterr().out
    assert 'crf left out: no such package' in printed and '| NAL |' in printed


def test_what_was_measured_survives_an_error(monkeypatch, tmp_path):

    def fails(options):
        yield Row('first', 1.0, 'other', 2.0)
        raise MemoryError

    monkeypatch.setattr('benchmarks.items.nal.rows', fails)
    with pytest.raises(MemoryError):
        run.main(['--items', 'nal', '--json', str(tmp_path / 'out.json')])
    assert [row['item'] for row in json.loads((tmp_path / 'out.json').read_text())['rows']] == ['first']

"""Options go from a command line to what does the work, and back to the command line of another tool."""

import argparse
import os

import pytest
import torch

from bana_mm.utils import run_options
from bana_mm.utils.run_options import RunOptions, add_run_options, usable_cores


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Six cores and no GPU."""
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)


def parse(*argv, **settings):
    parser = argparse.ArgumentParser()
    add_run_options(parser, **settings)
    return RunOptions.from_args(parser.parse_args(list(argv)))


def test_defaults():
    assert RunOptions() == RunOptions(workers=0, loading_workers=None, batch_size=1, device='cpu')
    assert parse() == RunOptions(workers=6, loading_workers=None, batch_size=1, device='cpu')
    assert parse(workers=0).workers == 0  # a tool in which processes seldom pay
    assert parse(fields=('device',)) == RunOptions()


def test_command_line_and_back():
    options = parse('--workers', '3', '--loading-workers', '0', '--batch-size', '4', '--device', 'cuda:1')
    assert options == RunOptions(3, 0, 4, 'cuda:1')
    assert parse(*options.arguments()) == options
    patient = parse('--time-limit', '7.5')
    assert patient.time_limit == 7.5 and parse(*patient.arguments()) == patient
    assert parse().time_limit == 600 and parse('--time-limit', '0').time_limit == 0
    assert RunOptions(2).arguments() == ['--workers', '2', '--batch-size', '1', '--device', 'cpu']


def test_a_gpu_is_taken_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert parse().device == 'cuda' and parse('--device', 'cpu').device == 'cpu'
    assert parse(fields=('workers',)).device == 'cpu'  # the tool runs no network


def test_loading_workers_of_the_config():
    cfg = dict(test_dataloader=dict(num_workers=5))
    assert RunOptions(1).for_config(cfg) == RunOptions(1, 5)
    assert RunOptions(loading_workers=0).for_config(cfg).loading_workers == 0
    assert RunOptions().for_config({}).loading_workers == 0


@pytest.mark.parametrize('wrong', [dict(workers=-1), dict(loading_workers=-2), dict(batch_size=0)])
def test_too_small(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f'{name} must be at least {int(name == "batch_size")}, got {value}'):
        RunOptions(**wrong)


def test_help_names_the_defaults(capsys):
    with pytest.raises(SystemExit):
        parse('--help')
    text = ' '.join(capsys.readouterr().out.split())
    assert 'one for each core, here 6' in text and 'sees at once (default: 1)' in text
    with pytest.raises(SystemExit):
        parse('--help', workers=0)
    assert '0 for none (default: 0)' in ' '.join(capsys.readouterr().out.split())


def test_ranks_share_the_cores(monkeypatch):
    assert usable_cores() == 6
    for ranks, cores in (('4', 1), ('2', 3), ('8', 1)):
        monkeypatch.setenv('LOCAL_WORLD_SIZE', ranks)
        assert usable_cores() == cores
    monkeypatch.delenv('LOCAL_WORLD_SIZE')
    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert run_options.usable_cores() == 1

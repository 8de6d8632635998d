"""The tables in the README are those that the tool makes, and every config is in them."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

from bana_mm.utils.metafile import description, model_entry
from bana_mm.utils.result_tables import BEGIN, END, read_yaml

ROOT = Path(__file__).parents[2]
BANA = ROOT / 'configs' / 'bana'
ADDONS = ROOT / 'configs' / 'addons'


@pytest.fixture
def results_table(monkeypatch, capsys):
    """Run the tool in this process; returns what it prints."""
    spec = importlib.util.spec_from_file_location('results_table', ROOT / 'tools' / 'analysis' / 'results_table.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['results_table.py', *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize('own', [BANA, ADDONS], ids=lambda path: path.name)
def test_readme_and_metafile_are_up_to_date(results_table, tmp_path, own):
    folder = tmp_path / 'configs' / own.name
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    printed = results_table('--configs', folder, '--write')
    way_out = f'run `python tools/analysis/results_table.py --configs configs/{own.name} --write`'
    for name in ('README.md', 'metafile.yml'):
        assert (folder / name).read_text() == (own / name).read_text(), f'{name} is not up to date: {way_out}'
    between = (own / 'README.md').read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert between in printed
    names = {path.stem for path in own.glob('*.py')}
    assert {name for name in names if f'({name}.py)' in between} == names
    assert {model['Name'] for model in read_yaml(own / 'metafile.yml')['Models']} == names
    assert f'configs/{own.name}/metafile.yml' in read_yaml(ROOT / 'model-index.yml')['Import']


def test_every_config_says_what_it_is():
    assert [path.name for own in (BANA, ADDONS) for path in own.glob('*.py') if not description(path)] == []


def test_reproductions_say_which_row_they_are():
    """The first line of a config names its tables and rows' (first) published figures."""
    for row in (row for table in read_yaml(ADDONS / 'experiments.yml')['Tables'] for row in table['Rows']):
        line = (ADDONS / f'{row["Config"]}.py').read_text().splitlines()[0]
        assert all(str(value) in line for value in row.get('Paper', ())), (row['Config'], line)
    checked = 0
    for table in read_yaml(BANA / 'experiments.yml')['Tables']:
        number = table['Title'].split()[1].rstrip(':')
        for row in table['Rows']:
            published = [value for value in row.get('Paper') or row.get('Reproduction') or () if value is not None]
            line = (BANA / f'{row["Config"]}.py').read_text().splitlines()[0]
            if 'Run' in row or not published:
                continue
            assert re.search(rf'Tables? {number}\b', line) and str(published[0]) in line, (row['Config'], line)
            checked += 1
    assert checked > 25


def test_published_figures():
    """Some that no test would miss otherwise, read in the paper's tables."""
    rows = {
        (table['Title'][:7], row['Method']): row
        for table in read_yaml(BANA / 'experiments.yml')['Tables']
        for row in table['Rows']
    }
    assert rows['Table 1', 'BAP: Y_crf']['Paper'] == [78.7, 79.2]
    assert rows['Table 3', 'L_wce (NAL)']['Paper'] == [62.4, None, 68.1]
    assert rows['Table 5', 'NAL, from COCO, 1,464 masks']['Paper'][2:] == [78.7, 79.4]
    assert rows['Table 6', 'COCO-to-COCO']['Paper'] == [22.2, 47.1, 18.7, 11.2, 22.1, 31.4]


def test_work_dirs(results_table, tmp_path):
    """A figure from a work directory goes into metafile and README; a config without an entry is listed."""
    folder, work_dirs = tmp_path / 'configs' / 'x', tmp_path / 'work_dirs'
    folder.mkdir(parents=True)
    (folder / 'a.py').write_text(
        "# What a is. More.\nmodel = dict(type='EncoderDecoder')\ntrain_cfg = dict(max_iters=7)\n"
        'auto_scale_lr = dict(base_batch_size=2)\n'
        f"test_dataloader = dict(dataset=dict(data_root={str(tmp_path)!r}, ann_file='val.txt'))\n"
    )
    (folder / 'experiments.yml').write_text(
        'Datasets: {V: 2}\nTables: [{Title: T, Figures: [{Name: n, Dataset: V, Metric: mIoU, Score: mIoU}], '
        'Rows: [{Method: M, Config: a, Paper: [1.5]}]}]\n'
    )
    (folder / 'metafile.yml').write_text('# kept\nCollections: [{Name: C}]\n')
    (folder / 'README.md').write_text(f'top\n{BEGIN}\n{END}\n')
    (tmp_path / 'val.txt').write_text('1\n2\n')
    stamp = work_dirs / 'a' / '20260101_000000'
    stamp.mkdir(parents=True)
    (stamp / '20260101_000000.json').write_text('{"mIoU": 12.345}')
    shutil.copy(folder / 'a.py', work_dirs / 'a')

    before = (folder / 'README.md').read_text()
    printed = results_table('--configs', folder, '--work-dirs', work_dirs)
    assert 'a: mIoU on V = 12.3' in printed and '| M | [a](a.py) | 1.5 | 12.3 |' in printed
    assert (folder / 'README.md').read_text() == before
    results_table('--configs', folder, '--work-dirs', work_dirs, '--write')
    assert '| M | [a](a.py) | 1.5 | 12.3 |' in (folder / 'README.md').read_text()
    text = (folder / 'metafile.yml').read_text()
    assert text.startswith('# kept\n')
    (entry,) = read_yaml(folder / 'metafile.yml')['Models']
    assert entry['Results'] == [dict(Task='Semantic Segmentation', Dataset='V', Metrics=dict(mIoU=12.3))]
    assert entry['Metadata'] == {'Training Data': 'PASCAL VOC 2012 + SBD', 'Batch Size': 2, 'Iterations': 7}
    assert entry['Config'] == 'configs/x/a.py' and description(folder / 'a.py') == 'What a is'
    results_table('--configs', folder, '--write')  # nothing new: the figure stays
    assert (folder / 'metafile.yml').read_text() == text
    with pytest.raises(FileNotFoundError, match='--work-dirs .*nowhere is not a folder'):
        results_table('--configs', folder, '--work-dirs', tmp_path / 'nowhere')


def test_epochs_and_coco():
    entry = model_entry(BANA / 'mask-rcnn_r101_fpn_coco2coco.py', ROOT, 'BANA')
    assert entry['Metadata'] == {'Training Data': 'COCO 2017', 'Batch Size': 16, 'Epochs': 12}
    entry = model_entry(BANA / 'deeplabv2_r101_cocoinit_voc.py', ROOT, 'BANA')
    assert entry['Metadata'] == {'Training Data': 'PASCAL VOC 2012 + SBD', 'Batch Size': 10, 'Iterations': 20000}

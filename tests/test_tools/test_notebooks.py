"""The notebooks run as they are."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / 'demo').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings('ignore:FigureCanvasAgg is non-interactive')
def test_notebook(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    content = json.loads(path.read_text(encoding='utf-8'))
    cells = [''.join(cell['source']) for cell in content['cells'] if cell['cell_type'] == 'code']
    namespace = dict(__name__='__main__')
    for number, cell in enumerate(cells):
        exec(compile(cell, f'{path.name}, cell {number}', 'exec'), namespace)
    assert all(cell['outputs'] == [] for cell in content['cells'] if cell['cell_type'] == 'code')  # none committed
    output = capsys.readouterr().out
    assert "('ball', 'tent') (160, 240) [0 1 2]" in output and 'shapes True' in output
    ball, tent = namespace['result'].masks
    y, x = (*map(int, ball.nonzero()[0][[0, -1]]),), (ball.any(axis=0).nonzero()[0][[0, -1]])
    assert abs(ball.sum() - 5027) < 150 and y[0] <= 32 and x[0] <= 32  # a disc of 40 pixels
    assert abs(tent.sum() - 4500) < 250  # half of 90 x 100


def test_there_are_some():
    assert NOTEBOOKS

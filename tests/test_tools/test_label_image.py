import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bana_mm.__main__ import main
from bana_mm.structures import read_label_png


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.full((20, 30, 3), (0, 120, 0), np.uint8)
    pixels[5:15, 10:20] = (250, 0, 0)
    Image.fromarray(pixels).save('square.png')
    return tmp_path


def test_mask_and_overlay(image, monkeypatch, capsys):
    boxes = ['9,4,21,16,square', '0,0,3,2,dot']
    monkeypatch.setattr(
        sys, 'argv', ['bana_mm', 'label_image', 'square.png', '--boxes', *boxes, '--save', 'coco', 'yolo']
    )
    main()
    output, done = capsys.readouterr()
    assert 'square: 100 pixels, score 1.00\ndot: 6 pixels' in output
    label = read_label_png('outputs/square.png')
    expected = np.zeros((20, 30), np.uint8)
    expected[5:15, 10:20], expected[:2, :3] = 1, 2
    assert np.array_equal(label, expected)
    overlay = np.asarray(Image.open('outputs/square_overlay.png'))
    assert overlay.shape == (20, 30, 3) and overlay[10, 15, 0] > overlay[10, 15, 1]
    assert json.loads(Path('outputs/square_coco.json').read_text())['annotations'][0]['area'] == 100
    assert len(Path('outputs/square.txt').read_text().splitlines()) == 2
    assert ': 2 boxes by grabcut -> outputs/square.png, ' in done
    assert all(str(path) in done for path in Path('outputs').iterdir())


def test_boxes_file_and_classes(image, run):
    Path('boxes.txt').write_text('# x1,y1,x2,y2,class\n\n9, 4, 21, 16, 3\n')
    options = ['--classes', 'a', 'b', 'c', '--source', 'box', '--out-dir', 'there/deep']
    run('label_image', 'square.png', '--boxes-file', 'boxes.txt', *options)
    assert (read_label_png('there/deep/square.png') == 3).sum() == 144


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--boxes', '1,2,3,cat'], "--boxes: '1,2,3,cat' is not X1,Y1,X2,Y2,CLASS"),
        (['--boxes', '1,2,3,4,'], "--boxes: '1,2,3,4,' has no class"),
        (['--boxes-file', 'bad.txt'], "bad.txt, line 2: 'a,b,c,d,e' is not"),
        (['--boxes', '31,2,40,4,cat'], 'square.png: box 0 (31, 2, 40, 4): lies outside the image of 30 x 20'),
        (['--boxes', '1,2,3,4,cat', '--classes', 'dog'], "there is no class 'cat'; the classes are dog"),
        (['--boxes', '1,2,3,4,cat', '--source', 'magic'], "no label source is called 'magic'"),
    ],
)
def test_wrong_arguments(image, run, arguments, message):
    Path('bad.txt').write_text('1,2,3,4,cat\na,b,c,d,e\n')
    with pytest.raises(SystemExit) as error:
        run('label_image', 'square.png', *arguments)
    assert message in str(error.value) and not Path('outputs').exists()

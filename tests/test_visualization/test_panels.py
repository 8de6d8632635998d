import numpy as np
import pytest

from bana_mm.visualization import draw_boxes, heat_map, label_overlay, panel_row, render_panels
from bana_mm.visualization.panels import GAP, STRIP


@pytest.fixture
def image():
    return np.full((20, 30, 3), 100, np.uint8)


def test_label_overlay_colours(image):
    label = np.zeros((20, 30), np.uint8)
    label[0, 0], label[0, 1], label[0, 2] = 1, 2, 255
    drawn = label_overlay(image, label, opacity=0.5)
    assert drawn[0, 0].tolist() == [114, 50, 50]  # (100 + (128, 0, 0)) / 2
    assert drawn[0, 1].tolist() == [50, 114, 50]
    assert drawn[0, 2].tolist() == [178, 178, 178]  # halves are rounded to even
    assert drawn[5, 5].tolist() == [60, 60, 60]


def test_heat_map_ends_and_clipping(image):
    values = np.zeros((20, 30))
    values[0], values[1], values[2] = 1, 7, -3
    drawn = heat_map(image, values, opacity=1).astype(int)
    assert drawn[0, 0, 0] > 200 and drawn[0, 0, 2] < 60  # yellow
    assert drawn[5, 0, 2] > 60 and drawn[5, 0, 1] < 20  # violet
    assert (drawn[1] == drawn[0]).all() and (drawn[2] == drawn[5]).all()


def test_draw_boxes_half_open(image):
    drawn = draw_boxes(image, np.array([[2.0, 3.0, 12.0, 15.0]]), [3])
    changed = np.nonzero((drawn != 100).any(-1))
    assert (changed[1].min(), changed[0].min(), changed[1].max(), changed[0].max()) == (2, 3, 11, 14)
    assert drawn[4, 3].tolist() == [128, 128, 0] and drawn[3, 2].tolist() == [0, 0, 0]
    assert (image == 100).all()
    double = draw_boxes(np.full((40, 60, 3), 100, np.uint8), np.array([[2.0, 3.0, 12.0, 15.0]]), [3], scale=2)
    changed = np.nonzero((double != 100).any(-1))
    assert (changed[1].min(), changed[0].min(), changed[1].max(), changed[0].max()) == (4, 6, 23, 29)


def test_draw_boxes_none_and_tiny(image):
    assert (draw_boxes(image, np.zeros((0, 4)), []) == image).all()
    assert (draw_boxes(image, np.array([[4.0, 4.0, 5.0, 5.0]]), [1]) != image).any()


def test_panel_row_places_cells():
    cells = dict(a=np.full((50, 40, 3), 10, np.uint8), b=np.full((50, 40, 3), 20, np.uint8))
    row = panel_row(cells)
    assert row.shape == (STRIP + 50 + GAP, 2 * (40 + GAP) + GAP, 3)
    assert (row[STRIP : STRIP + 50, GAP : GAP + 40] == 10).all()
    assert (row[STRIP : STRIP + 50, 2 * GAP + 40 : 2 * (GAP + 40)] == 20).all()
    assert (row[:STRIP] < 100).any()  # captions
    long = panel_row({'a caption far wider than the picture': cells['a'], 'b': cells['b']})
    assert long.shape[1] > row.shape[1]


def test_panel_row_errors():
    with pytest.raises(ValueError, match='one size'):
        panel_row({})
    with pytest.raises(ValueError, match='one size'):
        panel_row(dict(a=np.zeros((4, 4, 3), np.uint8), b=np.zeros((4, 5, 3), np.uint8)))


def test_render_panels_columns_and_agreement(image):
    crf, ret = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    crf[:10], ret[:5] = 1, 1
    full = dict(
        boxes=np.array([[0.0, 0.0, 30.0, 10.0]]),
        labels=[1],
        attention=np.zeros((20, 30)),
        cam=np.zeros((20, 30)),
        y_crf=crf,
        y_ret=ret,
        predictions=dict(NAL=crf),
        ground_truth=crf,
    )
    step = 300 + GAP
    wide = render_panels(image, ['cat'], **full, height=200)
    assert wide.shape == (STRIP + 200 + STRIP, 9 * step + GAP, 3)
    agreement = wide[STRIP : STRIP + 200, GAP + 6 * step : GAP + 6 * step + 300]
    bright = agreement.min(axis=-1) > 150
    assert bright[60:90].all() and not bright[:40].any() and not bright[110:].any()  # they differ in rows 5..9 of 20
    narrow = render_panels(image, ['cat'], y_crf=crf, height=200)
    assert narrow.shape[1] == 2 * step + GAP
    full['ground_truth'] = crf[:, :-1]
    with pytest.raises(ValueError, match=r'label has shape \(20, 29\)'):
        render_panels(image, ['cat'], **full)

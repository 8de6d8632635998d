import cv2
import numpy as np
import pytest
import torch

from bana_mm.evaluation import ConfusionMatrix
from bana_mm.functional import dense_crf
from bana_mm.labels.crf import LabelTask
from bana_mm.search import crf_search
from bana_mm.search.crf_inputs import label_crf_input, write_crf_input
from bana_mm.search.crf_search import CRFPoint, SearchTable, StoredImage, grid, search_crf
from bana_mm.structures import BoxLayout, read_label_png, write_label_png

CLASSES = ('cat', 'cow')
GRID = grid(
    dict(
        bilateral_weight=(2, 4),
        bilateral_xy=(3.0,),
        bilateral_rgb=(5.0, 40.0),
        gaussian_weight=(1,),
        gaussian_xy=(1.0,),
        iterations=(0, 3),
        temperature=(1.0, 0.5),
    )
)
PLANTED = CRFPoint(4, 3.0, 40.0, 1, 1.0, 3, 0.5)


def make_images(folder, number=3):
    """Soft random images and unaries; the mask of each is what the planted point makes of them."""
    rng = np.random.default_rng(0)
    images = []
    for index in range(number):
        image = cv2.GaussianBlur(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8), (5, 5), 0)
        scores = 4 * cv2.GaussianBlur(rng.standard_normal((20, 24, 3)), (5, 5), 0)
        probability = torch.from_numpy(scores).permute(2, 0, 1).softmax(dim=0).float().numpy()
        paths = folder / f'{index}.pkl', folder / f'{index}.png'
        write_crf_input(paths[0], (image, probability))
        write_label_png(paths[1], label_crf_input(paths[0], PLANTED.crf, PLANTED.temperature))
        images.append(StoredImage(str(index), *paths))
    return images


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp('inputs'))


@pytest.fixture(scope='module')
def reference(images, tmp_path_factory):
    table = SearchTable(tmp_path_factory.mktemp('search') / 'search.csv', CLASSES)
    search_crf(GRID, images, table)
    return table


def test_grid_holds_every_combination_once():
    assert len(GRID) == 16 and GRID[0] == (2, 3, 5, 1, 1, 0, 1) and GRID[-1] == (4, 3, 40, 1, 1, 3, 0.5)
    values = {name: [value] for name, value in PLANTED._asdict().items()}
    assert grid({**values, 'bilateral_weight': [4, 4.0]}) == [PLANTED]
    for name, value, bound in (
        ('bilateral_rgb', 0.0, 'above 0'),
        ('gaussian_weight', -1, 'at least 0'),
        ('temperature', 0.0, 'above 0'),
        ('iterations', -1, 'at least 0'),
    ):
        with pytest.raises(ValueError, match=f'{name} must be finite and {bound}, got {value}'):
            grid({**values, name: [value]})


def test_finds_the_planted_optimum(reference):
    ranking = reference.ranking()
    assert ranking[0] == PLANTED and reference.mean_iou(PLANTED) == 100
    assert reference.mean_iou(ranking[1]) < 100
    assert len(ranking) == len(GRID)


def test_same_as_a_plain_loop(images, reference):
    for point in GRID:
        confusion = ConfusionMatrix(len(CLASSES))
        for image in images:
            pixels, probability = crf_search_input(image)
            tempered = torch.from_numpy(probability).log().div(point.temperature).softmax(dim=0).numpy()
            posterior = dense_crf(
                pixels,
                tempered,
                (point.bilateral_weight, point.bilateral_xy, point.bilateral_rgb),
                (point.gaussian_weight, point.gaussian_xy),
                point.iterations,
            )
            confusion.update(read_label_png(image.ground_truth_path), posterior.argmax(0).astype(np.uint8))
        assert reference.mean_iou(point) == pytest.approx(100 * confusion.mean_iou(), abs=1e-9)
        assert reference.mean_iou(point, [0, 2]) == pytest.approx(100 * confusion.mean_iou([0, 2]), abs=1e-9)


def crf_search_input(image):
    import pickle

    pixels, probability = pickle.loads(image.input_path.read_bytes())
    return pixels, probability.astype(np.float32)


@pytest.mark.parametrize('workers', [0, 1])
def test_order_and_workers_do_not_matter(images, reference, tmp_path, workers):
    table = SearchTable(tmp_path / 'search.csv', CLASSES)
    search_crf(GRID[::-1][:6], images[::-1], table, workers)
    for point, iou in table.rows.items():
        assert np.array_equal(iou, reference.rows[point])
    assert table.ranking() == reference.ranking(GRID[::-1][:6])


def test_goes_on_where_it_stopped(images, reference, tmp_path, monkeypatch):
    calls = []

    def label(*args):
        if len(calls) == 8:  # in the middle of the third point
            raise KeyboardInterrupt
        calls.append(args)
        return label_crf_input(*args)

    monkeypatch.setattr(crf_search, 'label_crf_input', label)
    with pytest.raises(KeyboardInterrupt):
        search_crf(GRID, images, SearchTable(tmp_path / 'search.csv', CLASSES))
    table = SearchTable(tmp_path / 'search.csv', CLASSES)
    assert list(table.rows) == GRID[:2]
    calls.clear()
    search_crf(GRID[:4], images, table)
    assert len(calls) == 2 * len(images)
    table = SearchTable(tmp_path / 'search.csv', CLASSES)
    assert list(table.rows) == GRID[:4]
    for point, iou in table.rows.items():  # read back to the last digit
        assert np.array_equal(iou, reference.rows[point])


def test_equal_points_rank_by_their_parameters(tmp_path):
    table = SearchTable(tmp_path / 'search.csv', CLASSES)
    confusion = ConfusionMatrix(2)
    confusion.counts[:2, :2] = [[6, 2], [0, 2]]  # IoU 3/4 and 1/2; the masks hold no cow
    for point in (PLANTED, PLANTED._replace(bilateral_xy=2.0)):
        table.add(point, confusion)
    assert table.ranking() == [PLANTED._replace(bilateral_xy=2.0), PLANTED]
    assert table.mean_iou(PLANTED) == 62.5 and table.mean_iou(PLANTED, [0, 2]) == 75
    assert np.isnan(SearchTable(tmp_path / 'search.csv', CLASSES).rows[PLANTED][2])


def test_broken_tables(tmp_path):
    path = tmp_path / 'search.csv'
    path.write_text('a,b\n')
    with pytest.raises(ValueError, match=r'search\.csv: has other columns than bilateral_weight, .*, cat, cow; choose'):
        SearchTable(path, CLASSES)
    path.write_text(','.join([*CRFPoint._fields, 'mIoU', 'background', *CLASSES]) + '\n4,3,40,1,1,3\n')
    with pytest.raises(ValueError, match=r'search\.csv: line 2 cannot be read; remove it'):
        SearchTable(path, CLASSES)


def test_inputs_of_the_label_crf(tmp_path):
    """The rule of box regions holds, and a box without a pixel gets some back."""
    layout = BoxLayout.from_boxes((8, 8), [[1, 1, 5, 5], [6, 6, 8, 8]], [1, 2])
    probability = np.zeros((3, 8, 8), np.float32)
    probability[0] = 1
    probability[:, 1:5, 1:5] = np.array([0.3, 0.4, 0.3])[:, None, None]
    probability[:, 6:, 6:] = np.array([0.5, 0.1, 0.4])[:, None, None]
    task = LabelTask(np.zeros((8, 8, 3), np.uint8), layout, probability, restore=(True, True), crf={})
    write_crf_input(tmp_path / 'a.pkl', task)
    assert task.probability.dtype == np.float32  # as it was
    expected = np.zeros((8, 8), np.uint8)
    expected[1:5, 1:5], expected[6:, 6:] = 1, 2
    assert np.array_equal(label_crf_input(tmp_path / 'a.pkl', dict(iterations=0)), expected)
    # A strong kernel floods everything with the certain background; both boxes are then restored.
    flooded = dict(bilateral=(50, 8, 8), gaussian=(0, 1), iterations=5)
    assert np.array_equal(label_crf_input(tmp_path / 'a.pkl', flooded), expected)

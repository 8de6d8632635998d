"""All of stage 2 against loops over pixels, which know the paper and the recipes' fields, and nothing of the package.

Two boxes of one class overlap, the activation map of another class is empty, and the CRF removes a third one. The CRF
itself is compared with a brute-force mean field in test_functional/test_dense_crf.py.
"""

import numpy as np
import pytest
import torch

from bana_mm.functional import dense_crf
from bana_mm.labels.generator import LabelGenerator
from bana_mm.structures import BoxLayout

HEIGHT, WIDTH = 26, 34
BOXES = [(2, 2, 18, 22), (10, 6, 24, 20), (22, 3, 32, 14), (27, 17, 30, 20)]
CLASSES = [1, 1, 2, 4]  # class 3 is not in the image
NUM_CLASSES = 4
ROWS = [0, *sorted(set(CLASSES))]  # of scores
CRF = dict(bilateral=(2, 20, 5), gaussian=(1, 2), iterations=5, backend='torch')  # for so small an image


@pytest.fixture
def image():
    image = np.full((HEIGHT, WIDTH, 3), 60, dtype=np.uint8)
    image[4:18, 4:22] = 220, 200, 60
    image[5:12, 24:30] = 40, 60, 200
    return image


@pytest.fixture
def weight():
    """Of background and classes; features are positive, so that the activation map of class 2 is empty."""
    weight = np.random.default_rng(0).normal(size=(NUM_CLASSES + 1, 6))
    weight[0], weight[1], weight[2], weight[4] = (
        abs(weight[0]) / 4,
        weight[1] + 0.5,
        -abs(weight[2]),
        abs(weight[4]) / 10,
    )
    weight[0, 0] = 1
    return weight


@pytest.fixture
def views():
    """The image and its mirror image, turned back: features of the last layer and of one before."""
    random = np.random.default_rng(1)
    views = [dict(last=random.random((6, 7, 9)), conv5_3=random.random((5, 9, 12))) for _ in range(2)]
    for view in views:
        view['last'][0, 1:5, 1:8] /= 10  # the background's channel, in the middle
    return views


def pixels():
    return [(y, x) for y in range(HEIGHT) for x in range(WIDTH)]


def covers(box, y, x):
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def inside_any(y, x, index=None):
    """Whether a pixel lies in a box (of a class)."""
    return any(covers(box, y, x) for box, its in zip(BOXES, CLASSES) if index in (None, its))


def upsample(feats):
    """Bilinear, the outer cells on the outer pixels: (D, h, w) -> (D, H, W)."""
    _, h, w = feats.shape
    large = np.zeros((len(feats), HEIGHT, WIDTH))
    for y, x in pixels():
        v, u = y * (h - 1) / (HEIGHT - 1), x * (w - 1) / (WIDTH - 1)
        for i in {int(v), min(int(v) + 1, h - 1)}:
            for j in {int(u), min(int(u) + 1, w - 1)}:
                large[:, y, x] += (1 - abs(v - i)) * (1 - abs(u - j)) * feats[:, i, j]
    return large


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def attention(feats):
    """Eq. 1-3 with one query, on features of image size; Eq. 3 does not set A to 1 outside the boxes."""
    large = upsample(feats)
    query = np.mean([large[:, y, x] for y, x in pixels() if not inside_any(y, x)], axis=0)
    return np.array([[max(0, cosine(large[:, y, x], query)) for x in range(WIDTH)] for y in range(HEIGHT)])


def activation(feats, weight):
    """Eq. 6: a map for each row."""
    large = upsample(feats)
    maps = np.zeros((len(ROWS), HEIGHT, WIDTH))
    for y, x in pixels():
        for row, index in enumerate(ROWS):
            maps[row, y, x] = max(0, weight[index] @ large[:, y, x])
    return maps


def cut(values, box):
    return values[box[1] : box[3], box[0] : box[2]]


def published_scores(views, weight, boxes=BOXES):
    """Eq. 5 and 7 as the published code has them: u_0 and u_c, (1 + C, H, W)."""
    a, cam = attention(views[0]['last']), activation(views[0]['last'], weight)
    scores = np.zeros_like(cam)
    scores[0] = np.where(a >= 0.99 * a.max(), a, 0)
    for box, index in zip(boxes, CLASSES if boxes is BOXES else CLASSES[::-1]):
        row = ROWS.index(index)
        inside = cut(cam[row], box)
        cut(scores[row], box)[:] = inside / inside.max() if inside.max() > 0 else 0  # the later box counts
    return scores


def our_scores(views, weight, layers=('last',)):
    """The recipe bana_mm: the background classifier's map where boxes are recognised, means of A and CAM else."""
    a = np.mean([attention(view[layer]) for view in views for layer in layers], axis=0)
    cam = np.mean([activation(view['last'], weight) for view in views], axis=0)
    scores = np.zeros_like(cam)
    known = [np.mean(cut(cam[ROWS.index(index)], box) > cut(cam[0], box)) >= 0.35 for box, index in zip(BOXES, CLASSES)]
    assert True in known and False in known
    for y, x in pixels():
        if not inside_any(y, x) or any(covers(box, y, x) for box, is_known in zip(BOXES, known) if is_known):
            scores[0, y, x] = cam[0, y, x] / cam[0].max()
    for box, index in zip(BOXES, CLASSES):
        row = ROWS.index(index)
        inside, own = cut(a, box), cut(cam[row], box)
        score = 1 - (inside - inside.min()) / (inside.max() - inside.min())
        if own.max() > 0:
            score = (score + own / own.max()) / 2
        cut(scores[row], box)[:] = np.maximum(cut(scores[row], box), score)
    return scores


def probabilities(scores):
    """Background is certain outside the boxes; inside, a softmax over background and all classes of the image."""
    result = np.zeros_like(scores)
    for y, x in pixels():
        result[:, y, x] = np.exp(scores[:, y, x]) / np.exp(scores[:, y, x]).sum() if inside_any(y, x) else 0
        result[0, y, x] += not inside_any(y, x)
    return result


def best_rows(scores):
    """Class index of the best row, where classes count in their own boxes only."""
    label = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for y, x in pixels():
        allowed = [row for row, index in enumerate(ROWS) if index == 0 or inside_any(y, x, index)]
        label[y, x] = ROWS[max(allowed, key=lambda row: scores[row, y, x])]
    return label


def restored(label, probability):
    """Boxes without a pixel of their class, large ones first, get those where the unary has it in front, or highest."""
    label = label.copy()
    for box, index in sorted(zip(BOXES, CLASSES), key=lambda one: -(one[0][2] - one[0][0]) * (one[0][3] - one[0][1])):
        if not (cut(label, box) == index).any():
            inside = [(y, x) for y, x in pixels() if covers(box, y, x)]
            own = probability[ROWS.index(index)]
            front = [p for p in inside if own[p] >= probability[(slice(None), *p)].max()]
            for p in front or [p for p in inside if own[p] == max(own[q] for q in inside)]:
                label[p] = index
    return label


def retrieval(feats, weight, y_crf):
    """Eq. 8 and 9; a class that Y_crf lacks takes its classifier weight, as in the published code."""
    large = upsample(feats)
    prototypes = []
    for index in ROWS:
        members = [large[:, y, x] for y, x in pixels() if y_crf[y, x] == index]
        prototypes.append(np.mean(members, axis=0) if members else weight[index])
    scores = np.zeros((len(ROWS), HEIGHT, WIDTH))
    for y, x in pixels():
        scores[:, y, x] = [max(0, cosine(large[:, y, x], prototype)) for prototype in prototypes]
        if not inside_any(y, x):
            scores[0, y, x] = 1
    return best_rows(scores)


def package(views, weight, image, recipe):
    """The CRF's input, Y_crf and Y_ret."""
    generator = LabelGenerator(torch.tensor(weight), dict(recipe, crf=CRF))
    layout = BoxLayout.from_boxes((HEIGHT, WIDTH), BOXES, CLASSES)
    features = [{name: torch.tensor(feats).float() for name, feats in view.items()} for view in views]
    task = generator.prepare(features, image, layout)
    labels = generator.finish(features, layout, task.run())
    return task.probability, labels['Y_crf'], labels['Y_ret']


def test_published_recipe(views, weight, image):
    probability, y_crf, y_ret = package(views[:1], weight, image, dict(recipe='paper'))
    scores = published_scores(views, weight)
    assert not np.allclose(scores, published_scores(views, weight, BOXES[::-1]))  # the order of the boxes counts
    assert (scores[ROWS.index(2)] == 0).all()
    expected = probabilities(scores)
    np.testing.assert_allclose(probability, expected, atol=5e-6)
    assert 4 in best_rows(expected)
    expected = best_rows(dense_crf(image, expected, **CRF))
    assert set(np.unique(expected)) == {0, 1}
    np.testing.assert_array_equal(y_crf, expected)
    np.testing.assert_array_equal(y_ret, retrieval(views[0]['last'], weight, expected))


@pytest.mark.parametrize('layers', [('last',), ('conv5_3', 'last')])
def test_our_recipe(views, weight, image, layers):
    recipe = dict(recipe='bana_mm', attention_layers=layers)
    probability, y_crf, y_ret = package(views, weight, image, recipe)
    expected = probabilities(our_scores(views, weight, layers))
    np.testing.assert_allclose(probability, expected, atol=5e-6)
    removed = best_rows(dense_crf(image, expected, **CRF))
    assert 4 in best_rows(expected) and set(np.unique(removed)) == {0, 1, 2}
    expected = restored(removed, expected)
    assert set(np.unique(expected)) == {0, 1, 2, 4}
    np.testing.assert_array_equal(y_crf, expected)
    np.testing.assert_array_equal(y_ret, retrieval(views[0]['last'], weight, expected))

"""Losses of a classifier's feature map, of images and of boxes, each put together from the plain functions."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData, PixelData

from bana_mm.functional import (
    background_attention,
    background_queries,
    box_predictions,
    class_predictions,
    feature_similarity_loss,
    importance_sampling_loss,
    multinomial_posterior,
)
from bana_mm.models.classifiers import BAPHead, ImageClassifier
from bana_mm.models.classifiers.image_inputs import batch_colours
from bana_mm.models.losses import FeatureSimilarityLoss, HardBackgroundLoss, ImportanceSamplingLoss
from bana_mm.models.losses.dense_loss import DenseInputs, DenseLoss, add_dense_losses, build_dense_losses

STRIDE, CLASSES = 8, 3


def make_sample(boxes, labels, ignored=(), size=(64, 64)):
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, batch_input_shape=(64, 64)))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(boxes).float().reshape(-1, 4)), labels=torch.tensor(labels).long()
    )
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(ignored).float().reshape(-1, 4)), labels=torch.zeros(len(ignored)).long()
    )
    return sample


@pytest.fixture
def samples():
    return [
        make_sample([[4, 4, 30, 30], [20, 10, 60, 50]], [2, 0], ignored=[[0, 56, 20, 64]]),
        make_sample([[5, 5, 20, 40]], [2], size=(64, 40)),
    ]


@pytest.fixture
def head():
    head = BAPHead(num_classes=CLASSES, in_channels=6, stride=STRIDE, grid_size=2)
    torch.nn.init.normal_(head.classifier.weight)
    return head


@pytest.fixture
def feats():
    return torch.rand(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def of_boxes(head, feats, images, samples):
    return head.dense_inputs(feats, images, samples)


@pytest.fixture
def of_images(feats, images):
    weight = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(2))
    visible = torch.ones(2, 8, 8, dtype=torch.bool)
    visible[1, :, 5:] = False
    return DenseInputs(
        feats=feats,
        logits=torch.einsum('ndhw,cd->nchw', feats, weight),
        present=torch.tensor([[True, False, True], [False, False, True]]),
        known=torch.tensor([[True, True, True], [True, False, True]]),
        images=images,
        sizes=[(64, 64), (64, 40)],
        visible=visible,
        stride=STRIDE,
    )


def test_cells_of_boxes(of_boxes):
    """Cell i is centred on pixel 8 i."""
    boxes = of_boxes.boxes
    assert boxes.masks.sum(dim=(1, 2)).tolist() == [9, 25, 8]  # 3 x 3; 3..7 by 2..6; 1..2 by 1..4
    regions = boxes.regions(CLASSES)
    assert regions[0, 2].equal(boxes.masks[0]) and regions[0, 0].equal(boxes.masks[1])
    assert not regions[:, 1].any() and regions[1, 2].equal(boxes.masks[2])
    expected = torch.ones(2, 8, 8, dtype=torch.bool)
    expected[0, 1:4, 1:4] = expected[0, 2:7, 3:8] = expected[0, 7, :3] = False
    expected[1, 1:5, 1:3] = expected[1, :, 5:] = False
    assert boxes.background.equal(expected)
    assert of_boxes.present.tolist() == [[True, False, True], [False, False, True]]


def test_importance_sampling_of_images(of_images):
    z = of_images.logits
    loss = ImportanceSamplingLoss(num_samples=None, balance=0.2)
    rows = [
        importance_sampling_loss(z[n, c].reshape(1, -1), of_images.present[n, c].reshape(1), None)
        for n in range(2)
        for c in range(3)
        if (n, c) != (1, 1)  # nobody knows
    ]
    torch.testing.assert_close(loss(of_images)['loss_isl'], 0.2 * torch.stack(rows).mean())
    assert loss.host_weight == pytest.approx(0.8)
    torch.manual_seed(5)
    sampled = ImportanceSamplingLoss(num_samples=5000)(of_images)['loss_isl']
    assert sampled.item() == pytest.approx(loss(of_images)['loss_isl'].item(), abs=5e-3)


def test_importance_sampling_of_images_without_padding_and_with_a_softmax(of_images):
    loss = ImportanceSamplingLoss(None, balance=1.0, posterior='multinomial', padding=False)
    posterior, binary = multinomial_posterior(F.pad(of_images.logits, (0, 0, 0, 0, 1, 0)))
    rows = []
    for n, c in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2)):
        seen = of_images.visible[n]
        rows.append(
            importance_sampling_loss(
                binary[n, c][seen][None], of_images.present[n, c].reshape(1), None, posterior[n, c][seen][None]
            )
        )
    torch.testing.assert_close(loss(of_images)['loss_isl'], torch.stack(rows).mean())


@pytest.mark.parametrize('posterior', ['binomial', 'multinomial'])
@pytest.mark.parametrize('proposal', ['posterior', 'attention'])
def test_importance_sampling_of_boxes(of_boxes, head, feats, samples, posterior, proposal):
    loss = ImportanceSamplingLoss(None, balance=0.5, posterior=posterior, proposal=proposal)(of_boxes)['loss_isl']
    background = head._definite_background(
        torch.tensor([[0.0, 4, 4, 30, 30], [0, 20, 10, 60, 50], [1, 5, 5, 20, 40]]), samples
    )
    attention = background_attention(feats, *background_queries(feats, background, 2))
    logits = head.class_maps(feats)
    means = []
    for image, label, cells in zip((0, 0, 1), (3, 1, 3), of_boxes.boxes.masks):
        z = logits[image][:, cells]  # (L + 1, P)
        target = torch.full((z.size(1),), label)
        if posterior == 'multinomial':
            values, q = F.cross_entropy(z.T, target, reduction='none'), z.softmax(0)[label]
        else:
            hot = F.one_hot(target, 4).float().T
            values, q = F.binary_cross_entropy_with_logits(z, hot, reduction='none').mean(0), z[label].sigmoid()
        if proposal == 'attention':
            q = 1 - attention[image, 0][cells]
        q = q + 1e-5
        means.append((q * values).sum() / q.sum())
    torch.testing.assert_close(loss, 0.5 * torch.stack(means).mean())


def test_hard_background(of_boxes):
    loss = HardBackgroundLoss(num_samples=None, loss_weight=0.3)(of_boxes)['loss_hard_background']
    means = []
    for logits, cells in zip(of_boxes.logits, of_boxes.boxes.background):
        p = logits[:, cells].softmax(0)
        q = p[1:].amax(0) + 1e-5
        means.append((q * -p[0].log()).sum() / q.sum())
    torch.testing.assert_close(loss, 0.3 * torch.stack(means).mean())


@pytest.mark.parametrize('kind', ['maxnorm', 'sigmoid', 'softmax'])
def test_feature_similarity_of_images_and_of_boxes(of_images, of_boxes, kind):
    for dense in (of_images, of_boxes):
        present = dense.present if dense.boxes is None else dense.boxes.regions(CLASSES)
        prediction = class_predictions(dense.logits, present, kind)
        colours = F.interpolate(dense.images, (8, 8), mode='bilinear', align_corners=True)
        loss = FeatureSimilarityLoss(kind, sigma=2.0, loss_weight=0.5)(dense)['loss_fsl']
        torch.testing.assert_close(loss, 0.5 * feature_similarity_loss(colours, prediction, sigma=2.0))
    visible = of_images.visible
    loss = FeatureSimilarityLoss(kind, padding=False, colours='area')(of_images)['loss_fsl']
    prediction = class_predictions(of_images.logits, of_images.present, kind)
    colours = of_images.colours('area')
    torch.testing.assert_close(loss, feature_similarity_loss(colours, prediction, valid=visible))


def test_feature_similarity_in_boxes_holds_the_background_fixed(of_boxes):
    loss = FeatureSimilarityLoss('boxes', colours='area', radius=3)(of_boxes)['loss_fsl']
    regions = of_boxes.boxes.regions(CLASSES)
    valid = regions.any(1) | of_boxes.boxes.background  # neither padding nor what only ignored boxes hold
    prediction = box_predictions(of_boxes.logits, regions)
    expected = feature_similarity_loss(
        of_boxes.colours('area'), prediction, radius=3, valid=valid, fixed=of_boxes.boxes.background
    )
    torch.testing.assert_close(loss, expected)


def test_losses_that_do_not_fit_a_classifier_of_images(of_images):
    for loss, match in (
        (HardBackgroundLoss(), 'image labels tell of no background'),
        (FeatureSimilarityLoss('boxes'), "prediction='boxes' is for a BoxClassifier"),
        (ImportanceSamplingLoss(proposal='attention'), "proposal='attention' is for a BoxClassifier"),
    ):
        with pytest.raises(TypeError, match=match):
            loss(of_images)
    for settings, match in (
        (dict(posterior='normal'), 'posterior must be'),
        (dict(proposal='uniform'), 'proposal must be'),
        (dict(balance=2.0), 'balance must lie'),
    ):
        with pytest.raises(ValueError, match=match):
            ImportanceSamplingLoss(**settings)
    for settings, match in ((dict(prediction='x'), 'prediction must be'), (dict(colours='x'), 'colours must be')):
        with pytest.raises(ValueError, match=match):
            FeatureSimilarityLoss(**settings)


class Constant(DenseLoss):
    host_weight = 0.25

    def forward(self, dense):
        return dict(loss_constant=dense.feats.sum() * 0 + 3)


def test_the_classifiers_own_loss_gives_way(of_images):
    own = dict(loss_cls=torch.tensor(2.0))
    losses = add_dense_losses(own, [Constant(), ImportanceSamplingLoss(balance=0.2)], lambda: of_images)
    assert losses['loss_cls'].item() == pytest.approx(2 * 0.25 * 0.8) and losses['loss_constant'] == 3
    assert own['loss_cls'] == 2 and add_dense_losses(own, [], None) == own
    halved = add_dense_losses(own, [Constant(), FeatureSimilarityLoss()], lambda: of_images, share=0.5)
    assert halved['loss_cls'] == 0.25 and halved['loss_constant'] == 1.5
    assert halved['loss_fsl'] == FeatureSimilarityLoss()(of_images)['loss_fsl']  # replaces nothing
    with pytest.raises(ValueError, match="two losses are called 'loss_constant'"):
        add_dense_losses(own, [Constant(), Constant()], lambda: of_images)
    with pytest.raises(TypeError, match='bana_mm.NoiseAwareLoss is none'):
        build_dense_losses([dict(type='bana_mm.NoiseAwareLoss')], 3, 6)


ALL = [
    dict(type='bana_mm.ImportanceSamplingLoss'),
    dict(type='bana_mm.FeatureSimilarityLoss', prediction='boxes', colours='area'),
    dict(type='bana_mm.HardBackgroundLoss'),
    dict(type='bana_mm.VisualWordLoss', num_words=5, max_attention=0.5),
]


@pytest.mark.parametrize(
    'given',
    [
        [make_sample([], []), make_sample([], [])],
        [make_sample([[0, 0, 64, 64]], [1]), make_sample([[0, 0, 64, 64]], [2])],  # no background
        [make_sample([], [], ignored=[[0, 0, 64, 64]]), make_sample([[3, 3, 4, 4]], [0], size=(5, 5))],
    ],
)
@pytest.mark.parametrize('scale', [0.0, 1.0, 1e4])
def test_degenerate_batches_stay_finite(head, feats, images, given, scale):
    modules = build_dense_losses(ALL, CLASSES, 6)
    values = (feats * scale).requires_grad_()
    losses = add_dense_losses(head.loss(values, given), modules, lambda: head.dense_inputs(values, images * 0, given))
    sum(term for name, term in losses.items() if 'loss' in name).backward()
    assert all(term.isfinite() for term in losses.values())
    for gradient in (values.grad, head.weight.grad, *(p.grad for p in modules.parameters())):
        assert gradient is not None and gradient.isfinite().all()


def test_a_box_in_which_all_is_background_stays_finite(head, images):
    feats = torch.ones(1, 6, 8, 8).requires_grad_()  # attention 1 everywhere
    given = [make_sample([[8, 8, 40, 40]], [1])]
    losses = add_dense_losses(
        head.loss(feats, given),
        build_dense_losses([dict(type='bana_mm.ImportanceSamplingLoss', proposal='attention'), *ALL[1:]], CLASSES, 6),
        lambda: head.dense_inputs(feats, images[:1], given),
    )
    sum(term for name, term in losses.items() if 'loss' in name).backward()
    assert feats.grad.isfinite().all() and all(term.isfinite() for term in losses.values())


def test_colours_are_those_kept_or_the_networks_input():
    model = ImageClassifier(
        dict(type='bana_mm.VGG16LargeFOV', width_mult=1 / 16, out_channels=4),
        dict(type='bana_mm.ImageHead', num_classes=2, in_channels=4),
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[100.0, 110, 120], std=[50.0, 60, 70]),
    )
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    batch = dict(inputs=list(images), data_samples=[make_sample([], [], size=(16, 16)) for _ in range(2)])
    data = model.data_preprocessor(batch)
    colours = batch_colours(data['inputs'], data['data_samples'], model.data_preprocessor)
    torch.testing.assert_close(colours, images / 255)
    kept = torch.randint(0, 256, (3, 10, 12), dtype=torch.uint8)
    data['data_samples'][1].gt_colours = PixelData(data=kept)
    colours = batch_colours(data['inputs'], data['data_samples'], model.data_preprocessor)
    torch.testing.assert_close(colours[1, :, :10, :12], kept / 255)
    torch.testing.assert_close(colours[1, :, 10:], images[1, :, 10:] / 255)

"""The classifier of images: losses by hand, activation maps of several views, and learning."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

from bana_mm.functional import hybrid_pyramid_pool, merge_views
from bana_mm.models.classifiers import ImageHead
from bana_mm.models.classifiers.image_inputs import image_classes
from bana_mm.models.classifiers.views import extract_views
from bana_mm.registry import MODELS
from bana_mm.structures import ActivationRecipe


def make_sample(labels, image_labels=None, unknown=(), ignored=(), mask=None, size=(64, 64)):
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, batch_input_shape=size))
    for field, given in (('gt_instances', labels), ('ignored_instances', ignored)):
        boxes = HorizontalBoxes(torch.zeros(len(given), 4))
        sample.set_field(InstanceData(bboxes=boxes, labels=torch.tensor(given).long()), field)
    if image_labels is not None:
        sample.gt_image_labels = torch.tensor(image_labels).long()
        sample.gt_image_unknown = torch.tensor(unknown).long()
    if mask is not None:
        sample.gt_sem_seg = PixelData(sem_seg=mask)
    return sample


def test_classes_of_images():
    present, known = image_classes(
        [make_sample([], [2, 0], unknown=[3]), make_sample([1, 1, 3], ignored=[0, 3]), make_sample([])], 4
    )
    assert present.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert known.int().tolist() == [[1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize('pooling', ['gap', 'hspp'])
def test_loss_of_images(pooling):
    head, feats = ImageHead(3, 6, pooling=pooling, gamma=1.0), torch.rand(2, 6, 5, 7)
    present = torch.tensor([[True, False, True], [False, False, False]])
    pooled = feats.mean((2, 3)) if pooling == 'gap' else hybrid_pyramid_pool(feats, gamma=1.0)
    logits = pooled @ head.classifier.weight.T
    losses = head.loss(feats, present, torch.ones_like(present))
    torch.testing.assert_close(losses['loss_cls'], F.multilabel_soft_margin_loss(logits, present.float()))
    assert losses['acc_image'].item() == pytest.approx(100 * ((logits > 0) == present).float().mean().item())
    known = torch.tensor([[True, True, False], [False, False, False]])
    losses = head.loss(feats, present, known)
    expected = F.binary_cross_entropy_with_logits(logits[0, :2], present[0, :2].float())
    torch.testing.assert_close(losses['loss_cls'], expected)
    nothing = head.loss(feats, present, torch.zeros_like(known))['loss_cls']
    nothing.backward()
    assert nothing == 0 and (head.classifier.weight.grad == 0).all()


def test_weights_have_a_row_of_zeros_for_the_background():
    head, feats = ImageHead(3, 6), torch.rand(2, 6, 5, 7)
    assert head.weight.shape == (4, 6) and (head.weight[0] == 0).all() and head.weight[1:].equal(head.classifier.weight)
    torch.testing.assert_close(head.class_maps(feats).mean((2, 3)), head(feats))
    assert [name for name, _ in head.named_parameters()] == ['classifier.weight']  # no bias
    with pytest.raises(ValueError, match="'gap' or 'hspp'"):
        ImageHead(3, 6, pooling='bap')


def test_activation_maps_are_those_of_all_views():
    recipe = ActivationRecipe(scales=(1.0, 0.5))
    weight = torch.randn(2, 3, 1, 1)

    def network(view):  # looks to the left, so that the mirror image sees something else
        return F.conv2d(F.avg_pool2d(view + view.cumsum(-1) / 50, 4), weight)

    image = torch.randn(1, 3, 16, 24)
    views = []
    for scale in (1, 0.5):
        size = (16, 24) if scale == 1 else (8, 12)
        scaled = F.interpolate(image, size, mode='bilinear')
        pair = network(scaled), network(scaled.flip(-1)).flip(-1)
        views.append([F.interpolate(one, (16, 24), mode='bilinear')[0] for one in pair])

    def layers(view, names):
        assert names == ('last', 'maps')
        return dict(last=view, maps=network(view))

    def maps_of(recipe):
        return [view['maps'] for view in extract_views(layers, image, recipe)[0]]

    found = recipe.merge(maps_of(recipe), (16, 24))
    torch.testing.assert_close(found, merge_views(views))
    single = ActivationRecipe(scales=(1.0,), flip=False, clip='sum', normalise='range', align_corners=True)
    upsampled = F.interpolate(network(image), (16, 24), mode='bilinear', align_corners=True)[0]
    found = single.merge(maps_of(single), (16, 24))
    torch.testing.assert_close(found, merge_views([[upsampled]], normalise='range'))


VGG = dict(type='bana_mm.VGG16LargeFOV', width_mult=1 / 16, out_channels=16, dropout=0.0)
RESNET = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=4,
    num_stages=4,
    out_indices=(3,),
    strides=(1, 2, 2, 1),
    dilations=(1, 1, 1, 1),
)
LOSSES = [
    dict(type='bana_mm.ImportanceSamplingLoss'),
    dict(type='bana_mm.FeatureSimilarityLoss'),
    dict(type='bana_mm.VisualWordLoss', num_words=8, decorrelation=1.0),
]


@pytest.mark.parametrize('backbone, channels, stride', [(VGG, 16, 8), (RESNET, 32, 16)])
@pytest.mark.parametrize('pooling', ['gap', 'hspp'])
def test_any_backbone_learns(backbone, channels, stride, pooling):
    init_default_scope('mmdet')
    model = MODELS.build(
        dict(
            type='bana_mm.ImageClassifier',
            backbone=backbone,
            head=dict(type='bana_mm.ImageHead', num_classes=2, in_channels=channels, pooling=pooling),
            dense_losses=LOSSES,
            activations=dict(scales=(1.0, 0.5)),
            stride=stride,
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3),
        )
    )
    model.init_weights()
    images = torch.full((2, 3, 64, 64), 30, dtype=torch.uint8)
    images[0, 0, 16:48, 16:48] = 250
    images[1, 2, 8:40, 24:60] = 250
    samples = [make_sample([], [0]), make_sample([1], [1])]
    data = dict(inputs=list(images), data_samples=samples)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    values = []
    for _ in range(20):
        batch = model.data_preprocessor(data, training=True)
        terms = model(**batch, mode='loss')
        total, log = model.parse_losses(terms)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(terms['loss_cls'].item())
    assert set(terms) == {
        *('loss_cls', 'acc_image', 'loss_isl', 'loss_fsl', 'words_in_use'),
        *('loss_word', 'loss_word_to_image', 'loss_decorrelation'),
    }
    assert values[-1] < 0.7 * values[0]
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)

    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    data['data_samples'] = [make_sample([1, 0], mask=mask), make_sample([1])]
    results = model.eval()(**model.data_preprocessor(data), mode='predict')
    first = results[0]
    assert first.pred_image_scores.shape == (2,) and first.gt_image_classes.tolist() == [True, True]
    assert first.pred_activations.data.shape == (2, 64, 64) and first.activation_classes.tolist() == [1, 2]
    scores = torch.cat([torch.full((1, 64, 64), 0.14), first.pred_activations.data])
    assert first.pred_sem_seg.data[0].equal(scores.argmax(0).to(torch.uint8))
    assert 'pred_sem_seg' not in results[1]
    assert model(model.data_preprocessor(data)['inputs']).shape == (2, channels, 64 // stride, 64 // stride)
    with pytest.raises(ValueError, match="'tensor', 'loss' or 'predict'"):
        model(torch.zeros(1, 3, 64, 64), mode='train')


def test_image_without_classes_is_background():
    model = MODELS.build(
        dict(
            type='bana_mm.ImageClassifier',
            backbone=VGG,
            head=dict(type='bana_mm.ImageHead', num_classes=2, in_channels=16),
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
        )
    ).eval()
    sample = make_sample([], mask=torch.zeros(1, 24, 32, dtype=torch.uint8), size=(24, 32))
    result = model.predict(torch.rand(1, 3, 24, 32), [sample])[0]
    assert result.pred_activations.data.shape == (0, 24, 32) and not result.pred_sem_seg.data.any()

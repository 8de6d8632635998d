"""The classifier: its loss by hand, its degenerate batches, and its backbones."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import nn

from bana_mm.functional import background_attention, background_aware_pool, background_queries, hybrid_box_pool
from bana_mm.models.classifiers import BAPHead
from bana_mm.models.classifiers.views import extract_views
from bana_mm.registry import MODELS
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import activation_maps


def make_sample(boxes, labels, ignored=(), img_shape=(64, 64), batch_shape=(64, 64)):
    sample = DetDataSample(metainfo=dict(img_shape=img_shape, ori_shape=img_shape, batch_input_shape=batch_shape))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(boxes).float().reshape(-1, 4)), labels=torch.tensor(labels).long()
    )
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(ignored).float().reshape(-1, 4)), labels=torch.zeros(len(ignored)).long()
    )
    return sample


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = BAPHead(num_classes=3, in_channels=6, grid_size=2)
    torch.nn.init.normal_(head.classifier.weight)
    return head


@pytest.fixture
def feats():
    return torch.rand(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))


def test_loss_is_the_mean_over_bins_and_queries(head, feats):
    samples = [make_sample([[0, 0, 30, 30], [10, 40, 50, 64]], [2, 0]), make_sample([[5, 5, 20, 60]], [1])]
    losses = head.loss(feats, samples)
    background = torch.ones(2, 1, 64, 64)
    background[0, 0, :30, :30] = background[0, 0, 40:, 10:50] = background[1, 0, 5:60, 5:20] = 0
    queries, valid = background_queries(feats, background, 2)
    attention = background_attention(feats, queries, valid)
    rois = torch.tensor([[0.0, 0, 0, 30, 30], [0, 10, 40, 50, 64], [1, 5, 5, 20, 60]])
    pooled = background_aware_pool(feats, rois, attention, 1 / 8)
    terms = []
    for k, label in enumerate([3, 1, 2]):
        for y in range(2):
            for x in range(2):
                terms.append(F.cross_entropy(head.weight @ pooled[k, :, y, x], torch.tensor(label)))
    for n in range(2):
        for j in range(4):
            if valid[n, j]:
                terms.append(F.cross_entropy(head.weight @ queries[n, j], torch.tensor(0)))
    assert len(terms) < 12 + 8  # the first image's first cell lies in a box
    torch.testing.assert_close(losses['loss_cls'], torch.stack(terms).mean())


def test_accuracies_in_percent(head, feats):
    with torch.no_grad():
        head.classifier.weight.zero_()
        head.classifier.weight[2] = 1.0  # everything is class 2, box label 1
    losses = head.loss(feats, [make_sample([[0, 0, 30, 30]], [1]), make_sample([[5, 5, 20, 60]], [0])])
    assert losses['acc_box'].item() == 50 and losses['acc_background'].item() == 0


def test_gap_ignores_attention_but_trains_the_background(head, feats):
    samples = [make_sample([[0, 0, 40, 40]], [1]), make_sample([], [])]
    bap_logits, _, _ = head(feats, samples)
    head.pooling = 'gap'
    box_logits, query_logits, valid = head(feats, samples)
    pooled = background_aware_pool(feats, torch.tensor([[0.0, 0, 0, 40, 40]]), None, 1 / 8)
    torch.testing.assert_close(box_logits, head.classifier(pooled.flatten(2).transpose(1, 2)))
    assert not torch.allclose(box_logits, bap_logits)
    assert valid[1].all() and query_logits.shape == (2, 4, 4)


def test_hybrid_pooling_takes_maxima_of_what_is_no_background(head, feats):
    # the second image has too little background for its attention to count
    samples = [make_sample([[0, 0, 40, 40], [16, 8, 60, 30]], [1, 0]), make_sample([[0, 0, 64, 64]], [2])]
    head.pooling, head.gamma = 'hspp', 3.0
    box_logits, query_logits, valid = head(feats, samples)
    background = head._definite_background(
        torch.tensor([[0.0, 0, 0, 40, 40], [0, 16, 8, 60, 30], [1, 0, 0, 64, 64]]), samples
    )
    queries, _ = background_queries(feats, background, 2)
    attention = background_attention(feats, queries, valid)
    attention[1] = 0
    rois = torch.tensor([[0.0, 0, 0, 40, 40], [0, 16, 8, 60, 30], [1, 0, 0, 64, 64]])
    pooled = hybrid_box_pool(feats, rois, attention, 1 / 8, 2, gamma=3.0)
    torch.testing.assert_close(box_logits, head.classifier(pooled.flatten(2).transpose(1, 2)))
    torch.testing.assert_close(query_logits, head.classifier(queries))
    losses = head.loss(feats, [make_sample([], []), make_sample([], [])])
    assert losses['loss_cls'].isfinite()


def test_further_losses_of_boxes():
    init_default_scope('mmdet')
    model = MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=VGG,
            bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=16, pooling='hspp'),
            dense_losses=[
                dict(type='bana_mm.ImportanceSamplingLoss', posterior='multinomial', proposal='attention'),
                dict(type='bana_mm.FeatureSimilarityLoss', prediction='boxes', colours='area', radius=3),
                dict(type='bana_mm.HardBackgroundLoss'),
                dict(type='bana_mm.VisualWordLoss', num_words=4, codebook='averaged'),
            ],
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3),
        )
    ).train()
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    data = dict(inputs=[image] * 2, data_samples=[make_sample([[12, 12, 52, 52]], [1]), make_sample([], [])])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert {'loss_isl', 'loss_fsl', 'loss_hard_background', 'loss_word', 'words_in_use'} <= set(losses)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.class_weight.shape == (3, 16) and 'dense_losses.3.codebook' in model.state_dict()


def test_too_little_background_falls_back_to_plain_pooling(head, feats):
    # 8 of 64 rows are background: a share of exactly 0.125, which is not more than 0.125
    samples = [make_sample([[0, 8, 64, 64]], [1]), make_sample([[0, 9, 64, 64]], [1])]
    logits, _, valid = head(feats, samples)
    head.pooling = 'gap'
    plain, _, _ = head(feats, samples)
    torch.testing.assert_close(logits[0], plain[0])
    assert not torch.allclose(logits[1], plain[1])  # 9 rows are enough
    assert valid[0].any()  # its queries train the background all the same (reference code)


def test_box_over_the_whole_image_is_pooled_plainly_without_nan(head, feats):
    losses = head.loss(feats.requires_grad_(), [make_sample([[0, 0, 64, 64]], [1])] * 2)
    losses['loss_cls'].backward()
    assert losses['loss_cls'].isfinite() and feats.grad.isfinite().all() and feats.grad.abs().sum() > 0


def test_ignored_boxes_and_padding_are_not_background(head, feats):
    def valid_cells(sample):
        return head(feats[:1], [sample])[2][0].tolist()

    assert valid_cells(make_sample([], [])) == [True] * 4
    assert valid_cells(make_sample([], [], ignored=[[0, 0, 32, 32]])) == [False, True, True, True]
    assert valid_cells(make_sample([], [], img_shape=(64, 20))) == [True, False, True, False]


def test_batch_without_boxes_and_batch_without_anything(head, feats):
    losses = head.loss(feats.requires_grad_(), [make_sample([], [])] * 2)
    assert losses['loss_cls'] > 0 and losses['acc_box'] == 0
    # everything ignored: nothing to learn, yet a loss with a gradient
    losses = head.loss(feats, [make_sample([], [], ignored=[[0, 0, 64, 64]])] * 2)
    losses['loss_cls'].backward()
    assert losses['loss_cls'] == 0 and feats.grad.isfinite().all()


def test_initial_weights_and_bad_pooling():
    head = BAPHead(num_classes=20, in_channels=1024)
    head.init_weights()
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05) and head.weight.shape == (21, 1024)
    assert [name for name, _ in head.named_parameters()] == ['classifier.weight']  # no bias
    with pytest.raises(ValueError, match="'bap', 'gap' or 'hspp'"):
        BAPHead(num_classes=2, in_channels=4, pooling='max')


VGG = dict(type='bana_mm.VGG16LargeFOV', width_mult=1 / 16, out_channels=16, dropout=0.0)
VGG_CONV5 = dict(type='bana_mm.VGG16LargeFOV', width_mult=1 / 16, out_layer='conv5_3')
RESNET = dict(
    type='mmseg.ResNetV1c',
    depth=18,
    base_channels=4,
    stem_channels=4,
    num_stages=4,
    out_indices=(3,),
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    norm_cfg=dict(type='BN'),
    contract_dilation=True,
)


class TwoLayers(nn.Module):
    """Pixels, and means of 2 x 2 pixels."""

    layer_names = ('pixels', 'means')

    def forward(self, inputs):
        return (self.forward_layers(inputs, ())['last'],)

    def forward_layers(self, inputs, names):
        means = nn.functional.avg_pool2d(inputs, 2)
        layers = dict(pixels=inputs, means=means)
        return {name: layers[name] for name in names if name in layers} | dict(last=means)


def classifier_of(backbone, channels=3, **recipe):
    init_default_scope('mmdet')
    return MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=backbone,
            bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=channels),
            label_recipe=recipe,
        )
    )


def test_layers_of_the_attention(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'TwoLayers', TwoLayers)
    inputs = torch.rand(2, 3, 4, 6)
    model = classifier_of(dict(type='bana_mm.TwoLayers'), attention_layers=['pixels', 'last'])
    found = model.extract_layers(inputs, model.label_recipe.layers)
    assert torch.equal(found['pixels'], inputs) and torch.equal(found['last'], model.extract_feat(inputs))
    assert model.extract_layers(inputs).keys() == {'last'}
    message = "label_recipe.attention_layers names 'conv5_3', but TwoLayers offers only last, pixels, means"
    with pytest.raises(ValueError, match=message):
        model.extract_layers(inputs, ('pixels', 'conv5_3'))
    with pytest.raises(ValueError, match=message):
        classifier_of(dict(type='bana_mm.TwoLayers'), attention_layers='conv5_3')
    with pytest.raises(ValueError, match="names 'conv5_3', but ResNetV1c offers only last$"):
        classifier_of(RESNET, 32, attention_layers='conv5_3')
    model = classifier_of(RESNET, 32)
    inputs = torch.rand(1, 3, 32, 32)
    assert torch.equal(model.eval().extract_layers(inputs)['last'], model.extract_feat(inputs))


@pytest.mark.parametrize('backbone, channels', [(VGG, 16), (VGG_CONV5, 32), (RESNET, 32)])
def test_any_backbone_of_stride_8_learns(backbone, channels):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=backbone,
            bap_head=dict(type='bana_mm.BAPHead', num_classes=2, in_channels=channels),
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3),
        )
    )
    model.init_weights()
    image = torch.full((3, 64, 64), 30, dtype=torch.uint8)
    image[0, 16:48, 16:48] = 250
    data = dict(inputs=[image] * 2, data_samples=[make_sample([[12, 12, 52, 52]], [1]) for _ in range(2)])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for _ in range(20):
        batch = model.data_preprocessor(data, training=True)
        loss = model(**batch, mode='loss')['loss_cls']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
    feats = model.extract_feat(batch['inputs'])
    assert feats.shape == (2, channels, 8, 8)
    result = model.eval()(**model.data_preprocessor(data), mode='predict')[0].pred_instances
    assert result.scores.shape == (1, 3)
    torch.testing.assert_close(result.scores.sum(1), torch.ones(1))
    with pytest.raises(ValueError, match="'tensor', 'loss' or 'predict'"):
        model(**batch, mode='train')


def classifier(**recipe):
    init_default_scope('mmdet')
    model = MODELS.build(
        dict(
            type='bana_mm.BoxClassifier',
            backbone=VGG,
            bap_head=dict(type='bana_mm.BAPHead', num_classes=3, in_channels=16),
            label_recipe=recipe,
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3),
        )
    )
    model.init_weights()
    return model.eval()


def with_mask(sample):
    sample.gt_sem_seg = PixelData(sem_seg=torch.zeros(1, 64, 64, dtype=torch.uint8))
    return sample


@pytest.mark.parametrize('recipe', [dict(), dict(flip=True, scales=(1, 0.5))])
def test_what_labels_are_made_from_comes_with_images_that_have_a_mask(recipe):
    model = classifier(**recipe)
    image = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)
    boxes, labels = [[12, 12, 52, 52], [0, 0, 20, 30]], [2, 0]
    data = dict(inputs=[image] * 2, data_samples=[with_mask(make_sample(boxes, labels)), make_sample(boxes, labels)])
    first, second = model(**model.data_preprocessor(data), mode='predict')
    assert 'activation_maps' not in second and 'label_recipe' not in second and 'pred_sem_seg' not in first
    assert first.label_recipe == LabelRecipe(**recipe)
    layout = BoxLayout.from_boxes((64, 64), boxes, [label + 1 for label in labels])
    ((*views,), _) = extract_views(model.extract_layers, model.data_preprocessor(data)['inputs'], model.label_recipe)
    expected = activation_maps(views, layout, model.bap_head.weight, model.label_recipe)
    assert first.activation_maps.activation.shape == (3, 64, 64)  # background, classes 1 and 3
    torch.testing.assert_close(first.activation_maps.attention, expected.attention)
    torch.testing.assert_close(first.activation_maps.activation, expected.activation)


def test_labels_are_made_at_the_own_size_of_an_image():
    model = classifier()
    for sizes in (dict(batch_shape=(64, 96)), dict(img_shape=(32, 32))):
        sample = with_mask(make_sample([[2, 2, 20, 20]], [1], **sizes))
        sample.set_metainfo(dict(img_path='a.jpg'))
        if 'img_shape' in sizes:
            sample.set_metainfo(dict(ori_shape=(64, 64)))
        with pytest.raises(ValueError, match=r"a\.jpg: labels are made at the image's own size .*drop resizing"):
            model.predict(torch.zeros(1, 3, 64, 96), model.extract_feat(torch.zeros(1, 3, 64, 96)), [sample])

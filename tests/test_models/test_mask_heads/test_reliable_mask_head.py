"""The mask loss on the reliable region: FCNMaskHead's where all is reliable, and by hand where not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from processes import in_two_processes

from bana_mm.functional import feature_similarity_loss, noise_aware_mask_loss
from bana_mm.models.mask_heads import ReliableMaskHead
from bana_mm.registry import MODELS
from bana_mm.structures import ReliableMasks

SIZE = 16
CFG = ConfigDict(mask_size=8)
SETTINGS = dict(
    num_convs=1,
    in_channels=4,
    conv_out_channels=4,
    num_classes=3,
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True, loss_weight=2.0),
)


def build(cls=ReliableMaskHead, **settings):
    torch.manual_seed(1)
    head = cls(**{**SETTINGS, **settings})
    head.init_weights()
    return head


def sample(
    unreliable=None,
    boxes=((0.0, 0, 16, 16), (2.0, 3, 13, 11), (4.0, 4, 12, 12)),
    which=(0, 1, 1),
    labels=(2, 0, 0),
    masks=None,
):
    """One image with two instances: proposals, and masks with unreliable pixels."""
    if masks is None:
        masks = np.zeros((2, SIZE, SIZE), np.uint8)
        masks[0, 2:10, 3:14] = masks[1, 5:12, 1:9] = 1
    masks = BitmapMasks(masks, SIZE, SIZE) if unreliable is None else ReliableMasks(masks, SIZE, SIZE, unreliable)
    result = SimpleNamespace(
        pos_priors=torch.tensor(boxes).reshape(-1, 4),
        pos_assigned_gt_inds=torch.tensor(which).long(),
        pos_gt_labels=torch.tensor(labels).long(),
    )
    return result, InstanceData(masks=masks)


def run(head, *samples):
    """Loss terms and gradients, of weights and of features, for images given as results of :func:`sample`."""
    results, instances = zip(*samples)
    number = sum(len(result.pos_priors) for result in results)
    torch.manual_seed(2)
    feats = torch.randn(number, 4, 4, 4, requires_grad=True)
    head.zero_grad()
    logits = head(feats)
    out = head.loss_and_target(logits, list(results), list(instances), CFG)
    loss = sum(term.mean() for term in out['loss_mask'].values())
    loss.backward()
    return out, [feats.grad, *(p.grad for p in head.parameters())], logits.detach()


def test_registered():
    assert isinstance(MODELS.build(dict(type='ReliableMaskHead', **SETTINGS)), FCNMaskHead)


@pytest.mark.parametrize('class_agnostic', [False, True])
def test_reliable_everywhere_is_stock_bit_for_bit(class_agnostic):
    nothing = np.zeros((2, SIZE, SIZE), np.uint8)
    stock, stock_grads, _ = run(build(FCNMaskHead, class_agnostic=class_agnostic), sample(), sample())
    for samples in ([sample(nothing), sample(nothing)], [sample(), sample(nothing)], [sample(), sample()]):
        out, grads, _ = run(build(class_agnostic=class_agnostic), *samples)
        assert list(out['loss_mask']) == ['loss_mask']
        assert torch.equal(out['loss_mask']['loss_mask'], stock['loss_mask']['loss_mask'])
        assert torch.equal(out['mask_targets'], stock['mask_targets'])
        assert all(torch.equal(one, other) for one, other in zip(grads, stock_grads))


@pytest.mark.parametrize('class_agnostic', [False, True])
def test_loss_on_the_reliable_region(class_agnostic):
    unreliable = np.zeros((2, SIZE, SIZE), np.uint8)
    unreliable[0, :, :6], unreliable[1, 4:8, 4:12] = 1, 1
    head = build(class_agnostic=class_agnostic)
    out, grads, logits = run(head, sample(unreliable))
    # the first proposal is the image, 2 pixels a cell; the third the box 4..12, one pixel a cell
    doubted = head.get_unreliable(*[[part] for part in sample(unreliable)], CFG)
    assert torch.equal(doubted[0], torch.arange(8).expand(8, 8) < 3)
    assert torch.equal(doubted[2], (torch.arange(8) < 4)[:, None].expand(8, 8))
    channels = [0, 0, 0] if class_agnostic else [2, 0, 0]
    total = number = 0
    for proposal, channel in enumerate(channels):
        for row in range(8):
            for column in range(8):
                if not doubted[proposal, row, column]:
                    z, y = logits[proposal, channel, row, column], out['mask_targets'][proposal, row, column]
                    total, number = total + F.softplus(-z if y else z).item(), number + 1
    assert 0 < number < 3 * 64
    assert out['loss_mask']['loss_mask'].item() == pytest.approx(2.0 * total / number, rel=1e-5)


def test_unreliable_pixels_do_not_count():
    unreliable = np.zeros((2, SIZE, SIZE), np.uint8)
    unreliable[:, 4:8] = 1
    head = build()
    masks = np.random.default_rng(0).integers(0, 2, (2, SIZE, SIZE)).astype(np.uint8)
    other = np.where(unreliable, 1 - masks, masks)
    # boxes whose cells are 2 x 2 pixels and one pixel, so that no cell has pixels of both kinds
    boxes, which, labels = ((0.0, 0, 16, 16), (0.0, 4, 8, 12)), (0, 1), (1, 2)
    one = run(head, sample(unreliable, boxes, which, labels, masks))
    two = run(head, sample(unreliable, boxes, which, labels, other))
    assert not torch.equal(one[0]['mask_targets'], two[0]['mask_targets'])
    assert torch.equal(one[0]['loss_mask']['loss_mask'], two[0]['loss_mask']['loss_mask'])
    assert all(torch.equal(a, b) for a, b in zip(one[1], two[1]))


@pytest.mark.parametrize('noise_aware', [None, dict()])
def test_nothing_reliable(noise_aware):
    out, grads, _ = run(build(noise_aware=noise_aware), sample(np.ones((2, SIZE, SIZE), np.uint8)))
    assert out['loss_mask']['loss_mask'] == 0
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
    assert any(grad.any() for grad in grads) == (noise_aware is not None)


@pytest.mark.parametrize('noise_aware', [None, dict()])
def test_no_positive_proposal(noise_aware):
    empty = dict(boxes=(), which=(), labels=())
    images = sample(np.ones((2, SIZE, SIZE), np.uint8), **empty), sample(**empty), sample([], masks=[], **empty)
    for samples in (images[:1], images[1:]):
        out, grads, _ = run(build(noise_aware=noise_aware), *samples)
        assert all(term == 0 for term in out['loss_mask'].values())
        assert len(out['loss_mask']) == 1 + (noise_aware is not None)
        assert all(grad is not None and not grad.any() for grad in grads)


def test_image_without_instances_beside_another():
    unreliable = np.ones((2, SIZE, SIZE), np.uint8)
    unreliable[:, :8] = 0
    without = sample([], boxes=(), which=(), labels=(), masks=[])
    alone, both = run(build(), sample(unreliable)), run(build(), without, sample(unreliable))
    assert torch.equal(alone[0]['loss_mask']['loss_mask'], both[0]['loss_mask']['loss_mask'])


def test_other_masks_are_reliable():
    unreliable = np.ones((2, SIZE, SIZE), np.uint8)
    square = [np.array([0.0, 0, 8, 0, 8, 8, 0, 8])]
    polygons = sample()[0], InstanceData(masks=PolygonMasks([square, square], SIZE, SIZE))
    head = build()
    doubted = head.get_unreliable(*zip(sample(unreliable), polygons), CFG)
    assert doubted[:3].all() and not doubted[3:].any()
    out, _, _ = run(head, sample(unreliable), polygons)
    _, _, logits = run(head, sample(unreliable), polygons)
    expected = F.binary_cross_entropy_with_logits(
        torch.stack([logits[3, 2], logits[4, 0], logits[5, 0]]), out['mask_targets'][3:]
    )
    assert out['loss_mask']['loss_mask'].item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_noise_aware():
    unreliable = np.zeros((2, SIZE, SIZE), np.uint8)
    unreliable[:, :, :7] = 1
    settings = dict(temperature=5.0, gamma=2.0, balance=0.5)
    plain, _, logits = run(build(), sample(unreliable))
    out, grads, _ = run(build(noise_aware=settings), sample(unreliable))
    assert torch.equal(out['loss_mask']['loss_mask'], plain['loss_mask']['loss_mask'])
    doubted = build().get_unreliable(*[[part] for part in sample(unreliable)], CFG)
    own = torch.stack([logits[0, 2], logits[1, 0], logits[2, 0]])
    _, term = noise_aware_mask_loss(own, out['mask_targets'], ~doubted, **settings)
    assert out['loss_mask']['loss_mask_unreliable'].item() == pytest.approx(2 * term.item()) and term > 0


def test_noise_aware_keeps_its_terms_where_all_is_reliable():
    out, _, _ = run(build(noise_aware=dict()), sample())
    assert out['loss_mask']['loss_mask'] > 0 and out['loss_mask']['loss_mask_unreliable'] == 0


class TestFeatureSimilarity:
    def coloured(self, *args, **kwargs):
        result, instances = sample(*args, **kwargs)
        colours = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        instances.set_field(colours, 'colours', field_type='metainfo')
        return result, instances

    def test_adds_a_term_over_the_colours_inside_each_proposal(self):
        plain, _, _ = run(build(), self.coloured())
        head = build(feature_similarity=dict(sigma=2.0, loss_weight=0.5))
        out, grads, logits = run(head, self.coloured(), self.coloured(which=(), boxes=(), labels=()))
        assert out['loss_mask']['loss_mask'] == plain['loss_mask']['loss_mask']
        _, instances = self.coloured()
        terms = []
        for box, label, mask in zip(((0, 0, 16, 16), (2, 3, 13, 11), (4, 4, 12, 12)), (2, 0, 0), logits):
            rois = torch.tensor([[0.0, *box]])
            colours = roi_align(instances.colours[None].float() / 255, rois, (8, 8), 1.0, 0, 'avg', True)
            p = mask[label].sigmoid()
            terms.append(feature_similarity_loss(colours, torch.stack([1 - p, p])[None], sigma=2.0))
        torch.testing.assert_close(out['loss_mask']['loss_mask_similarity'], 0.5 * torch.stack(terms).mean())
        assert all(gradient.isfinite().all() for gradient in grads)

    def test_without_proposals_and_without_colours(self):
        head = build(feature_similarity=dict())
        out, _, _ = run(head, self.coloured(which=(), boxes=(), labels=()))
        assert out['loss_mask']['loss_mask_similarity'] == 0
        with pytest.raises(TypeError, match='KeepColours'):
            run(head, sample())


def half_unreliable():
    unreliable = np.zeros((2, SIZE, SIZE), np.uint8)
    unreliable[0, :, :7], unreliable[1, 5:] = 1, 1
    return unreliable


EMPTY = dict(boxes=(), which=(), labels=())
PARTS = {
    'both': (lambda: sample(half_unreliable()), lambda: sample(1 - half_unreliable())),
    'one plain': (lambda: sample(half_unreliable()), lambda: sample()),
    'one without proposals': (lambda: sample(**EMPTY), lambda: sample(half_unreliable())),
    'one without a reliable pixel': (lambda: sample(np.ones((2, SIZE, SIZE), np.uint8)), lambda: sample()),
    'nothing': (lambda: sample(**EMPTY), lambda: sample(**EMPTY)),
}


def part_of(rank, feats):
    """Terms and gradients of a rank's image, or of both images for rank None."""
    found = {}
    for name, halves in PARTS.items():
        images = [make() for make in (halves if rank is None else halves[rank : rank + 1])]
        head, results = build(noise_aware=dict(balance=0.7), reduce='global'), [image[0] for image in images]
        kept = [feats[number, : len(result.pos_priors)] for number, result in zip([rank or 0, 1], results)]
        logits = head(torch.cat(kept))
        out = head.loss_and_target(logits, results, [image[1] for image in images], CFG)['loss_mask']
        sum(term.sum() for term in out.values()).backward()
        gradients = [parameter.grad.numpy() for parameter in head.parameters()]
        found[name] = [float(out[key].sum()) for key in sorted(out)], gradients
    return found


def test_two_processes_are_one_with_the_joined_batch():
    torch.manual_seed(2)
    feats = torch.randn(2, 3, 4, 4, 4)
    joined, ranks = part_of(None, feats), in_two_processes(part_of, feats)
    for name, (terms, gradients) in joined.items():
        found = [rank[name] for rank in ranks]
        assert len(terms) == 2
        np.testing.assert_allclose(np.mean([one for one, _ in found], axis=0), terms, rtol=1e-5, atol=1e-6)
        for number, gradient in enumerate(gradients):
            mean = np.mean([one[number] for _, one in found], axis=0)
            np.testing.assert_allclose(mean, gradient, rtol=1e-4, atol=1e-6)

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_sam import SIDES, model

from bana_mm.labels.sam import BoxPrompter, PromptedMask, SamPreparation
from bana_mm.labels.sam.loading import FAMILIES
from bana_mm.labels.sam.prompter import _extent_iou

BOXES = np.array([[10, 12, 50, 58], [0, 0, 90, 60], [33, 21, 34, 22], [70, 2, 89, 55]])


def image(size=(60, 90), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def prompter(family, **options):
    return BoxPrompter(model(family), SamPreparation(side=SIDES[family], **FAMILIES[family]), **options)


def direct_call(made, picture, boxes, multimask):
    """The model called as its documentation says, on all boxes at once: logits (K, C, H, W), predicted IoU (K, C)."""
    preparation = made.preparation
    prompts = preparation.prompt_boxes(torch.from_numpy(boxes), picture.shape[:2])
    with torch.no_grad():
        output = made.model(
            pixel_values=preparation.network_input([picture]), input_boxes=prompts[None], multimask_output=multimask
        )
    logits = output.pred_masks[0]
    if preparation.keep_ratio:
        height, width = preparation.scaled_size(picture.shape[:2])
        logits = F.interpolate(logits, (preparation.side,) * 2, mode='bilinear')[..., :height, :width]
    return F.interpolate(logits, picture.shape[:2], mode='bilinear'), output.iou_scores[0]


@pytest.mark.parametrize('multimask', [False, True])
@pytest.mark.parametrize('family', ['sam', 'sam_hq', 'sam2', 'sam3_tracker'])
def test_equal_to_a_direct_call(family, multimask):
    made = prompter(family, multimask=multimask)
    logits, ious = direct_call(made, image(), BOXES, multimask)
    assert logits.std() > 0.05  # not one value everywhere
    assert logits.shape[1] == (3 if multimask else 1)
    found = made.decode(made.encode([image()])[0], BOXES)
    for number, (mask, (x1, y1, x2, y2)) in enumerate(zip(found, BOXES.tolist())):
        best = int(ious[number].argmax())
        expected = logits[number, best, y1:y2, x1:x2].numpy()
        assert mask.window == (x1, y1, x2, y2)
        assert mask.predicted_iou == pytest.approx(float(ious[number, best]), abs=1e-4)
        assert np.allclose(mask.logits, expected, atol=2e-3 * max(1, np.abs(expected).max()))
        sure = np.abs(expected) > 2e-3
        assert np.array_equal((mask.logits > 0)[sure], (expected > 0)[sure])


def test_the_encoder_runs_once_for_many_boxes():
    made = prompter('sam', chunk=64)
    passes = []
    made.model.vision_encoder.register_forward_hook(lambda *_: passes.append(1))
    decoded = []
    made.model.mask_decoder.register_forward_hook(lambda *_: decoded.append(1))
    corner = np.random.default_rng(0).integers(0, 40, (200, 2))
    encoded = made.encode([image()])[0]
    assert len(made.decode(encoded, np.hstack([corner, corner + 20]))) == 200
    assert (len(passes), len(decoded)) == (1, 4)
    made.encode([image(), image((128, 40)), image((30, 30))])
    assert len(passes) == 2
    assert made.encode([]) == [] and made.decode(encoded, np.zeros((0, 4))) == []
    assert (len(passes), len(decoded)) == (2, 4)


@pytest.mark.parametrize('family', ['sam', 'sam_hq', 'sam2'])
def test_chunks_and_batches_change_nothing(family):
    pictures = [image(), image((128, 40), seed=1)]
    boxes = np.array([[1, 2, 30, 40]] * 2 + [[5, 9, 39, 59], [0, 20, 8, 60], [3, 3, 20, 20]])
    whole, single = prompter(family, chunk=5), prompter(family, chunk=1)
    for encoded, picture in zip(whole.encode(pictures), pictures):
        together = whole.decode(encoded, boxes)
        for mask, box in zip(together, boxes):
            alone = single.decode(single.encode([picture])[0], box[None])[0]
            assert alone.window == mask.window
            assert np.allclose(alone.logits, mask.logits, rtol=2e-3, atol=2e-3)  # float16
            assert alone.predicted_iou == pytest.approx(mask.predicted_iou, abs=1e-4)


def test_boxes_of_every_kind():
    made = prompter('sam')
    encoded = made.encode([image()])[0]
    boxes = np.array([[33.2, 21.4, 33.3, 21.5], [-40, -40, -10, -5], [200, 100, 300, 200], [-5, -5, 500, 500]])
    found = made.decode(encoded, boxes)
    assert [mask.window for mask in found] == [(33, 21, 34, 22), (0, 0, 1, 1), (89, 59, 90, 60), (0, 0, 90, 60)]
    for mask in found:
        x1, y1, x2, y2 = mask.window
        assert mask.logits.shape == (y2 - y1, x2 - x1)
        assert mask.mask().any() and np.isfinite(mask.logits).all()


def test_margin_and_windows():
    made = prompter('sam', margin=0.25)
    encoded = made.encode([image()])[0]
    # a quarter of the longer side of 40 pixels, up to the image's edge
    assert made.decode(encoded, [[20, 5, 60, 35]])[0].window == (10, 0, 70, 45)
    plain = prompter('sam')
    box = made.decode(encoded, [[20, 5, 60, 35]], windows=[[20, 5, 60, 35]])[0]
    assert np.array_equal(box.logits, plain.decode(encoded, [[20, 5, 60, 35]])[0].logits)


def test_an_empty_mask_is_the_whole_window():
    logits = np.full((2, 3), -1, np.float16)
    mask = PromptedMask(logits, (0, 0, 3, 2), 0.9)
    assert not mask.found() and mask.mask().all()
    logits[0, 1] = 0.5
    assert mask.found() and mask.mask().tolist() == [[False, True, False], [False] * 3]
    assert not mask.found(threshold=0.5)


def test_the_mask_that_fits_the_box():
    masks = torch.zeros(1, 3, 8, 8, dtype=torch.bool)
    masks[0, 0, 2:4, 2:4] = True  # a part: 4 of 16 cells
    masks[0, 1, [2, 5], [2, 5]] = True  # two corners of the box: as far as the box
    iou = _extent_iou(masks, torch.tensor([[2.0, 2.0, 6.0, 6.0]]))
    assert torch.allclose(iou, torch.tensor([[0.25, 1.0, 0.0]]))


def test_choice_takes_the_fitting_mask():
    made = prompter('sam', multimask=True, choice='box')
    low = torch.full((1, 1, 3, 32, 32), -1.0)
    low[0, 0, 0] = 1  # everywhere, and with the highest predicted IoU
    low[0, 0, 2, 8:16, 4:12] = 1
    ious = torch.tensor([[[0.9, 0.5, 0.1]]])
    output = type('Output', (), dict(pred_masks=low, iou_scores=ious))
    encoded = made.encode([image((128, 128))])[0]
    made.model.forward = lambda **_: output
    box = [[16, 32, 48, 64]]
    assert made.decode(encoded, box)[0].predicted_iou == pytest.approx(0.1)
    made.choice = 'iou'
    assert made.decode(encoded, box)[0].predicted_iou == pytest.approx(0.9)


def test_half_precision_is_the_encoders_alone():
    half, full = (prompter('sam', encoder_dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    seen = []
    half.model.vision_encoder.layers[0].attn.qkv.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    half.model.mask_decoder.upscale_conv1.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    masks = half.decode(half.encode([image()])[0], BOXES)
    assert seen == [torch.bfloat16, torch.float32]
    others = full.decode(full.encode([image()])[0], BOXES)
    assert np.allclose(masks[1].logits, others[1].logits, atol=0.1 * np.abs(others[1].logits).max())


@pytest.mark.parametrize(
    ('options', 'message'), [(dict(choice='x'), 'choice'), (dict(margin=-1), 'margin'), (dict(chunk=0), 'chunk')]
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=f'sam: {message} must be'):
        BoxPrompter(torch.nn.Identity(), SamPreparation(side=8, **FAMILIES['sam']), **options)

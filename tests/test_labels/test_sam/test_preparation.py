import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_sam import transformers

from bana_mm.labels.sam import SamPreparation
from bana_mm.labels.sam.loading import FAMILIES

SIZES = [(60, 90), (90, 60), (200, 333), (128, 128), (4, 7), (300, 2)]


def image(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def preparation(family, side=128):
    return SamPreparation(side=side, **FAMILIES[family])


def sam_processor(side):
    """SAM's own processor, the one that works without torchvision."""
    try:
        from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil as Processor
    except ImportError:  # transformers 4
        Processor = transformers.SamImageProcessor
    return transformers.SamProcessor(Processor(size=dict(longest_edge=side), pad_size=dict(height=side, width=side)))


@pytest.mark.parametrize('size', SIZES)
def test_sam_is_prepared_as_by_its_processor(size):
    boxes = [[0.0, 0.0, size[1], size[0]], [0.25, 0.5, 1.0, 1.0]]
    expected = sam_processor(128)(
        image(size), input_boxes=[boxes], return_tensors='pt', input_data_format='channels_last'
    )
    ours = preparation('sam')
    assert torch.allclose(ours.network_input([image(size)]), expected['pixel_values'].float(), atol=1e-5)
    assert list(ours.scaled_size(size)) == expected['reshaped_input_sizes'][0].tolist()
    prompts = ours.prompt_boxes(torch.tensor(boxes), size)
    assert torch.allclose(prompts, expected['input_boxes'][0].float(), atol=1e-4)


@pytest.mark.parametrize('size', SIZES)
def test_masks_come_back_as_by_sams_processor(size):
    logits = torch.randn(1, 3, 1, 32, 32)
    processor, ours = sam_processor(128).image_processor, preparation('sam')
    expected = processor.post_process_masks(
        [logits[0]], [size], [ours.scaled_size(size)], binarize=False, pad_size=dict(height=128, width=128)
    )[0]
    rows, columns = ours.upsampling((32, 32), size)
    assert torch.allclose(rows @ logits[0] @ columns.T, expected, atol=1e-5)


@pytest.mark.parametrize('family', ['sam2', 'edgetam', 'sam3_tracker'])
def test_newer_families_stretch_images(family):
    ours = preparation(family)
    mean, std = ((0.5,) * 3, (0.5,) * 3) if family == 'sam3_tracker' else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    small = image((60, 90))
    scaled = np.asarray(Image.fromarray(small).resize((128, 128), Image.Resampling.BILINEAR)).astype(np.float64)
    expected = ((scaled / 255 - mean) / std).transpose(2, 0, 1)
    assert np.allclose(ours.network_input([small])[0].numpy(), expected, atol=1e-5)
    # x by 128 / 90, y by 128 / 60
    prompts = ours.prompt_boxes(torch.tensor([[9.0, 6.0, 45.0, 60.0]]), (60, 90))
    assert torch.allclose(prompts, torch.tensor([[12.8, 12.8, 64.0, 128.0]]))
    logits = torch.randn(1, 2, 32, 32)
    rows, columns = ours.upsampling((32, 32), (60, 90))
    expected = F.interpolate(logits, (60, 90), mode='bilinear', align_corners=False)
    assert torch.allclose(rows @ logits @ columns.T, expected, atol=1e-5)


def test_large_images_are_averaged_when_they_are_made_smaller():
    """As torchvision's resize in the families' processors does (antialias)."""
    large = image((512, 384), seed=3)
    ours = preparation('sam2').network_input([large])[0]
    tensor = torch.from_numpy(large).permute(2, 0, 1)[None].float()
    scaled = F.interpolate(tensor, (128, 128), mode='bilinear', antialias=True)[0]
    mean, std = (torch.tensor(FAMILIES['sam2'][name])[:, None, None] for name in ('mean', 'std'))
    assert ((ours * std + mean) * 255 - scaled).abs().max() < 1.01  # a level of 255, from rounding on the way


def test_a_batch_of_different_sizes():
    ours = preparation('sam')
    images = [image((60, 90)), image((128, 40), seed=1)]
    both = ours.network_input(images)
    assert both.shape == (2, 3, 128, 128)
    for number, one in enumerate(images):
        assert torch.equal(both[number], ours.network_input([one])[0])
    assert (both[0, :, 85:] == 0).all() and (both[1, :, :, 40:] == 0).all()


def test_settings():
    default = preparation('sam2')
    found = SamPreparation.from_settings(
        dict(size=dict(longest_edge=128), image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 3], rescale_factor=0.5), default
    )
    assert found == SamPreparation(128, True, (0.1, 0.2, 0.3), (1, 2, 3), 0.5)
    assert SamPreparation.from_settings({}, default) == default
    plain = SamPreparation.from_settings(dict(do_normalize=False, do_rescale=False), default)
    assert (plain.mean, plain.std, plain.scale) == ((0.0,) * 3, (1.0,) * 3, 1.0)
    with pytest.raises(ValueError, match=r"my/sam: .*'height': 256.*network's input is 128 x 128"):
        SamPreparation.from_settings(dict(size=dict(height=256, width=256)), default, 'my/sam')

"""SAMs of a few thousand random weights, built from their configs."""

import pytest
import torch

transformers = pytest.importorskip('transformers')

PROMPT = dict(hidden_size=32, image_size=128, patch_size=16, mask_input_channels=4)
DECODER = dict(hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32)
VIT = dict(
    hidden_size=32,
    output_channels=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=128,
    patch_size=16,
    window_size=4,
    global_attn_indexes=[1],
    num_pos_feats=16,
    mlp_dim=64,
)
HIERA = dict(
    model_type='sam2_hiera_det_model',
    hidden_size=8,
    num_attention_heads=1,
    image_size=[128, 128],
    embed_dim_per_stage=[8, 16, 32, 64],
    num_attention_heads_per_stage=[1, 2, 4, 8],
    blocks_per_stage=[1, 1, 2, 1],
    window_size_per_stage=[8, 4, 4, 2],
    global_attention_blocks=[3],
    window_positional_embedding_background_size=[4, 4],
)
SAM3_VIT = dict(
    model_type='sam3_vit_model',
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=112,
    patch_size=14,
    window_size=4,
    global_attn_indexes=[1],
    pretrain_image_size=56,
)
GRIDS = dict(backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]], fpn_hidden_size=32)
SIDES = dict(sam=128, sam_hq=128, sam2=128, sam3_tracker=112)


def config(family):
    prompt = dict(PROMPT, image_size=112, patch_size=14) if family == 'sam3_tracker' else PROMPT
    vision, decoder = VIT, DECODER
    if family == 'sam_hq':
        decoder = dict(DECODER, vit_dim=32)
    if family == 'sam2':
        vision = dict(backbone_config=HIERA, backbone_channel_list=[64, 32, 16, 8], **GRIDS)
    if family == 'sam3_tracker':
        vision = dict(backbone_config=SAM3_VIT, **GRIDS)
    try:
        found = transformers.AutoConfig.for_model(family)
    except ValueError:
        pytest.skip(f'transformers {transformers.__version__} has no {family}')
    return type(found)(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


def model(family, seed=0):
    """With weights of a scale at which logits and predicted IoUs differ from pixel to pixel and box to box."""
    torch.manual_seed(seed)
    made = transformers.AutoModelForMaskGeneration.from_config(config(family)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=1.5 / parameter[0].numel() ** 0.5)
    return made

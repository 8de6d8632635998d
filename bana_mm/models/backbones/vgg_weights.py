"""Public VGG-16 weights under whatever names they have, fitted to our network."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

# Convolutions of the five blocks; their names in Caffe are conv1_1 ... conv5_3.
BLOCK_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

# Names of fc6 and fc7: Caffe's and ours; those of the reduced VGG of SSD, which goes on counting in `features`;
# torchvision's; those of Caffe's network in early ports; timm's.
_FC_NAMES = (
    ('fc6', 'fc7'),
    ('features.31', 'features.33'),
    ('classifier.0', 'classifier.3'),
    ('classifier.1', 'classifier.4'),
    ('pre_logits.fc1', 'pre_logits.fc2'),
)
# Taps of a side of fc6 that is kept by every n-th: the reduced network's 3 as they are, VGG's 7 as taps 0, 3 and 6.
_TAP_STEPS = {3: 1, 7: 3}


class VGGWeights(NamedTuple):
    """Weights that fit a network.

    Args:
        state (dict[str, Tensor]): Weights by our names, ``features.N.*``, ``fc6.*`` and ``fc7.*``.
        sources (dict[str, str]): For each layer loaded, its name in the checkpoint, and in brackets how it was reduced.
    """

    state: dict[str, Tensor]
    sources: dict[str, str]


def fit_vgg_weights(checkpoint: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> VGGWeights:
    """The weights of a public VGG-16 that a network takes, by their names and shapes.

    Names of the convolutions: ``features.0`` (torchvision; also ``open-mmlab://vgg16_caffe``), ``conv1_1`` (Caffe) or
    the bare number (SSD's ``vgg16_reducedfc.pth``). Names of fc6 and fc7: ``fc6``, ``fc7``; ``features.31``,
    ``features.33`` (SSD's reduced VGG); ``classifier.0``, ``classifier.3`` (torchvision); ``classifier.1``,
    ``classifier.4`` (early ports of Caffe's weights); ``pre_logits.fc1``, ``pre_logits.fc2`` (timm). Each may stand
    behind a prefix such as ``module.`` or ``backbone.``, inside a ``state_dict`` entry or not.

    VGG's own fc6 (4096 channels over 7x7 cells) and fc7 (4096 x 4096), as matrices or as convolutions, become those of
    the reduced network as in DeepLab-LargeFOV and SSD: of fc6 every third tap, 0, 3 and 6, stays, and of the channels
    of both every fourth (for 1,024), without rescaling. Taps three cells of stride 32 apart lie 12 cells of stride 8
    apart, which is the dilation of DeepLab-V1. fc7 is taken only together with the fc6 of the same names, on whose
    channels it depends; layers with values that are not finite (torchvision's ``IMAGENET1K_FEATURES``) are not taken.

    Args:
        checkpoint (Mapping[str, Tensor]): A checkpoint or its state dict.
        own (Mapping[str, Tensor]): State dict of the network, for names and shapes: with ``fc6`` and ``fc7`` or
            without.

    Returns:
        VGGWeights: Weights by our names, and where they come from; empty if none fits.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in checkpoint.get('state_dict', checkpoint).items():
        name = _layer_name(key)
        if name:
            layers.setdefault(name, {})[key.rpartition('.')[2]] = value
    state, sources = {}, {}
    for name, layer in layers.items():
        for kind, value in layer.items():
            if name.startswith('features.') and f'{name}.{kind}' in own and own[f'{name}.{kind}'].shape == value.shape:
                state[f'{name}.{kind}'] = value
                sources[name] = name
    if 'fc6.weight' not in own:
        return VGGWeights(state, sources)
    for names in _FC_NAMES:
        reduced = [_reduce(layers.get(name), own[f'{fc}.weight'].shape) for fc, name in zip(('fc6', 'fc7'), names)]
        if reduced[0] is None:
            continue
        channels = len(layers[names[0]]['weight'])  # of the full fc6, which the full fc7 has to see
        for fc, name, layer in zip(('fc6', 'fc7'), names, reduced):
            if layer is None or (fc == 'fc7' and layers[name]['weight'].shape[1] != channels):
                continue
            state.update({f'{fc}.{kind}': value for kind, value in layer.items()})
            full = layers[name]['weight'].shape
            same = full == layer['weight'].shape
            sources[fc] = name if same else f'{name} ({" x ".join(map(str, full))}, reduced)'
        break
    return VGGWeights(state, sources)


def _layer_name(key: str) -> str | None:
    """The layer to which a key belongs, by torchvision's name where it is a convolution; None for other entries."""
    *prefix, layer, kind = ['', *key.split('.')]
    parent = prefix[-1] if prefix else ''
    if kind not in ('weight', 'bias'):
        return None
    if layer in _CAFFE_NAMES:
        return _CAFFE_NAMES[layer]
    if layer in ('fc6', 'fc7'):
        return layer
    if parent in ('features', 'classifier', 'pre_logits'):
        return f'{parent}.{layer}'
    return f'features.{layer}' if layer.isdigit() and parent in ('', 'vgg') else None


def _caffe_names() -> dict[str, str]:
    names, index = {}, 0
    for block, widths in enumerate(BLOCK_WIDTHS, start=1):
        for layer in range(1, len(widths) + 1):
            names[f'conv{block}_{layer}'] = f'features.{index}'
            index += 2  # convolution and ReLU
        index += 1  # pooling
    return names


_CAFFE_NAMES = _caffe_names()


def _reduce(layer: Mapping[str, Tensor] | None, shape: torch.Size) -> dict[str, Tensor] | None:
    """A layer, (O, I * s * s) or (O, I, s, s), with the channels and taps of ``shape``, (o, i, k, k).

    Returns:
        dict[str, Tensor] | None: A copy, ``weight`` and, if there is one, ``bias``; None where it does not fit.
    """
    weight = (layer or {}).get('weight')
    if weight is None or weight.ndim not in (2, 4):
        return None
    outputs, inputs, taps = shape[:3]
    if weight.ndim == 2:
        # a matrix runs over channels, then rows, then columns of the cells that it sees
        side = 7 if taps > 1 else 1
        if weight.shape[1] % side**2:
            return None
        weight = weight.reshape(len(weight), -1, side, side)
    tap_step = _TAP_STEPS.get(weight.shape[-1], 0) if taps > 1 else 1
    if not tap_step or weight.shape[0] % outputs or weight.shape[1] % inputs:
        return None
    steps = weight.shape[0] // outputs, weight.shape[1] // inputs
    # What enters fc6 has its full width, and what enters fc7 comes out of fc6, which was reduced alike.
    if steps[1] != (1 if taps > 1 else steps[0]):
        return None
    kept = {'weight': weight[:: steps[0], :: steps[1], ::tap_step, ::tap_step].clone()}
    if 'bias' in layer:
        kept['bias'] = layer['bias'][:: steps[0]].clone()
    fits = kept['weight'].shape == shape and all(value.isfinite().all() for value in kept.values())
    return kept if fits else None

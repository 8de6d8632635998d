"""What a run says before it starts."""

from pathlib import Path

import mmengine
import pytest
import torch

from bana_mm.pipeline.run_header import run_header
from bana_mm.utils.config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'


def header(name, *options, **settings):
    lines = run_header(read_config(CONFIGS / f'{name}.py', *options, **settings)).splitlines()
    return lines[0], lines[1], lines[2], lines[3:]


def test_a_row_of_the_paper():
    title, seed, versions, further = header('bana/deeplabv1_vgg16_voc')
    assert title.startswith('deeplabv1_vgg16_voc: Table 3, L_wce (NAL): 62.4 mIoU on VOC val')
    assert seed.startswith('seed: 13 ')
    assert f'torch {torch.__version__}' in versions and f'mmengine {mmengine.__version__}' in versions
    assert any(
        line.startswith('aims at: Table 3') and line.endswith('single scale 62.4, ms+flip+CRF 68.1 (published)')
        for line in further
    )
    assert not any('against the paper' in line for line in further)


def test_choices_against_the_paper():
    *_, further = header('bana/bap_vgg16_voc')
    (choices,) = (line for line in further if line.startswith('against the paper: '))
    said = set(choices.removeprefix('against the paper: ').split('; '))
    # the reference code's, and those of our recipe
    assert {
        'bap_head.output_size=2 (paper: 1)',
        'bap_head.min_background=0.125 (paper: 0.0)',
        'optim_wrapper.optimizer.lr=0.001 (paper: 0.0001)',
        "label_recipe.normalise='box' (paper: 'image')",
        'label_recipe.flip=True (paper: False)',
    } <= said
    changed = {'model.bap_head.output_size': 1, 'model.bap_head.min_background': 0.0, 'model.bap_head.grid_size': 2}
    *_, further = header('bana/bap_vgg16_voc', changed)
    (choices,) = (line for line in further if line.startswith('against the paper: '))
    assert 'output_size' not in choices and 'min_background' not in choices
    assert 'bap_head.grid_size=2 (paper: 4)' in choices


def test_a_loss_that_is_not_the_paper_s():
    *_, further = header(
        'examples/deeplabv3plus_r50_voc', {'model.auxiliary_head.head.loss_decode.gamma': 5.0, 'randomness': dict()}
    )
    assert further == ['against the paper: auxiliary_head.head.loss_decode.gamma=5.0 (paper: 7.0)']


def test_a_size_aims_at_no_figure():
    *_, further = header('bana/deeplabv1_vgg16_voc', preset='cpu')
    assert further == ['aims at no published figure: those of deeplabv1_vgg16_voc are without preset']


def test_bare_config(tmp_path):
    (tmp_path / 'bare.py').write_text('load_from = None\n')
    title, seed, versions = run_header(read_config(tmp_path / 'bare.py')).splitlines()
    assert title == 'bare' and seed.startswith('seed: none given') and versions.startswith('versions: bana_mm ')


@pytest.mark.parametrize('name', ['addons/vwl-m_r101_voc', 'bana/mask-rcnn_r101_fpn_coco2coco', 'demo/demo_nal'])
def test_other_models(name):
    title, seed, _, _ = header(name)
    assert title.startswith(name.split('/')[1]) and seed.startswith('seed: 13')

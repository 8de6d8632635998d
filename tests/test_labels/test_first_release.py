"""Labels of synthetic images are those of the first release."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from pycocotools import mask as mask_api

REPO = Path(__file__).parents[2]
SIZES = ((48, 64), (40, 56), (57, 43))
CONFIG = """
_base_ = '{base}'
model = dict(
    backbone=dict(width_mult=0.0625, out_channels=8, pretrained=None),
    bap_head=dict(num_classes=2, in_channels=8),
    label_recipe=dict(_delete_=True, background={background!r}, crf=dict(iterations=3)))
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(img_suffix='.png', metainfo=dict(classes=('ring', 'triangle'))))
"""
# Label maps of all images and masks of all boxes by name, uint8. Those that need no network are the same on every
# machine; a network's rounding differs between processors, and with it single pixels.
STORED = Path(__file__).with_name('labels_of_first_release.npz')
EXACT = ('box', 'grabcut', 'box_crf')
FEW = 0.02


def write_data(root):
    """Discs and triangles of one colour on another, two or three an image, in VOC's layout and in COCO's."""
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        pixels = np.zeros((height, width, 3))
        pixels[...] = (60 + 40 * np.sin((x + 2 * y) / 9)[..., None]) * (1.0, 0.8, 0.6)
        boxes = [('ring', 6, 5, 30, 27), ('triangle', 24, 18, 42, 38)] + [('ring', 34, 4, 41, 12)] * (number == 2)
        objects = []
        for name, x1, y1, x2, y2 in boxes:
            if name == 'ring':
                inside = ((x - (x1 + x2 - 1) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2 - 1) / 2) / (y2 - y1)) ** 2 < 0.25
            else:
                inside = (y >= y1) & (y < y2) & (abs(x - (x1 + x2 - 1) / 2) <= (y - y1) * (x2 - x1) / (y2 - y1) / 2)
            pixels[inside] = (200, 40 + 20 * number, 60) if name == 'ring' else (40, 90, 210)
            corners = f'<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>'
            objects.append(f'<object><name>{name}</name><bndbox>{corners}</bndbox></object>')
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number + 1,
                    category_id=1 + (name == 'triangle'),
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=0,
                )
            )
        Image.fromarray(pixels.round().astype(np.uint8)).save(root / f'JPEGImages/{number}.png')
        size = f'<size><width>{width}</width><height>{height}</height></size>'
        (root / f'Annotations/{number}.xml').write_text(f'<annotation>{size}{"".join(objects)}</annotation>')
        images.append(dict(id=number + 1, file_name=f'{number}.png', height=height, width=width))
    (root / 'ImageSets/Segmentation/all.txt').write_text(''.join(f'{number}\n' for number in range(len(SIZES))))
    categories = [dict(id=1, name='ring'), dict(id=2, name='triangle')]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'boxes.json').write_text(json.dumps(content))


def write_model(root, base):
    """Configs, and weights that follow a formula, so that no random numbers are asked for."""
    for background in ('attention', 'cam', 'none'):
        (root / f'{background}.py').write_text(CONFIG.format(base=base, background=background))
    cfg = Config.fromfile(root / 'attention.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    state = {}
    for place, (name, value) in enumerate(model.state_dict().items()):
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * 1.7 + place)
        fan_in = value[0].numel() if value.dim() > 1 else 100
        state[name] = (wave * (3 / fan_in) ** 0.5).reshape(value.shape).float()
    meta = dict(dataset_meta=dict(classes=('ring', 'triangle')))
    torch.save(dict(state_dict=state, meta=meta), root / 'weights.pth')


def make_all(root, patch):
    """All labels that the tool makes of the data in a folder, in this process to spare its start-up."""
    spec = importlib.util.spec_from_file_location('generate_labels_tool', REPO / 'tools/generate_labels.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    patch.chdir(root)
    patch.setenv('VOC_ROOT', str(root))

    def run(*arguments):
        given = (*map(str, arguments), '--workers', '0', '--device', 'cpu')
        patch.setattr(sys, 'argv', ['generate_labels.py', *given])
        tool.main()

    found = {}
    for background in ('attention', 'cam', 'none'):
        run(f'{background}.py', 'weights.pth', '--split', 'all', '--out-dir', background)
    run('attention.py', '--source', 'box+grabcut+box_crf', '--split', 'all', '--out-dir', 'sources')
    for folder in ('attention', 'cam', 'none', 'sources'):
        for path in (root / folder).rglob('*.png'):
            kind = path.parent.name if folder == 'sources' else f'{folder} {path.parent.name}'
            found[f'{kind} {path.stem}'] = np.array(Image.open(path))
    run(
        *('attention.py', 'weights.pth', '--coco', 'boxes.json', '--img-dir', 'JPEGImages', '--out', 'masks.json'),
        *('--cfg-options', 'instance_recipe.side=32', 'instance_recipe.unary.crf.iterations=3'),
    )
    for one in json.loads((root / 'masks.json').read_text())['annotations']:
        assert one['area'] == mask_api.area(one['segmentation'])
        for field in ('segmentation', 'unreliable'):
            found[f'masks {field} {one["id"]}'] = mask_api.decode(one[field])
    return found


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp('first_release')
    write_data(root)
    write_model(root, REPO / 'configs/bana/bap_vgg16_voc.py')
    with pytest.MonkeyPatch.context() as patch:
        return make_all(root, patch)


@pytest.mark.parametrize('kind', [*EXACT, 'attention', 'cam', 'none', 'masks'])
def test_labels_are_those_of_the_first_release(found, kind):
    with np.load(STORED) as stored:
        expected = {name: stored[name] for name in stored.files if name.split()[0] == kind}
    assert expected and expected.keys() == {name for name in found if name.split()[0] == kind}
    pixels = sum(label.size for label in expected.values())
    differ = sum(np.count_nonzero(found[name] != label) for name, label in expected.items())
    assert differ <= (0 if kind in EXACT else FEW * pixels)

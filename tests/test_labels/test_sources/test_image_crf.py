"""Labels from image labels: as from boxes over the whole image, into a store, and into a step of stage 3."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.functional import dense_crf, unary_probability
from bana_mm.labels import (
    LabelItem,
    LabelItems,
    StoreSink,
    answers,
    build_label_source,
    label_source_of,
    make_labels,
)
from bana_mm.labels.class_weights import weight_of_classes
from bana_mm.labels.classifier import build_classifier, extract_features
from bana_mm.labels.generator import LabelGenerator
from bana_mm.labels.image_generator import whole_image
from bana_mm.structures import BoxLayout, LabelStore

CLASSES = ('ring', 'triangle')
CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['bana_mm.registry'], allow_failed_imports=False)
data_root = {root!r}
model = dict(
    type='bana_mm.ImageClassifier',
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    head=dict(type='bana_mm.ImageHead', num_classes=2, in_channels=8),
    stride=8,
    activations=dict(scales=(1.0, 0.5), crf=dict(iterations=2, bilateral=(4, 20, 10), backend='torch')),
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[110.0] * 3, std=[60.0] * 3, bgr_to_rgb=True))
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
test_dataloader = dict(dataset=dict(
    type='bana_mm.VOCBoxDataset', data_root=data_root, ann_file='ImageSets/Segmentation/val.txt',
    metainfo=dict(classes=('ring', 'triangle')), pipeline=test_pipeline, test_mode=True))
train_dataloader = test_dataloader
"""


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('image_crf')
    root = make_tiny_voc(folder / 'voc')
    (folder / 'image.py').write_text(CONFIG.format(root=str(root)))
    cfg = Config.fromfile(folder / 'image.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
        torch.nn.init.uniform_(model.head.classifier.weight)  # so that no map is zero
    torch.save(dict(state_dict=model.state_dict()), folder / 'image.pth')
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return folder, root, LabelItems(dataset)


@pytest.fixture
def source(work):
    folder = work[0]
    return build_label_source(f'image_crf:{folder / "image.py"}:{folder / "image.pth"}')


def test_a_classifier_says_who_makes_its_labels(work):
    assert label_source_of(Config.fromfile(work[0] / 'image.py')) == 'image_crf'
    for kind, name in (
        ('SEAMClassifier', 'image_crf'),
        ('BoxClassifier', 'classifier'),
        ('VGG16LargeFOV', 'classifier'),
    ):
        assert label_source_of(Config(dict(model=dict(type=f'bana_mm.{kind}')))) == name


def test_boxes_over_the_whole_image():
    layout = BoxLayout.from_boxes((20, 30), [[1, 2, 5, 6], [3, 3, 9, 9], [0, 0, 4, 4]], [3, 1, 3], [[20, 5, 25, 9]])
    whole = whole_image(layout)
    assert whole.classes == (0, 1, 3) and whole.boxes.tolist() == [[0, 0, 30, 20]] * 2
    assert whole.regions().all() and not whole.background().any() and not whole.unknown().any()
    assert whole_image(BoxLayout.from_boxes((20, 30), [], [])).classes == (0,)


def test_maps_against_a_constant_background_through_the_crf(work, source):
    folder, _, items = work
    item = items[0]
    (answer,) = answers(source, [item], 'maps')
    model = build_classifier(Config.fromfile(folder / 'image.py'), folder / 'image.pth')
    image = torch.from_numpy(item.image[..., ::-1].copy()).permute(2, 0, 1)
    inputs = model.data_preprocessor(dict(inputs=[image], data_samples=None))['inputs']
    classes = item.layout.classes[1:]
    maps = model.activation_maps(inputs, torch.tensor(classes) - 1)
    probability = unary_probability(torch.full(item.layout.size, 0.15), maps, torch.ones_like(maps, dtype=torch.bool))
    posterior = dense_crf(item.image, probability, **model.activations.crf)
    assert np.array_equal(answer['image_crf'], np.array((0, *classes), np.uint8)[np.asarray(posterior).argmax(0)])


def test_boxes_do_not_matter(work, source):
    """Only the classes that they name do."""
    item = work[2][0]
    height, width = item.layout.size
    classes = item.layout.classes[1:]
    moved = LabelItem.from_array(item.image, [[0, 0, width, height]] * len(classes), classes)
    (a,), (b,) = answers(source, [item], 'maps'), answers(source, [moved], 'maps')
    assert np.array_equal(a['image_crf'], b['image_crf'])
    empty = LabelItem.from_array(item.image, [], [])
    assert not answers(source, [empty], 'maps')[0]['image_crf'].any()


def test_as_the_labels_of_whole_boxes(work):
    """The label generator of boxes makes the same of the same scores: none of the background, one view."""
    folder, _, items = work
    recipe = dict(scales=(1.0,), flip=False, crf_level=0.0, align_corners=True)
    files = dict(config=folder / 'image.py', checkpoint=folder / 'image.pth')
    source = build_label_source(dict(type='image_crf', recipe=recipe, both=True, **files))
    model = build_classifier(Config.fromfile(folder / 'image.py'), folder / 'image.pth')
    of_boxes = LabelGenerator(
        model.class_weight,
        dict(background='none', score='cam', normalise='image', restore='none', crf=model.activations.crf),
    )
    for index in range(len(items)):
        item = items[index]
        (maps,) = answers(source, [item], 'maps')
        layout = whole_image(item.layout)
        (feats,) = extract_features(model, [item.image])
        y_crf = of_boxes.prepare(feats, item.image, layout).run()
        assert (maps['Y_crf'] == y_crf).mean() > 0.999  # maps are divided by their maximum and 1e-5
        assert np.array_equal(maps['Y_ret'], of_boxes.finish(feats, layout, maps['Y_crf'])['Y_ret'])


def test_masks_are_cut_out_by_the_boxes(work, source):
    item = work[2][1]
    (maps,), (masks,) = answers(source, [item], 'maps'), answers(source, [item], 'masks')
    assert len(masks) == len(item.layout.boxes)
    for mask, (x1, y1, x2, y2), index in zip(masks, item.layout.boxes.tolist(), item.layout.box_classes):
        assert mask.mask.shape == (y2 - y1, x2 - x1)
        own = maps['image_crf'][y1:y2, x1:x2] == index
        assert not (mask.mask & ~own).any() or not own.any()  # a box without any of its class is taken whole


def test_classes_of_another_data_set(work, source):
    item = work[2][0]
    (before,) = answers(source, [item], 'maps')
    source.bind(('triangle', 'cross', 'ring'))
    renamed = {1: 3, 2: 1}
    layout = BoxLayout.from_boxes(
        item.layout.size, item.layout.boxes, [renamed[index] for index in item.layout.box_classes]
    )
    (after,) = answers(source, [LabelItem(layout, pixels=item.image)], 'maps')
    expected = np.zeros_like(before['image_crf'])
    for old, new in renamed.items():
        expected[before['image_crf'] == old] = new
    assert np.array_equal(after['image_crf'], expected)
    own, unseen = weight_of_classes(torch.eye(3), CLASSES, ('triangle', 'cross', 'ring'))
    assert unseen == ['cross'] and own[2].tolist() == [0, 0, 0]


def test_wrong_kinds_of_classifier(work):
    folder = work[0]
    files = f'{folder / "image.py"}:{folder / "image.pth"}'
    with pytest.raises(ValueError, match='come from the source image_crf'):
        answers(build_label_source(f'bana_crf:{files}'), [work[2][0]], 'maps')
    with pytest.raises(ValueError, match="unknown field 'levle' in activations"):
        answers(build_label_source(f'image_crf:{files}', recipe=dict(levle=1)), [work[2][0]], 'maps')


STAGE_3 = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[110.0] * 3, std=[60.0] * 3, size=(33, 33), seg_pad_val=255
    ),
    backbone=dict(type='bana_mm.VGG16LargeFOV', width_mult=0.0625, out_channels=8),
    decode_head=dict(
        type='bana_mm.CosineDecodeHead',
        head=dict(
            type='FCNHead',
            in_channels=8,
            channels=8,
            num_convs=0,
            concat_input=False,
            num_classes=3,
            loss_decode=[
                dict(type='bana_mm.NoiseAwareLoss'),
                dict(type='bana_mm.SegFeatureSimilarityLoss', cell_size=4),
            ],
        ),
    ),
)


def test_store_and_a_step_of_stage_3(work, tmp_path):
    folder, root, items = work
    files = dict(config=folder / 'image.py', checkpoint=folder / 'image.pth')
    source = build_label_source(dict(type='image_crf', both=True, **files))
    make_labels(source, items, StoreSink(LabelStore(tmp_path, source.map_names), items.img_ids))
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='bana_mm.BoxPseudoLabel', label_dir=str(tmp_path), num_classes=2),
        dict(type='RandomCrop', crop_size=(33, 33)),
        dict(type='bana_mm.KeepColours'),
        dict(type='bana_mm.ColorJitter'),
        dict(type='bana_mm.PackBoxSegInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(
            dict(
                type='bana_mm.VOCBoxDataset',
                data_root=str(root),
                ann_file='ImageSets/Segmentation/val.txt',
                metainfo=dict(classes=CLASSES),
                background_class=True,
                pipeline=pipeline,
            )
        )
        model = MODELS.build(STAGE_3).train()
        batch = pseudo_collate([dataset[index] for index in range(2)])
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert {'decode.loss_ce', 'decode.loss_wce', 'decode.loss_fsl'} <= set(losses) and total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

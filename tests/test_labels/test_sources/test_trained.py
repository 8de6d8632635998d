import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from bana_mm.labels import LabelItem, answers, build_label_source, label_map
from bana_mm.labels.trained_model import TrainedModel, _trained_model, rows_of_classes, trained_model

REPO = Path(__file__).parents[3]
SEGMENTOR = """
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[100.0, 120.0, 140.0], std=[50.0] * 3, bgr_to_rgb=True),
    backbone=dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, norm_cfg=dict(type='BN')),
    decode_head=dict(type='FCNHead', in_channels=32, channels=4, num_convs=1, num_classes=3, in_index=3,
                     norm_cfg=dict(type='BN')),
    test_cfg=dict(mode='whole'))
test_dataloader = dict(dataset=dict(
    type='BaseSegDataset', metainfo=dict(classes=('background', 'cat', 'dog')),
    # in the order of their names, as mmengine writes configs
    pipeline=dict(labels=dict(type='LoadAnnotations'), load=dict(type='LoadImageFromFile'),
                  order=('load', 'resize', 'labels', 'pack'), pack=dict(type='PackSegInputs'),
                  resize=dict(type='Resize', scale=(48, 48), keep_ratio=True))))
train_dataloader = test_dataloader
"""
IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
BOXES = [[2, 3, 20, 25], [15, 10, 38, 28]]


def make(folder, text, scope, seed=0):
    """A config with a checkpoint of random weights."""
    folder.mkdir()
    (folder / 'config.py').write_text(text)
    cfg = Config.fromfile(folder / 'config.py')
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    classes = cfg.train_dataloader.dataset.metainfo.classes
    meta = dict(dataset_meta=dict(classes=tuple(classes)))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'weights.pth')
    return f'{folder}/config.py', f'{folder}/weights.pth'


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory):
    return make(tmp_path_factory.mktemp('trained') / 'segmentor', SEGMENTOR, 'mmseg')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    text = (REPO / 'tests/test_tools/tiny_detector.py').read_text().split('"""')[3].replace('{REPO}', str(REPO))
    return make(tmp_path_factory.mktemp('trained') / 'detector', text, 'mmdet')


@pytest.fixture(autouse=True)
def fresh():
    yield
    _trained_model.cache_clear()


def item_of(classes=(1, 2), boxes=BOXES, **kwargs):
    return LabelItem.from_array(IMAGE, boxes, classes, **kwargs)


def segmentor_probability(segmentor):
    """By the parts of the framework: resized to 48 x 36 and back."""
    cfg = Config.fromfile(segmentor[0])
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(torch.load(segmentor[1], weights_only=True)['state_dict'])
    import cv2

    resized = cv2.resize(IMAGE, (48, 36), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    inputs = (torch.from_numpy(resized).permute(2, 0, 1) - torch.tensor([100.0, 120, 140])[:, None, None]) / 50
    with torch.no_grad():
        logits = model.eval().decode_head(model.backbone(inputs[None]))
    logits = torch.nn.functional.interpolate(logits, (36, 48), mode='bilinear', align_corners=False)
    logits = torch.nn.functional.interpolate(logits, (30, 40), mode='bilinear', align_corners=False)
    return logits[0].softmax(dim=0).numpy()


class TestSegmentor:
    def source(self, segmentor, **kwargs):
        kwargs.setdefault('crf', dict(iterations=0))  # the unaries alone decide
        return build_label_source(f'segmentor:{segmentor[0]}:{segmentor[1]}', device='cpu', **kwargs)

    def test_probabilities_are_held_to_the_boxes(self, segmentor):
        probability = segmentor_probability(segmentor)
        ((task, _),) = self.source(segmentor).prepare([item_of()], 'maps')
        for y in range(30):
            for x in range(40):
                allowed = [0] + [c for c, (x1, y1, x2, y2) in zip((1, 2), BOXES) if x1 <= x < x2 and y1 <= y < y2]
                expected = np.zeros(3)
                expected[allowed] = probability[allowed, y, x] / probability[allowed, y, x].sum()
                assert np.allclose(task.probability[:, y, x], expected, atol=1e-4), (y, x)
        assert task.restore == (True, True)

    def test_label_map(self, segmentor):
        ((task, _),) = self.source(segmentor).prepare([item_of()], 'maps')
        label = label_map(self.source(segmentor), item_of())
        best = task.probability.argmax(0)
        for (x1, y1, x2, y2), index in zip(BOXES, (1, 2)):
            assert (label[y1:y2, x1:x2] == index).any()  # no box is left empty
            if (best[y1:y2, x1:x2] == index).any():
                assert np.array_equal(label == index, best == index) or (best == index).sum() <= (label == index).sum()

    def test_masks_are_cut_out_of_the_map(self, segmentor):
        source = self.source(segmentor)
        label = label_map(source, item_of())
        (masks,) = answers(source, [item_of()], 'masks')
        for one, (x1, y1, x2, y2), index in zip(masks, BOXES, (1, 2)):
            assert np.array_equal(one.mask, label[y1:y2, x1:x2] == index) and not one.unreliable.any()

    def test_without_boxes_all_is_background(self, segmentor):
        assert not label_map(self.source(segmentor), item_of([], np.zeros((0, 4)))).any()

    def test_ignored_boxes_are_255(self, segmentor):
        label = label_map(self.source(segmentor), item_of((1,), BOXES[:1], ignored=[[30, 0, 40, 5]]))
        assert (label[:5, 30:] == 255).all() and (label[5:, 30:] == 0).all()

    def test_classes_go_by_their_names(self, segmentor):
        source, swapped = self.source(segmentor), self.source(segmentor)
        swapped.bind(['dog', 'cat'])
        assert np.array_equal(
            label_map(swapped, item_of((2,), BOXES[:1])) == 2, label_map(source, item_of((1,), BOXES[:1]))
        )
        swapped.bind(['hound'], same_as=dict(hound='dog'))
        assert np.array_equal(
            label_map(swapped, item_of((1,), BOXES[:1])) == 1, label_map(source, item_of((2,), BOXES[:1])) == 2
        )
        with pytest.raises(ValueError, match="does not know the class 'hound', only cat, dog.*--same-as hound=OTHER"):
            source.bind(['hound'])

    def test_the_task_needs_no_network(self, segmentor):
        ((task, _),) = self.source(segmentor).prepare([item_of()], 'maps')
        assert len(pickle.dumps(task)) < 4 * IMAGE.size * 3
        assert np.array_equal(pickle.loads(pickle.dumps(task)).run(), task.run())

    def test_record_knows_the_checkpoint_by_its_content(self, segmentor):
        source = self.source(segmentor)
        record = source.record(['cat', 'dog'], 'maps')
        assert set(record) == {'source', 'classes', 'checkpoint', 'model'}
        assert record['model']['pipeline'] and record['model']['model']['type'] == 'EncoderDecoder'
        assert record['source']['type'] == 'segmentor' and len(record['checkpoint']) == 16
        held = dict(checkpoint=record['checkpoint'], model=record['model'])
        assert source.networks('maps') == [('segmentor', held)]  # of a merged one

    def test_another_model(self, detector):
        with pytest.raises(ValueError, match='config.py: label source segmentor needs a segmentation model of mmseg'):
            label_map(self.source(detector), item_of())


class TestDetector:
    def source(self, detector, **kwargs):
        return build_label_source(f'detector:{detector[0]}:{detector[1]}', device='cpu', **kwargs)

    def test_masks_are_those_of_the_head_on_the_given_boxes(self, detector):
        (masks,) = answers(self.source(detector), [item_of()], 'masks')
        trained = TrainedModel(Config.fromfile(detector[0]), detector[1], 'cpu')
        data = trained.inputs(IMAGE)
        (sample,) = data['data_samples']
        assert sample.img_shape == (48, 64) and sample.ori_shape == (30, 40)  # 64 / 40 = 48 / 30 = 1.6 times as large
        given = InstanceData(bboxes=torch.tensor(BOXES) * 1.6, labels=torch.tensor([0, 1]), scores=torch.ones(2))
        with torch.no_grad():
            feats = trained.model.extract_feat(data['inputs'])
            (result,) = trained.model.roi_head.predict_mask(feats, [sample.metainfo], [given], rescale=True)
        for one, whole, (x1, y1, x2, y2) in zip(masks, result.masks.numpy(), BOXES):
            expected = whole[y1:y2, x1:x2]
            if expected.any():
                assert (one.mask != expected).mean() < 0.02  # probabilities come in steps of 1 / 255
            assert one.mask.any() and 0 < one.score <= 1

    def test_undecided_pixels_are_unreliable(self, detector):
        (few,), (many,) = (
            answers(self.source(detector, undecided=undecided), [item_of()], 'masks') for undecided in (0.0, 0.49)
        )
        for none, nearly_all in zip(few, many):
            assert not none.unreliable.any() or none.unreliable.all()  # all of a box in which nothing was found
            assert nearly_all.unreliable.mean() > 0.9
        with pytest.raises(ValueError, match=r'undecided must lie in \[0, 0.5\), got 0.5'):
            self.source(detector, undecided=0.5)

    def test_label_map_has_the_smaller_box_in_front(self, detector):
        (masks,) = answers(self.source(detector), [item_of()], 'masks')
        label = label_map(self.source(detector), item_of())
        expected = np.zeros((30, 40), np.uint8)
        for one, (x1, y1, x2, y2), index in reversed(list(zip(masks, BOXES, (1, 2)))):  # the first box is the smaller
            expected[y1:y2, x1:x2][one.mask] = index
        assert np.array_equal(label, expected)

    def test_without_boxes(self, detector):
        item = item_of([], np.zeros((0, 4)))
        assert (
            answers(self.source(detector), [item], 'masks') == [[]] and not label_map(self.source(detector), item).any()
        )

    def test_another_model(self, segmentor):
        with pytest.raises(ValueError, match='label source detector needs a model of mmdet with a mask head on boxes'):
            label_map(self.source(segmentor), item_of())


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.py: config of label source 'segmentor' does not exist"):
        build_label_source(f'segmentor:{tmp_path}/nowhere.py:{tmp_path}/nowhere.pth')


def test_rows_of_classes():
    assert rows_of_classes(['a', 'b', 'c'], ['c', 'x'], dict(x='a')) == [2, 0]


def test_the_device_is_that_of_the_run_unless_the_source_has_its_own(segmentor, monkeypatch):
    asked = []

    def remember(config, checkpoint, device):
        asked.append(device)
        return trained_model(config, checkpoint, 'cpu')

    monkeypatch.setattr('bana_mm.labels.trained_model.trained_model', remember)
    for device, expected in ((None, 'cuda:3'), ('cpu', 'cpu')):
        source = build_label_source(dict(type='segmentor', config=segmentor[0], checkpoint=segmentor[1], device=device))
        source.use_device('cuda:3')
        assert source.class_names == ('cat', 'dog') and asked[-1] == expected
        assert 'cuda' not in str(source.describe())

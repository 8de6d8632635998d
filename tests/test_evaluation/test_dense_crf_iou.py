"""Mean IoU with and without a CRF."""

import cv2
import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from PIL import Image

from bana_mm.evaluation import ContourCounts
from bana_mm.functional import dense_crf
from bana_mm.registry import METRICS

CRF = dict(bilateral=(4, 20, 10), gaussian=(3, 3), iterations=5)
CLASSES = ('background', 'red', 'blue')


@pytest.fixture
def images(tmp_path):
    """Coloured rectangles, whose logits are the ground truth but for noise and a third of pixels without opinion."""
    generator = np.random.default_rng(0)
    samples = []
    for name in 'ab':
        ground_truth = np.zeros((20, 24), np.int64)
        ground_truth[4:15, 3:10], ground_truth[6:18, 12:22] = 1, 2
        image = np.array([[90, 160, 90], [200, 40, 40], [40, 40, 200]], np.uint8)[ground_truth]  # RGB
        path = str(tmp_path / f'{name}.png')
        cv2.imwrite(path, image[..., ::-1])
        logits = 4 * np.eye(3, dtype=np.float32)[ground_truth].transpose(2, 0, 1)
        logits += generator.normal(0, 2, logits.shape).astype(np.float32)
        logits[:, generator.random(ground_truth.shape) < 0.3] = 0
        logits = torch.from_numpy(logits)
        ground_truth = torch.from_numpy(ground_truth)[None].clone()
        ground_truth[:, 0, :5] = 255
        samples.append(
            dict(
                img_path=path,
                seg_logits=dict(data=logits),
                gt_sem_seg=dict(data=ground_truth),
                pred_sem_seg=dict(data=logits.argmax(0, keepdim=True)),
            )
        )
    return samples


def evaluate(samples, workers=0, **kwargs):
    metric = METRICS.build(dict(type='bana_mm.DenseCRFIoUMetric', workers=workers, **kwargs))
    metric.dataset_meta = dict(classes=CLASSES)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def iou(samples, predict):
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, [dict(sample, pred_sem_seg=dict(data=predict(sample))) for sample in samples])
    return metric.evaluate(len(samples))


def refined(sample):
    image = cv2.imread(sample['img_path'])[..., ::-1].copy()
    posterior = dense_crf(image, sample['seg_logits']['data'].softmax(0).numpy(), **CRF)
    return torch.from_numpy(posterior.argmax(0))[None]


def test_without_crf_is_mmsegs(images):
    assert evaluate(images) == iou(images, lambda sample: sample['pred_sem_seg']['data'])


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_both_in_one_go(images, workers):
    scores = evaluate(images, with_crf=True, crf=CRF, workers=workers)
    plain = iou(images, lambda sample: sample['pred_sem_seg']['data'])
    crf = iou(images, refined)
    assert scores == {**plain, **{f'{key}_crf': value for key, value in crf.items()}}
    assert scores['mIoU_crf'] > scores['mIoU'] + 5


@pytest.mark.parametrize('with_crf', [False, True])
def test_predictions_are_saved_with_palette(images, tmp_path, with_crf):
    out = tmp_path / 'out'
    assert evaluate(images, with_crf=with_crf, crf=CRF, output_dir=str(out), format_only=True, keep_results=True) == {}
    for sample in images:
        expected = refined(sample) if with_crf else sample['pred_sem_seg']['data']
        with Image.open(out / f'{sample["img_path"][-5]}.png') as png:
            assert png.mode == 'P' and png.getpalette()[3:6] == [128, 0, 0]
            assert np.array_equal(np.array(png), expected[0].numpy())


@pytest.mark.parametrize('with_crf', [False, True])
def test_single_scale_beside_augmented_images(images, with_crf, tmp_path):
    """What the sample says without a prefix is of the augmented images; here its opinions are the weaker ones."""
    for sample in images:
        sample['plain_seg_logits'], sample['plain_pred_sem_seg'] = sample['seg_logits'], sample['pred_sem_seg']
        logits = sample['seg_logits']['data'].roll(3, dims=2)
        sample['seg_logits'], sample['pred_sem_seg'] = dict(data=logits), dict(data=logits.argmax(0, keepdim=True))
    scores = evaluate(images, with_crf=with_crf, crf=CRF, output_dir=str(tmp_path / 'out'))
    expected = {}
    for suffix, prefix in (('', 'plain_'), ('_tta', '')):
        views = [
            {
                key.removeprefix(prefix): sample[key]
                for key in ('img_path', 'gt_sem_seg', f'{prefix}seg_logits', f'{prefix}pred_sem_seg')
            }
            for sample in images
        ]
        alone = evaluate(views, with_crf=with_crf, crf=CRF)
        expected.update(
            {
                key.removesuffix('_crf') + suffix + ('_crf' if key.endswith('_crf') else ''): value
                for key, value in alone.items()
            }
        )
    assert scores == expected and len(scores) == (12 if with_crf else 6) and scores['mIoU_tta'] < scores['mIoU']
    saved = np.array(Image.open(tmp_path / 'out/a.png'))
    assert np.array_equal(saved, (refined(images[0]) if with_crf else images[0]['pred_sem_seg']['data'])[0])


def test_format_only_refines_what_it_saves_and_needs_no_ground_truth(images, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        'bana_mm.evaluation.dense_crf_iou.WorkerPool.submit',
        lambda self, name, image, probability, context: calls.append(probability) or [],
    )
    for sample in images:
        sample['plain_seg_logits'], sample['plain_pred_sem_seg'] = dict(data=None), dict(data=None)
        del sample['gt_sem_seg']
    assert evaluate(images, with_crf=True, crf=CRF, output_dir=str(tmp_path), format_only=True) == {}
    assert np.array_equal(calls[0], images[0]['seg_logits']['data'].softmax(0)) and len(calls) == len(images)


def test_one_channel_has_no_crf(images):
    images[0]['seg_logits'] = dict(data=torch.zeros(1, 20, 24))
    with pytest.raises(ValueError, match=r'a.png: the CRF takes logits of at least two classes, got shape .1, 20, 24'):
        evaluate(images, with_crf=True, crf=CRF)


def test_unknown_crf_argument():
    with pytest.raises(TypeError, match='bilatral'):
        METRICS.build(dict(type='bana_mm.DenseCRFIoUMetric', crf=dict(bilatral=(4, 20, 10))))


def test_a_class_out_of_range_is_named(images):
    """The metric of mmseg counts such pixels nowhere, and as wrong for the class that is predicted there."""
    images[1]['gt_sem_seg']['data'][0, 3, 3] = 38
    with pytest.raises(ValueError, match=r'mask of .*b\.png: label map holds class 38; allowed are 0\.\.2 and 255'):
        evaluate(images)
    images[1]['seg_map_path'] = 'masks/b.png'
    with pytest.raises(ValueError, match=r'^masks/b\.png: label map holds class 38'):
        evaluate(images)


def test_masks_without_objects_are_no_figure(images, monkeypatch):
    lines = []
    monkeypatch.setattr('bana_mm.evaluation.dense_crf_iou.print_log', lambda text, *args: lines.append(text))
    for sample in images:
        sample['gt_sem_seg']['data'][sample['gt_sem_seg']['data'] > 0] = 255
    assert np.isnan(evaluate(images)['mIoU']) and any('no pixel of any class was compared' in line for line in lines)


def test_predictions_keep_subfolders(images, tmp_path):
    samples = [dict(images[0], img_path=str(tmp_path / f'fold{number}/001.jpg')) for number in (1, 2)]
    samples[1]['pred_sem_seg'] = images[1]['pred_sem_seg']
    with pytest.raises(ValueError, match='the prediction of .*fold1/001.jpg and .*fold2/001.jpg would be one'):
        evaluate(samples, output_dir=str(tmp_path / 'out'))
    evaluate(samples, output_dir=str(tmp_path / 'out'), img_dir=str(tmp_path))
    for number, image in enumerate(images, 1):
        saved = np.array(Image.open(tmp_path / f'out/fold{number}/001.png'))
        np.testing.assert_array_equal(saved, image['pred_sem_seg']['data'][0])


def test_contours_beside_the_iou(images):
    plain = evaluate(images, with_crf=True, crf=CRF)
    scores = evaluate(images, with_crf=True, crf=CRF, contours=1.0)
    assert {name: scores[name] for name in plain} == plain
    for suffix, predict in (('', lambda sample: sample['pred_sem_seg']['data'][0]), ('_crf', refined)):
        counts = ContourCounts(2, 1.0)
        for sample in images:
            counts.update(sample['gt_sem_seg']['data'][0].numpy(), np.asarray(predict(sample)).squeeze())
        assert scores[f'mContourF{suffix}'] == pytest.approx(100 * counts.mean_f(), abs=0.01)
    with pytest.raises(ValueError, match='must not be negative'):
        evaluate(images, contours=-0.1)

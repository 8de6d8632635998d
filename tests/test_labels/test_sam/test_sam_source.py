import pickle

import numpy as np
import pytest
import torch
from tiny_sam import model

from bana_mm.labels import LabelItem, SamSource, TrustedSource, answers, build_label_source
from bana_mm.labels.sam import PromptedMask, weights_digest
from bana_mm.utils.record import check_record, file_digest


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('sam')
    model('sam').save_pretrained(path)
    return str(path)


@pytest.fixture
def passes(folder):
    """How often the image encoder ran, by batch size."""
    found = []
    prompter = SamSource(folder, device='cpu')._prompter()
    handle = prompter.model.vision_encoder.register_forward_hook(lambda _, args, __: found.append(len(args[0])))
    yield found
    handle.remove()


def items():
    rng = np.random.default_rng(0)
    sizes, boxes = [(60, 90), (40, 50)], [[[10, 12, 50, 58], [3, 3, 4, 4], [70, 2, 89, 55]], [[1, 2, 30, 40]]]
    return [
        LabelItem.from_array(rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.array(found), [1] * len(found))
        for size, found in zip(sizes, boxes)
    ]


def test_masks_are_the_prompters(folder, passes):
    source = build_label_source(f'sam:{folder}', device='cpu', offset=0.5)
    images = items()
    found = answers(source, images, 'masks')
    assert passes == [2]
    prompter = source._prompter()
    for item, masks, encoded in zip(images, found, prompter.encode([item.image for item in images])):
        expected = prompter.decode(encoded, item.layout.boxes)
        for one, other in zip(masks, expected):
            assert np.array_equal(one.mask, other.mask())
            if other.found():
                assert np.array_equal(one.unreliable, (other.logits > -0.5) & (other.logits <= 0.5))
                assert one.score == pytest.approx(min(max(other.predicted_iou, 0), 1), abs=1e-4)
            else:
                assert one.is_stand_in


def test_label_maps(folder):
    image = items()[0]
    source = SamSource(folder, device='cpu')
    (maps,), (masks,) = answers(source, [image], 'maps'), answers(source, [image], 'masks')
    assert list(maps) == ['sam'] == list(source.map_names)
    x1, y1, x2, y2 = image.layout.boxes[2].tolist()
    assert np.array_equal(maps['sam'][y1:y2, x1:x2] == 1, masks[2].mask)


def test_the_encoder_runs_once_also_for_moved_boxes(folder, passes):
    source = TrustedSource(SamSource(folder, device='cpu'))
    found = answers(source, items(), 'masks')
    assert passes == [2]
    for masks in found:
        for one in masks:
            assert one.evidence.jitter is not None and 0 <= one.evidence.predicted_iou <= 1
    answers(source, items(), 'masks')  # other arrays
    assert passes == [2, 2]


def test_what_was_not_found_stands_in(folder):
    logits = np.full((2, 3), -4, np.float16)
    assert SamSource(folder)._mask(PromptedMask(logits, (0, 0, 3, 2), 0.9)).is_stand_in
    logits[0, 0] = 0.5
    found = SamSource(folder)._mask(PromptedMask(logits, (0, 0, 3, 2), 1.1))
    assert found.mask.sum() == found.unreliable.sum() == 1 and found.score == 1.0


def test_record_and_processes(folder):
    source = SamSource(folder, device='cpu', chunk=5, amp=True)
    assert source.describe() == dict(
        type='sam', model=folder, revision=None, multimask=False, choice='iou', offset=1.0, amp=True
    )
    answers(SamSource(folder, device='cpu'), items()[:1], 'masks')
    sent = pickle.loads(pickle.dumps(source))
    assert sent.describe() == source.describe() and sent._encoded == ((), [])
    assert source._prompter().encoder_dtype == torch.bfloat16 and source._prompter().chunk == 5


def test_other_weights_of_the_same_name_are_told_apart(folder, tmp_path):
    (_, held), (_, again) = (SamSource(folder, device='cpu').networks('masks')[0] for _ in range(2))
    assert held == again == dict(checkpoint=file_digest(f'{folder}/model.safetensors'))
    model('sam').save_pretrained(tmp_path)
    source = SamSource(str(tmp_path), device='cpu')
    before = source.record(['cat'], 'masks')
    other = model('sam')
    next(other.parameters()).data.add_(1)
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'networks.sam.checkpoint'):
        check_record('store', before, source.record(['cat'], 'masks'))
    old = {name: value for name, value in before.items() if name != 'networks'}
    check_record('store', old, source.record(['cat'], 'masks'))
    check_record(
        'store', dict(old, networks=dict(bana_crf={})), before | dict(networks=before['networks'] | dict(bana_crf={}))
    )


def test_the_commit_of_the_hub_is_recorded(folder):
    found = SamSource(folder, device='cpu')._prompter().model
    found.config._commit_hash = 'abc'
    assert weights_digest('nobody/none', found) == 'commit abc'


def test_device(folder):
    source = TrustedSource(SamSource(folder))
    source.use_device('meta')
    assert source.source._device == 'meta' and 'device' not in source.describe()['source']
    source = SamSource(folder, device='cpu')
    source.use_device('meta')
    assert source._device == 'cpu'


def test_a_missing_model_is_found_out_before_any_image(monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)  # or it tries again and again
    with pytest.raises(FileNotFoundError, match='hf download nobody/none'):
        SamSource('nobody/none', device='cpu').bind(['cat'])
    with pytest.raises(ValueError, match='offset must be at least 0'):
        SamSource('any', offset=-1)

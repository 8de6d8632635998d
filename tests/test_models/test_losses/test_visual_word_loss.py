"""Visual words as labels: which part learns from what, and a codebook that processes share."""

import multiprocessing
import os
import socket

import pytest
import torch
import torch.nn.functional as F

from bana_mm.functional import assign_words, word_decorrelation
from bana_mm.models.losses import VisualWordLoss
from bana_mm.models.losses.dense_loss import BoxCells, DenseInputs
from bana_mm.registry import MODELS

SETTINGS = dict(num_classes=3, in_channels=6, num_words=5)


def dense(feats, boxes=None):
    present = torch.tensor([[True, False, True], [False, False, True]])[: len(feats)]
    return DenseInputs(
        feats=feats,
        logits=torch.zeros(len(feats), 3, *feats.shape[2:]),
        present=present,
        known=torch.ones_like(present),
        images=torch.zeros(len(feats), 3, 32, 32),
        sizes=[(32, 32)] * len(feats),
        visible=torch.ones(len(feats), *feats.shape[2:], dtype=torch.bool),
        stride=8,
        boxes=boxes,
    )


def make_boxes(masks, attention=None):
    images = torch.arange(len(masks))
    return BoxCells(
        images=images,
        classes=images + 1,
        masks=masks,
        background=~masks,
        ignored=torch.zeros_like(masks),
        make_attention=lambda: attention,
    )


@pytest.fixture
def feats():
    return torch.rand(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))


def test_three_losses_of_the_paper(feats):
    loss = VisualWordLoss(**SETTINGS, decorrelation=0.5)
    terms = loss(dense(feats))
    words = assign_words(feats, loss.codebook)
    word = F.multilabel_soft_margin_loss(loss.word_classifier(feats.mean((2, 3))), words.present.float())
    image = F.multilabel_soft_margin_loss(loss.image_classifier(words.histogram), dense(feats).present.float())
    torch.testing.assert_close(terms['loss_word'], word)
    torch.testing.assert_close(terms['loss_word_to_image'], image)
    torch.testing.assert_close(terms['loss_decorrelation'], 0.5 * word_decorrelation(loss.codebook))
    assert terms['words_in_use'] == 100 * words.present.any(0).float().mean()


def test_what_learns_from_what(feats):
    loss = VisualWordLoss(**SETTINGS)
    feats.requires_grad_()
    terms = loss(dense(feats))
    parameters = [feats, loss.codebook, loss.word_classifier.weight, loss.image_classifier.weight]
    learns = {
        name: [
            gradient is not None and bool(gradient.abs().sum() > 0)
            for gradient in torch.autograd.grad(terms[name], parameters, allow_unused=True, retain_graph=True)
        ]
        for name in ('loss_word', 'loss_word_to_image')
    }
    assert learns == dict(loss_word=[True, False, True, False], loss_word_to_image=[False, True, False, True])


def test_codebook_starts_as_kaimings(feats):
    loss = VisualWordLoss(num_classes=3, in_channels=2048, num_words=64)
    assert loss.codebook.std().item() == pytest.approx(0.0128, rel=0.02) and loss.codebook.requires_grad


def test_words_of_boxes_are_those_inside(feats):
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2, 1:] = masks[1, 2, 2] = True
    loss = VisualWordLoss(**SETTINGS)
    terms = loss(dense(feats, make_boxes(masks)))
    averages = torch.stack([feats[n][:, masks[n]].mean(1) for n in range(2)])
    words = [assign_words(feats[n][:, masks[n]][None, :, None], loss.codebook) for n in range(2)]
    present = torch.cat([one.present for one in words]).float()
    word = F.multilabel_soft_margin_loss(loss.word_classifier(averages), present)
    torch.testing.assert_close(terms['loss_word'], word)
    histogram = torch.cat([one.histogram for one in words])
    image = F.multilabel_soft_margin_loss(loss.image_classifier(histogram), dense(feats).present.float())
    torch.testing.assert_close(terms['loss_word_to_image'], image)

    attention = torch.zeros(2, 1, 4, 4)
    attention[1] = 1  # nothing but background: the second image does not count
    loss.max_attention = 0.5
    terms = loss(dense(feats, make_boxes(masks, attention)))
    torch.testing.assert_close(
        terms['loss_word'], F.multilabel_soft_margin_loss(loss.word_classifier(averages[:1]), present[:1])
    )


def test_averaged_codebook(feats):
    loss = VisualWordLoss(**SETTINGS, codebook='averaged', momentum=0.1)
    assert loss.image_classifier is None and 'codebook' not in dict(loss.named_parameters())
    first = loss.codebook.clone()
    terms = loss.eval()(dense(feats))
    assert set(terms) == {'loss_word', 'words_in_use'} and loss.codebook.equal(first) and not loss.started
    expected = assign_words(feats, first)
    torch.testing.assert_close(
        terms['loss_word'],
        F.multilabel_soft_margin_loss(loss.word_classifier(feats.mean((2, 3))), expected.present.float()),
    )
    loss.train()(dense(feats))  # its words are the random codebook's; then features take their place
    rows = feats.flatten(2).transpose(1, 2).flatten(0, 1)
    assert loss.started and all((word == rows).all(1).any() for word in loss.codebook)
    second = loss.codebook.clone()
    loss(dense(feats))
    index = assign_words(feats, second).index.flatten()
    for word, (old, new) in enumerate(zip(second, loss.codebook)):
        own = rows[index == word]
        torch.testing.assert_close(new, old if not len(own) else 0.9 * old + 0.1 * own.mean(0))
    other = VisualWordLoss(**SETTINGS, codebook='averaged')
    other.load_state_dict(loss.state_dict())
    assert other.started and other.codebook.equal(loss.codebook)


def test_choices():
    with pytest.raises(ValueError, match="'learned' or 'averaged'"):
        VisualWordLoss(**SETTINGS, codebook='frozen')
    with pytest.raises(ValueError, match='nothing else trains it'):
        VisualWordLoss(**SETTINGS, image_weight=0.0)
    assert isinstance(MODELS.build(dict(type='bana_mm.VisualWordLoss', **SETTINGS)), VisualWordLoss)


def train(feats, steps):
    """Codebooks after each step of a seeded module."""
    torch.manual_seed(3)
    loss = VisualWordLoss(**SETTINGS, codebook='averaged', momentum=0.3)
    torch.manual_seed(4)
    codebooks = []
    for step in range(steps):
        loss(dense(feats + step))
        codebooks.append(loss.codebook.tolist())
    return codebooks


def work(rank, port, feats, results):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    try:
        results.put((rank, train(feats[rank : rank + 1], 4)))
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_share_one_codebook(feats):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    processes = [context.Process(target=work, args=(rank, port, feats, results)) for rank in range(2)]
    for process in processes:
        process.start()
    seen = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert seen[0] == seen[1]
    torch.testing.assert_close(torch.tensor(seen[0]), torch.tensor(train(feats, 4)))  # as one process with both images

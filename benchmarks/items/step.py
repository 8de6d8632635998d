"""Target 2: what the head, its loss and the data add to the VGG-16 step of stage 1."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import Options, Row, SkipItem, take_turns
from benchmarks.items.data import CONFIG, seconds_an_image

CROP, BOXES, CORES = 321, 3, 16


def rows(options: Options) -> Iterator[Row]:
    """Forward, backward and update of the network against forward and backward of head and loss, and the data."""
    try:
        model = build_classifier(options.quick).to(options.device).train()
    except ImportError as error:
        raise SkipItem(f'the model of stage 1 needs the mm* packages: {error}') from error
    batch = 1 if options.quick else options.step_batch
    optimizer = torch.optim.SGD(model.backbone.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4)
    raw = _raw_batch(batch)
    data = model.data_preprocessor(raw, training=True)
    feats = model.extract_feat(data['inputs']).detach()
    gradient = torch.rand_like(feats)
    feats.requires_grad_()

    def network() -> None:
        optimizer.zero_grad()
        model.extract_feat(data['inputs']).backward(gradient)
        optimizer.step()

    def head() -> None:
        feats.grad = None
        model.bap_head.loss(feats, data['data_samples'])['loss_cls'].backward()
        model.bap_head.zero_grad()

    def preprocess() -> Tensor:
        return model.data_preprocessor(raw, training=True)['inputs']

    network_time, head_time, data_time = take_turns([network, head, preprocess], options)
    with tempfile.TemporaryDirectory() as folder:
        loading = batch * seconds_an_image(options, Path(folder))
    # workers on a GPU's host load while the GPU works; on a CPU they share its cores with the network
    cores = CORES if options.device.startswith('cuda') else torch.get_num_threads()
    title = f'stage 1, {batch} images of {CROP}'
    yield Row(f'{title}: head and loss', head_time, 'VGG-16', network_time)
    yield Row(
        f'{title}: head, loss, data',
        head_time + data_time + loading / cores,
        'VGG-16',
        network_time,
        '>= 12.5 (8 %)',
        note=f'loading {loading / cores:.3g} s on {cores} cores, moving {data_time:.3g} s',
    )


def build_classifier(quick: bool) -> nn.Module:
    """The ``BoxClassifier`` of the config with random weights; ``quick`` makes its backbone tiny."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from bana_mm.registry import MODELS

    cfg = Config.fromfile(CONFIG).model
    cfg.backbone.pretrained = None
    if quick:
        cfg.backbone.update(width_mult=1 / 32, out_channels=16)
        cfg.bap_head.in_channels = 16
    init_default_scope('mmdet')
    return MODELS.build(cfg)


def _raw_batch(batch: int) -> dict:
    """Crops with boxes as the loader gives them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(batch):
        corner = torch.rand(BOXES, 2, generator=generator) * 0.6 * CROP
        extent = (0.1 + 0.25 * torch.rand(BOXES, 2, generator=generator)) * CROP
        sample = DetDataSample(metainfo=dict(img_shape=(CROP, CROP)))
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.cat([corner, corner + extent], dim=1)),
            labels=torch.randint(0, 20, (BOXES,), generator=generator),
        )
        sample.ignored_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
    inputs = [torch.randint(0, 256, (3, CROP, CROP), dtype=torch.uint8, generator=generator) for _ in range(batch)]
    return dict(inputs=inputs, data_samples=samples)

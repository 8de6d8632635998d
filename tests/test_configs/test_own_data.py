"""What docs/own_data.md says is true: one file of a data set with classes of its own serves all stages."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope
from mmengine.runner import Runner

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.mask_boxes import masks_to_xml
from bana_mm.datasets.synthetic import make_tiny_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import ClassifierSource, LabelItems, MaskSink, StoreSink, make_labels
from bana_mm.labels.data import build_coco_dataset, build_label_dataset
from bana_mm.pipeline.plan import plan_stages
from bana_mm.structures import LabelStore, decode_mask, read_label_png, write_label_png
from bana_mm.utils.config import find_pseudo_labels, read_config
from bana_mm.utils.config.presets import apply_preset

REPO = Path(__file__).parents[2]
CLASSES = ('lion', 'zebra')
FILES = dict(voc='configs/own_data/zoo_voc.py', coco='configs/own_data/zoo_coco.py')


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory with the repository's configs, and no roots of other data."""
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    monkeypatch.chdir(tmp_path)
    for variable in ('VOC_ROOT', 'COCO_ROOT', 'LABEL_DIR', 'LABEL_JSON'):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def zoo(tmp_path):
    """The document's data set in VOC's layout, whose boxes come from masks."""
    root = make_tiny_voc(tmp_path / 'data/zoo')
    (root / 'SegmentationClassAug').rename(root / 'SegmentationClass')
    for path in (root / 'Annotations').iterdir():
        path.unlink()
    assert masks_to_xml(root, CLASSES, instance_dir=None) == (8, 0)
    return tmp_path


@pytest.fixture
def coco_zoo(tmp_path):
    """The document's data set in COCO's format, without masks but those for evaluation."""
    root = make_tiny_coco(tmp_path / 'data/zoo')
    (root / 'images').mkdir()
    (root / 'masks').mkdir()
    for split in ('train', 'val'):
        path = root / f'annotations/instances_{split}2017.json'
        content = json.loads(path.read_text())
        for category, name in zip(content['categories'], CLASSES):
            category['name'] = name
        label_of = {category['id']: label for label, category in enumerate(content['categories'], 1)}
        masks = {image['id']: np.zeros((image['height'], image['width']), np.uint8) for image in content['images']}
        for annotation in content['annotations']:
            run_lengths = annotation['segmentation']
            mask = decode_mask(run_lengths, tuple(run_lengths['size']))
            masks[annotation['image_id']][mask] = label_of[annotation['category_id']]
            if split == 'train':
                del annotation['segmentation']
        path.with_name(f'{split}.json').write_text(json.dumps(content))
        for image in content['images']:
            (root / f'{split}2017' / image['file_name']).rename(root / 'images' / image['file_name'])
            if split == 'val':
                write_label_png(root / 'masks' / f'{Path(image["file_name"]).stem}.png', masks[image['id']])
    return root


def read(name, kind):
    """A config with the data set, and with a network and crops that take no time."""
    cfg = read_config(f'configs/bana/{name}.py', data=FILES[kind])
    cfg.model.backbone.update(width_mult=0.125, out_channels=16, pretrained=None)
    cfg.train_dataloader.dataset.pipeline.crop.crop_size = (33, 33)
    if name.startswith('deeplab'):
        cfg.model.data_preprocessor['size'] = (33, 33)
        cfg.model.decode_head.head.update(in_channels=16, channels=16)
    else:
        cfg.model.bap_head.in_channels = 16
    return cfg


def train_loss(cfg, model):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[index] for index in range(2)]
    batch = dict(inputs=[item['inputs'] for item in items], data_samples=[item['data_samples'] for item in items])
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    return loss


@pytest.mark.parametrize('kind', FILES)
def test_the_document_shows_the_files(kind):
    (shown,) = re.findall(rf'`{FILES[kind]}`.*?```python\n(.*?)```', (REPO / 'docs/own_data.md').read_text(), re.DOTALL)
    lines = (REPO / FILES[kind]).read_text().splitlines(keepends=True)
    code = ''.join(line for line in lines if not line.startswith('#'))
    assert code == shown and code.count('\n') <= 10


def test_the_document_shows_a_preset(zoo):
    (preset,) = re.findall(r'```python\n(overrides = .*?)```', (REPO / 'docs/own_data.md').read_text(), re.DOTALL)
    Path('my_sizes.py').write_text(preset)
    cfg = read_config('configs/bana/deeplabv1_vgg16_voc.py', data=FILES['voc'], preset='my_sizes.py')
    assert cfg.train_cfg.max_iters == 3000 and cfg.train_dataloader.dataset.pipeline.resize.scale == (800, 800)
    assert find_pseudo_labels(cfg).dir == 'work_dirs/bap_vgg16_voc_zoo_voc_my_sizes/labels'
    classifier = read_config('configs/bana/bap_vgg16_voc.py')
    apply_preset(classifier, 'my_sizes.py')
    assert classifier.train_cfg.max_iters == 1000


def test_boxes_of_own_classes(zoo):
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/train.txt',
        'data/zoo',
        metainfo=dict(classes=CLASSES),
        data_prefix=dict(seg_map_path='SegmentationClass'),
    )
    assert dataset.metainfo['classes'] == CLASSES and len(dataset) == 3
    for item in dataset:
        mask = read_label_png(item['seg_map_path'])
        covered = {1: np.zeros(mask.shape, bool), 2: np.zeros(mask.shape, bool)}
        for instance in item['instances']:
            x1, y1, x2, y2 = map(int, instance['bbox'])
            covered[instance['bbox_label'] + 1][y1:y2, x1:x2] = True
        assert all((covered[label][mask == label]).all() for label in covered)
        assert {label for label in covered if covered[label].any()} == set(np.unique(mask)) - {0}


def check_classifier_and_labels(name, kind, lengths):
    """Train a step, and label both splits into the folder that the segmentation takes them from."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = read(name, kind)
        model = MODELS.build(cfg.model).train()
        assert model.bap_head.weight.shape == (3, 16)  # background, lion, zebra
        assert train_loss(cfg, model).isfinite() and model.bap_head.weight.grad.abs().sum() > 0
        assert DATASETS.build(cfg.val_dataloader.dataset).metainfo['classes'] == CLASSES
    torch.save(dict(state_dict=model.state_dict()), 'bap.pth')
    source = ClassifierSource(cfg, 'bap.pth', both=True)
    store = LabelStore(f'work_dirs/{name}_{Path(FILES[kind]).stem}/labels')
    assert len(build_label_dataset(cfg)) == lengths['train']  # by default
    for split, length in lengths.items():
        dataset = build_label_dataset(cfg, split)
        assert dataset.metainfo['classes'] == CLASSES and len(dataset) == length
        items = LabelItems(dataset)
        make_labels(source, items, StoreSink(store, items.img_ids))
        for index in range(length):
            item = dataset.get_data_info(index)
            label = store.read('Y_crf', item['img_id'])
            assert set(np.unique(label)) <= {0, *(instance['bbox_label'] + 1 for instance in item['instances'])}
    assert store.meta['classes'] == list(CLASSES) and store.meta['config'] == f'{name}_{Path(FILES[kind]).stem}.py'


def check_segmentation(name, kind):
    """Train a step on these labels, and evaluate."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        cfg = read(name, kind)
        model = MODELS.build(cfg.model).train()
        assert train_loss(cfg, model).isfinite()
        for loader, evaluator in ((cfg.val_dataloader, cfg.val_evaluator), (cfg.test_dataloader, cfg.test_evaluator)):
            dataset = DATASETS.build(loader.dataset)
            assert dataset.metainfo['classes'] == ('background', *CLASSES) and len(dataset) == 2
            item = dataset[0]
            batch = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
            (prediction,) = model.eval()(**batch, mode='predict')
            assert len(prediction.seg_logits.data) == 3
            metric = METRICS.build(evaluator)
            metric.dataset_meta = dataset.metainfo
            metric.process({}, [prediction.to_dict()])
            assert 0 <= metric.evaluate(1)['mIoU'] <= 100


def test_all_stages_in_vocs_layout(zoo):
    check_classifier_and_labels('bap_vgg16_voc', 'voc', dict(train=3, val=2))
    check_segmentation('deeplabv1_vgg16_voc', 'voc')


def test_all_stages_in_coco_format(coco_zoo):
    check_classifier_and_labels('bap_vgg16_voc', 'coco', dict(train=6, val=2))
    assert {path.stem for path in Path('work_dirs/bap_vgg16_voc_zoo_coco/labels/Y_crf').iterdir()} == {
        path.stem for path in (coco_zoo / 'images').iterdir()
    }
    check_segmentation('deeplabv1_vgg16_voc', 'coco')


@pytest.mark.parametrize('kind', FILES)
def test_steps_of_the_pipeline(kind, request):
    request.getfixturevalue('zoo' if kind == 'voc' else 'coco_zoo')
    plan = plan_stages('configs/bana/deeplabv1_vgg16_voc.py', data=FILES[kind], preset='cpu')
    end = f'{Path(FILES[kind]).stem}_cpu'
    assert plan.work_dir == f'work_dirs/deeplabv1_vgg16_voc_{end}'
    train, *labels, segmentation, test = (step.command for step in plan.steps)
    put = ['--data', FILES[kind], '--preset', 'cpu']
    assert train[:2] == ['train.py', 'configs/bana/bap_vgg16_voc.py'] and train[-4:] == put
    store = f'work_dirs/bap_vgg16_voc_{end}/labels'
    made = [command for command in labels if command[0] == 'generate_labels.py']
    assert [command[command.index('--split') + 1] for command in made] == ['train', 'val'][: 2 if kind == 'voc' else 1]
    for command in made:
        assert command[2] == f'work_dirs/bap_vgg16_voc_{end}/iter_420.pth' and command[-4:] == put
        assert command[command.index('--out-dir') + 1] == store
    assert segmentation[-4:] == put and test[-4:] == put
    assert test[2] == f'work_dirs/deeplabv1_vgg16_voc_{end}/iter_400.pth'


def test_without_masks_nothing_is_evaluated(zoo):
    text = (REPO / FILES['voc']).read_text()
    Path('boxes.py').write_text(text.replace("    val='ImageSets/Segmentation/val.txt',\n", ''))
    plan = plan_stages('configs/bana/deeplabv1_vgg16_voc.py', data='boxes.py')
    assert [step.title for step in plan.steps] == [
        'classifier',
        'labels of train',
        'evaluation of train',  # these images have masks, as it happens
        'segmentation',
    ]
    cfg = read_config('configs/bana/deeplabv1_vgg16_voc.py', data='boxes.py')
    assert all(cfg[f'{mode}_{part}'] is None for mode in ('val', 'test') for part in ('dataloader', 'cfg', 'evaluator'))


INSTANCE = 'configs/bana/mask-rcnn_r50_fpn_coco2coco.py'


def test_steps_for_instances(coco_zoo):
    plan = plan_stages(INSTANCE, data=FILES['coco'])
    train, make, learn, test = (step.command for step in plan.steps)
    put = ['--data', FILES['coco']]
    assert train[:2] == ['train.py', 'configs/bana/bap_vgg16_coco.py'] and train[-2:] == put
    masks = 'work_dirs/bap_vgg16_coco_zoo_coco/labels_train.json'
    assert make[3:-2] == [
        *('--coco', 'data/zoo/annotations/train.json'),
        *('--out', masks),
        *('--img-dir', 'data/zoo/images/'),
    ]
    assert make[-2:] == learn[-2:] == test[-2:] == put


def test_instances(coco_zoo):
    """From the file of boxes through the tool's masks to a training step and a test, with mmengine's runner."""
    classifier = read('bap_vgg16_coco', 'coco')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(classifier.model)
        assert model.bap_head.num_classes == 2
    torch.save(dict(state_dict=model.state_dict()), 'bap.pth')
    cfg = read_config(INSTANCE, data=FILES['coco'], preset='cpu')
    labels = find_pseudo_labels(cfg)
    assert labels.json == 'work_dirs/bap_vgg16_coco_zoo_coco_cpu/labels_train.json'
    items = LabelItems(build_coco_dataset(labels.boxes, labels.img_dir))
    make_labels(ClassifierSource(classifier, 'bap.pth'), items, MaskSink(labels.json, items))
    roi, rpn = cfg.model.roi_head, cfg.model.rpn_head
    assert roi.bbox_head.num_classes == roi.mask_head.num_classes == 2 and 'num_classes' not in rpn
    cfg.merge_from_dict(
        {
            'work_dir': 'run',
            'train_cfg.max_iters': 1,
            'train_cfg.val_interval': 1,
            'train_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False),
            'train_dataloader.dataset.pipeline.resize.scale': (64, 64),
            'model.test_cfg.rpn': dict(nms_pre=20, max_per_img=5),
        }
    )
    for mode in ('val', 'test'):
        cfg[f'{mode}_dataloader'].update(num_workers=0, persistent_workers=False)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.train_dataloader.dataset.metainfo['classes'] == runner.val_dataloader.dataset.metainfo['classes']
    assert len(runner.val_dataloader.dataset) == 2 and 'val/coco/segm_mAP' in runner.message_hub.log_scalars

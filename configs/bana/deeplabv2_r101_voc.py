# DeepLab-V2 on the labels of bap_vgg16_voc.py (paper Table 5, there from COCO).
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/voc_pseudo.py',
    '../_base_/schedules/deeplabv2_20k.py',
    '../_base_/default_runtime_seg.py',
]
train_dataloader = dict(batch_size=10)
# Where the labels come from. Without a checkpoint it is the last one of a training with that config.
pseudo_labels = dict(
    config='configs/bana/bap_vgg16_voc.py', checkpoint=None, dir=_base_.label_dir, split='train_aug', val_split='val'
)
test_evaluator = dict(crf=dict(bilateral=(4, 67, 3), gaussian=(3, 1), iterations=10))

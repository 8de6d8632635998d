# DeepLab-V1 on the labels of bap_vgg16_voc.py (paper Tables 3 and 4).
_base_ = [
    '../_base_/models/deeplabv1_vgg16.py',
    '../_base_/datasets/voc_pseudo.py',
    '../_base_/schedules/deeplabv1_24k.py',
    '../_base_/default_runtime_seg.py',
]
# Where the labels come from. Without a checkpoint it is the last one of a training with that config.
pseudo_labels = dict(
    config='configs/bana/bap_vgg16_voc.py', checkpoint=None, dir=_base_.label_dir, split='train_aug', val_split='val'
)
test_evaluator = dict(crf=dict(bilateral=(4, 121, 5), gaussian=(3, 3), iterations=10))

# DeepLabV3+ with the noise-aware loss on the labels of bap_vgg16_voc.py: the heads of mmseg become cosine classifiers.
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py',
    '../_base_/datasets/voc_pseudo.py',
    '../_base_/schedules/seg_sgd_20k.py',
    '../_base_/default_runtime_seg.py',
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=dict(crop=dict(crop_size=(512, 512)))))

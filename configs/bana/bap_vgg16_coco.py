# The classifier of stage 1 on COCO's boxes, and the labels it makes (paper Table 2, COCO-to-COCO).
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/coco_box.py',
    '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(bap_head=dict(num_classes=80))
# VOC's schedule five times as long (ours; the paper gives none for COCO). COCO has 11 times as many images and about 30
# times as many boxes: 40,000 iterations of batch 20 are 6.8 epochs instead of 15, and yet see about 14 times as many
# boxes. The learning rate falls at the same share, after 5/8.
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[25000], gamma=0.1)]
train_cfg = dict(max_iters=40000, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=10000))

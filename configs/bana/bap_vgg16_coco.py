# Table 2, COCO-to-COCO (AP): Y_crf 17.2, Y_ret 17.2.
# The classifier of stage 1 on COCO's boxes, and the labels it makes.
_base_ = [
    '../_base_/models/bap_vgg16.py',
    '../_base_/datasets/coco_box.py',
    '../_base_/schedules/classifier_8k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(bap_head=dict(num_classes=80))
# 15 epochs as on VOC (the paper gives no schedule for COCO): 90,000 iterations of 20 of the 118,287 images. The
# learning rate falls at the same share, after 5/8.
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[56250], gamma=0.1)]
train_cfg = dict(max_iters=90000, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=10000))

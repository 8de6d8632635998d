# mask-rcnn_r101_fpn_coco2coco.py with a noise-aware loss of the unreliable pixels, which the paper leaves out (ours:
# see bana_mm.functional.noise_aware_mask_loss), on the same labels.
_base_ = 'mask-rcnn_r101_fpn_coco2coco.py'
model = dict(roi_head=dict(mask_head=dict(noise_aware=dict(temperature=20.0, gamma=7.0, balance=0.1))))

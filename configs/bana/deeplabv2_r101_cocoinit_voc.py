# Table 5, NAL: 74.6 mIoU on VOC val, 76.1 on test (the paper does not say how it tests).
# DeepLab-V2 on the labels of bap_vgg16_voc.py, from weights trained on COCO. Their file is what
# tools/model_converters/deeplabv2_coco.py makes of the public weights of DeepLab-V2; mmengine loads it before training.
_base_ = 'deeplabv2_r101_voc.py'
load_from = '{{$DEEPLABV2_COCO_WEIGHTS:data/deeplabv2_r101_coco.pth}}'
# instead of ImageNet's weights and mean
model = dict(data_preprocessor=dict(mean=[104.008, 116.669, 122.675]), backbone=dict(init_cfg=None))

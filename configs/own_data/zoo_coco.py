# A data set of one's own in COCO's format, for all stages: tools/pipeline.py configs/bana/deeplabv1_vgg16_voc.py --data
# configs/own_data/zoo_coco.py, or for instances configs/bana/mask-rcnn_r50_fpn_coco2coco.py (docs/own_data.md).
data = dict(
    type='bana_mm.CocoBoxDataset',
    data_root='data/zoo',
    data_prefix=dict(img='images/', seg='masks/'),  # images, and masks of the validation images
    id_from='file_name',  # label maps are named like the images; the default names them by COCO's numbers
    metainfo=dict(classes=('lion', 'zebra')),  # the names of the categories, in the order of the masks' indices
    train='annotations/train.json',
    val='annotations/val.json',
)

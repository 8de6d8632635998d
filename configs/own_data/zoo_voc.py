# A data set of one's own in PASCAL VOC's layout, for all stages: tools/pipeline.py configs/bana/deeplabv1_vgg16_voc.py
# --data configs/own_data/zoo_voc.py (docs/own_data.md).
data = dict(
    type='bana_mm.VOCBoxDataset',
    data_root='data/zoo',
    data_prefix=dict(seg_map_path='SegmentationClass'),  # masks of the validation images
    metainfo=dict(classes=('lion', 'zebra')),  # the names in the XML, in the order of the masks' indices
    train='ImageSets/Segmentation/train.txt',
    val='ImageSets/Segmentation/val.txt',
)

# Visual words, table b, VWE: 51.1 (train) and 50.2 (val) mIoU of the activation maps.
_base_ = 'cam_r50_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.VisualWordLoss', num_words=256)])

# A plain classifier with the feature similarity loss. No published figures are at hand.
_base_ = 'cam_r50-s8_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.FeatureSimilarityLoss', loss_weight=1.0)])

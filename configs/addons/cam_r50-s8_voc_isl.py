# A plain classifier with the importance sampling loss. The documents at hand give no figures.
_base_ = 'cam_r50-s8_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.ImportanceSamplingLoss', num_samples=10, balance=0.2)])

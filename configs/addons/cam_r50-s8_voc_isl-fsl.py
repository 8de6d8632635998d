# A plain classifier with the importance sampling and feature similarity losses. No published figures are at hand.
_base_ = 'cam_r50-s8_voc.py'
model = dict(
    dense_losses=[
        dict(type='bana_mm.ImportanceSamplingLoss', num_samples=10, balance=0.2),
        dict(type='bana_mm.FeatureSimilarityLoss', loss_weight=1.0),
    ]
)

# SEAM, the published host, with the importance sampling and feature similarity losses. No published figures at hand.
_base_ = 'seam_r50_voc.py'
model = dict(
    dense_losses=[
        dict(type='bana_mm.ImportanceSamplingLoss', num_samples=10, balance=0.2),
        dict(type='bana_mm.FeatureSimilarityLoss', loss_weight=1.0),
    ]
)

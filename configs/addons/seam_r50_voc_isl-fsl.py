# SEAM with the importance sampling and feature similarity losses, their published host. The documents at hand give no
# figures.
_base_ = 'seam_r50_voc.py'
model = dict(
    dense_losses=[
        dict(type='bana_mm.ImportanceSamplingLoss', num_samples=10, balance=0.2),
        dict(type='bana_mm.FeatureSimilarityLoss', loss_weight=1.0),
    ]
)

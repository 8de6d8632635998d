# Ours: importance sampling and feature similarity inside boxes.
_base_ = 'bap_vgg16_voc_fsl.py'
model = dict(
    dense_losses=[
        dict(type='bana_mm.ImportanceSamplingLoss', posterior='multinomial', balance=0.2),
        dict(type='bana_mm.FeatureSimilarityLoss', prediction='boxes', colours='area', radius=15),
    ]
)

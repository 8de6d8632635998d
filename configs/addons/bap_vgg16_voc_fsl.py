# Ours: feature similarity inside boxes, with the background outside of them held fixed.
_base_ = '../bana/bap_vgg16_voc.py'
model = dict(dense_losses=[dict(type='bana_mm.FeatureSimilarityLoss', prediction='boxes', colours='area', radius=15)])
train_dataloader = dict(
    dataset=dict(
        pipeline=dict(
            order=('load', 'boxes', 'resize', 'crop', 'small_boxes', 'flip', 'colours', 'color', 'pack'),
            colours=dict(type='bana_mm.KeepColours'),
            pack=dict(type='bana_mm.PackBoxDetInputs'),
        )
    )
)

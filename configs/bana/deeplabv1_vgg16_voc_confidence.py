# Figure 5: saves the confidence maps of three images as the training goes on; the training is deeplabv1_vgg16_voc.py's.
# Any config with a cosine classifier takes this hook; images lists ids or file names of training images.
_base_ = 'deeplabv1_vgg16_voc.py'
default_hooks = dict(
    confidence=dict(
        type='bana_mm.ConfidenceMapHook',
        images=('2008_002766', '2008_007045', '2010_004933'),
        epochs=(0, 11, 22, 33, 45),
    )
)

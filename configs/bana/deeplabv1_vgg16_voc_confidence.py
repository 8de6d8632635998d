# Saves the confidence maps of three images as the training goes on (paper Figure 5), and is deeplabv1_vgg16_voc.py
# otherwise. Any config with a cosine classifier takes this hook; images lists ids or file names of training images.
_base_ = 'deeplabv1_vgg16_voc.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='bana_mm.ConfidenceMapHook',
        images=('2008_002766', '2008_007045', '2010_004933'),
        epochs=(0, 11, 22, 33, 45),
    ),
]

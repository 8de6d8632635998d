# Saves the confidence maps of three images as the training goes on (paper Figure 5), on two CPU cores.
_base_ = 'deeplabv1_vgg16_voc_cpu.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='bana_mm.ConfidenceMapHook',
        images=('2008_002766', '2008_007045', '2010_004933'),
        iterations=(0, 100, 200, 300, 400),
    ),
]

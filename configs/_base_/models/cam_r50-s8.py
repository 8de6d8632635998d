# A classifier of images at output stride 8, as SEAM's line of work has it: dropout, and views summed before clipping.
_base_ = 'cam_r50.py'
model = dict(
    data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=(448, 448))]),
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    dropout=0.5,
    stride=8,
    # labels for AffinityNet were made with a power of what the maps leave, instead of a level
    activations=dict(
        scales=(0.5, 1.0, 1.5, 2.0),
        fuse='mean',
        clip='sum',
        normalise='range',
        level=0.25,
        power=24.0,
        temperature=None,
        crf=dict(bilateral=(10, 80, 13), gaussian=(3, 3)),
    ),
)

# Importance sampling and feature similarity: a plain classifier as their host. No published figures are at hand.
_base_ = [
    '../_base_/models/cam_r50-s8.py',
    '../_base_/datasets/voc_image_labels.py',
    '../_base_/schedules/image_classifier_11k.py',
    '../_base_/default_runtime_det.py',
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        pipeline=dict(
            order=('load', 'boxes', 'image_labels', 'resize', 'crop', 'flip', 'color', 'pack'),
            # the longer side has U(448, 768) pixels
            resize=dict(scale=(608, 608), ratio_range=(448 / 608, 768 / 608)),
            crop=dict(crop_size=(448, 448)),
            color=dict(type='bana_mm.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1),
        )
    ),
)
# The background's level is looked for on the very images that are scored; contours have a fixed one.
val_evaluator = dict(levels=[level / 100 for level in range(60)], contours=0.008, contour_level=0.25)
test_evaluator = val_evaluator

"""The papers' mathematics as plain functions: torch and numpy only."""

from .activation import class_activation
from .background import background_attention, background_queries
from .bap import background_aware_features
from .bootstrapping import bootstrapped_cross_entropy
from .boxes import box_masks, definite_background, inside_boxes, pixel_boxes
from .dense_crf import dense_crf, dense_crf_labels
from .entropy import entropy
from .interpolation import Upsampling, interpolation_matrix
from .noise_aware import confidence_map, noise_aware_loss, noise_aware_loss_with_logits
from .noise_aware_mask import noise_aware_mask_loss
from .pooling import background_aware_pool, roi_weights
from .region_mean import region_mean
from .retrieval import correlation_maps, image_attention, region_prototypes, retrieval_scores
from .scores import (
    activation_scores,
    background_activation_score,
    background_score,
    recognised_boxes,
    stretch_in_boxes,
    stretched_background_score,
)
from .unary import class_regions, class_scores, label_rows, unary_probability

__all__ = [
    'Upsampling',
    'activation_scores',
    'background_activation_score',
    'background_attention',
    'background_aware_features',
    'background_aware_pool',
    'background_queries',
    'background_score',
    'bootstrapped_cross_entropy',
    'box_masks',
    'class_activation',
    'class_regions',
    'class_scores',
    'confidence_map',
    'correlation_maps',
    'definite_background',
    'dense_crf',
    'dense_crf_labels',
    'entropy',
    'image_attention',
    'inside_boxes',
    'interpolation_matrix',
    'label_rows',
    'noise_aware_loss',
    'noise_aware_loss_with_logits',
    'noise_aware_mask_loss',
    'pixel_boxes',
    'recognised_boxes',
    'region_mean',
    'region_prototypes',
    'retrieval_scores',
    'roi_weights',
    'stretch_in_boxes',
    'stretched_background_score',
    'unary_probability',
]

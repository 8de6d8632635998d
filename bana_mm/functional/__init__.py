"""The papers' mathematics as plain functions: torch and numpy only."""

from .activation import class_activation
from .activation_maps import constant_background, merge_views, power_background
from .background import background_attention, background_queries
from .bap import background_aware_features
from .bootstrapping import bootstrapped_cross_entropy
from .boxes import box_masks, definite_background, inside_boxes, pixel_boxes
from .class_maps import box_predictions, class_predictions, max_normalised
from .dense_crf import dense_crf, dense_crf_labels
from .entropy import entropy
from .feature_similarity import colour_gate, feature_similarity_loss
from .grid_colours import grid_colours
from .hybrid_pooling import hybrid_box_pool, hybrid_pyramid_pool
from .importance_sampling import importance_sampled_mean, importance_sampling_loss, multinomial_posterior
from .interpolation import Upsampling, interpolation_matrix
from .noise_aware import confidence_map, noise_aware_loss, noise_aware_loss_with_logits
from .noise_aware_mask import noise_aware_mask_loss
from .pooling import background_aware_pool, roi_cells, roi_weights
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
from .visual_words import WordAssignment, assign_words, update_codebook, word_decorrelation, word_sums

__all__ = [
    'Upsampling',
    'WordAssignment',
    'activation_scores',
    'assign_words',
    'background_activation_score',
    'background_attention',
    'background_aware_features',
    'background_aware_pool',
    'background_queries',
    'background_score',
    'bootstrapped_cross_entropy',
    'box_masks',
    'box_predictions',
    'class_activation',
    'class_predictions',
    'class_regions',
    'class_scores',
    'colour_gate',
    'confidence_map',
    'constant_background',
    'correlation_maps',
    'definite_background',
    'dense_crf',
    'dense_crf_labels',
    'entropy',
    'feature_similarity_loss',
    'grid_colours',
    'hybrid_box_pool',
    'hybrid_pyramid_pool',
    'image_attention',
    'importance_sampled_mean',
    'importance_sampling_loss',
    'inside_boxes',
    'interpolation_matrix',
    'label_rows',
    'max_normalised',
    'merge_views',
    'multinomial_posterior',
    'noise_aware_loss',
    'noise_aware_loss_with_logits',
    'noise_aware_mask_loss',
    'pixel_boxes',
    'power_background',
    'recognised_boxes',
    'region_mean',
    'region_prototypes',
    'retrieval_scores',
    'roi_cells',
    'roi_weights',
    'stretch_in_boxes',
    'stretched_background_score',
    'unary_probability',
    'update_codebook',
    'word_decorrelation',
    'word_sums',
]

"""Registries of scope ``bana_mm``: children of mmengine's root registries.

Configs name our modules with their scope, ``type='bana_mm.BAPHead'``, while ``default_scope`` stays ``mmseg`` or
``mmdet``. ``locations`` makes the registries import the modules only when something is looked up in them.
"""

from bana_mm.utils import require

require('mmengine')

from importlib.util import find_spec

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from bana_mm.utils.checkpoint import allow_mmengine_checkpoints
from bana_mm.utils.safe_loading import guard_mmengine_loader

# Whoever reads a config of ours imports this module: resuming works under torch >= 2.6, and runs no code of a file.
allow_mmengine_checkpoints()
guard_mmengine_loader()

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='bana_mm', locations=['bana_mm.models'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='bana_mm', locations=['bana_mm.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='bana_mm', locations=['bana_mm.datasets'])
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='bana_mm',
    locations=[
        'bana_mm.evaluation.activation_metric',
        'bana_mm.evaluation.pseudo_label_metric',
        *(['bana_mm.evaluation.dense_crf_iou'] if find_spec('mmseg') else []),
    ],
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='bana_mm', locations=['bana_mm.hooks'])
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='bana_mm', locations=['bana_mm.optim']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='bana_mm',
    locations=['bana_mm.optim'],
)
# Ways to turn an image and its boxes into a label map; no counterpart in mmengine.
LABEL_SOURCES = Registry('label source', scope='bana_mm', locations=['bana_mm.labels'])

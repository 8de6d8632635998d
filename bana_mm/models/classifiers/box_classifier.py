"""Stage 1: a classifier trained from boxes."""

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.registry import MODELS


@MODELS.register_module()
class BoxClassifier(BaseModel):
    """A backbone and a :class:`BAPHead` on mmdet's data flow (paper Sec. 3.1).

    Args:
        backbone (dict): Any backbone; its last output is the feature map.
        bap_head (dict): Config of the head.
        data_preprocessor (dict | None): mmdet's ``DetDataPreprocessor``. Defaults to None.
        init_cfg (dict | None): mmengine's initialisation. Defaults to None.
    """

    def __init__(self, backbone: dict, bap_head: dict, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.bap_head = MODELS.build(bap_head)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features f: (N, 3, H, W) -> (N, D, h, w)."""
        return self.backbone(inputs)[-1]

    def forward(self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None,
                mode: str = 'tensor') -> dict[str, Tensor] | list[DetDataSample] | Tensor:
        """Features, losses or predictions.

        Args:
            inputs (Tensor): (N, 3, H, W) normalised images.
            data_samples (Sequence[DetDataSample] | None): Boxes of each image; not needed by mode 'tensor'.
            mode (str): 'tensor' returns f; 'loss' the dict of losses; 'predict' the samples with
                ``pred_instances``: for each given box its ``scores`` (K, L + 1), background first, and ``labels``
                (K,), -1 for background.

        Raises:
            ValueError: For another mode.
        """
        feats = self.extract_feat(inputs)
        if mode == 'tensor':
            return feats
        if mode == 'loss':
            return self.bap_head.loss(feats, data_samples)
        if mode == 'predict':
            for sample, scores in zip(data_samples, self.bap_head.predict(feats, data_samples)):
                sample.pred_instances = InstanceData(scores=scores, labels=scores.argmax(dim=1) - 1)
            return list(data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

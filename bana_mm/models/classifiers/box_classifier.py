"""Stage 1: a classifier trained from boxes."""

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from bana_mm.models.losses.dense_loss import add_dense_losses, build_dense_losses
from bana_mm.registry import MODELS
from bana_mm.structures import BoxLayout, LabelRecipe
from bana_mm.structures.activation_maps import ActivationMaps, Features, activation_maps

from .image_inputs import batch_colours
from .views import extract_views


@MODELS.register_module()
class BoxClassifier(BaseModel):
    """A backbone and a :class:`BAPHead` on mmdet's data flow (paper Sec. 3.1).

    Args:
        backbone (dict): Any backbone; its last output is the feature map. With ``layer_names`` and ``forward_layers``,
            as :class:`VGG16LargeFOV` has them, labels can take the attention from other layers too.
        bap_head (dict): Config of the head.
        label_recipe (dict | None): How labels are made from this classifier, see
            :class:`bana_mm.structures.LabelRecipe`. Defaults to None, its defaults.
        dense_losses (Sequence[dict]): Further losses of the feature map: ``ImportanceSamplingLoss``,
            ``FeatureSimilarityLoss``, ``VisualWordLoss``, ``HardBackgroundLoss``. Defaults to none.
        data_preprocessor (dict | None): mmdet's ``DetDataPreprocessor``. Defaults to None.
        init_cfg (dict | None): mmengine's initialisation. Defaults to None.

    Attributes:
        label_source (str): Source of the labels that are made with it.

    Raises:
        ValueError: If ``label_recipe.attention_layers`` names a layer that the backbone does not offer.
    """

    label_source = 'classifier'

    def __init__(
        self,
        backbone: dict,
        bap_head: dict,
        label_recipe: dict | None = None,
        dense_losses: Sequence[dict] = (),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.bap_head = MODELS.build(bap_head)
        self.label_recipe = LabelRecipe.from_cfg(label_recipe)
        self._check_layers(self.label_recipe.layers)
        self.dense_losses = build_dense_losses(dense_losses, self.bap_head.num_classes, self.bap_head.in_channels)

    @property
    def class_weight(self) -> Tensor:
        """Classifier weights, (L + 1, D), background first."""
        return self.bap_head.weight

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features f: (N, 3, H, W) -> (N, D, h, w)."""
        return self.backbone(inputs)[-1]

    def extract_layers(self, inputs: Tensor, names: Sequence[str] = ('last',)) -> dict[str, Tensor]:
        """Features of several layers, from one pass of the network.

        Args:
            inputs (Tensor): (N, 3, H, W) normalised images.
            names (Sequence[str]): 'last' for f, and names among ``layer_names``. Defaults to ('last', ).

        Returns:
            dict[str, Tensor]: (N, D, h, w) by name; 'last' is always there.

        Raises:
            ValueError: If the backbone does not offer a layer.
        """
        if all(name == 'last' for name in names):
            return dict(last=self.extract_feat(inputs))
        self._check_layers(names)
        return self.backbone.forward_layers(inputs, names)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Layers that the backbone offers beside 'last', from the first to the one that is 'last' itself."""
        return tuple(getattr(self.backbone, 'layer_names', ()))

    def _check_layers(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in ('last', *self.layer_names)]
        if unknown:
            raise ValueError(
                f'label_recipe.attention_layers names {unknown[0]!r}, but {type(self.backbone).__name__} offers only '
                f'{", ".join(("last", *self.layer_names))}'
            )

    def forward(
        self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[DetDataSample] | Tensor:
        """Features, losses or predictions.

        Args:
            inputs (Tensor): (N, 3, H, W) normalised images.
            data_samples (Sequence[DetDataSample] | None): Boxes of each image; not needed by mode 'tensor'.
            mode (str): 'tensor' returns f; 'loss' the dict of losses; 'predict' the samples with
                ``pred_instances``: for each given box its ``scores`` (K, L + 1), background first, and ``labels``
                (K,), -1 for background; and for images that come with a mask what their labels are made from:
                ``activation_maps`` and ``label_recipe``. Making them is left to whoever wants them: it takes the image
                and a CRF.

        Raises:
            ValueError: For another mode.
        """
        feats = self.extract_feat(inputs)
        if mode == 'tensor':
            return feats
        if mode == 'loss':
            return add_dense_losses(
                self.bap_head.loss(feats, data_samples),
                self.dense_losses,
                lambda: self.bap_head.dense_inputs(
                    feats, batch_colours(inputs, data_samples, self.data_preprocessor), data_samples
                ),
            )
        if mode == 'predict':
            return self.predict(inputs, feats, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def predict(self, inputs: Tensor, feats: Tensor, data_samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """Add ``pred_instances`` to every sample, and ``activation_maps`` to those with ``gt_sem_seg``."""
        scores = self.bap_head.predict(feats, data_samples)
        for n, (score, sample) in enumerate(zip(scores, data_samples)):
            sample.pred_instances = InstanceData(scores=score, labels=score.argmax(dim=1) - 1)
            if 'gt_sem_seg' in sample:
                views = [dict(last=feats[n])]
                if not self.label_recipe.single_view or len(self.label_recipe.layers) > 1:
                    views = extract_views(self.extract_layers, inputs[n : n + 1], self.label_recipe)[0]
                maps = self._activation_maps(views, sample)
                sample.set_field(maps, 'activation_maps', dtype=ActivationMaps)
                sample.set_field(self.label_recipe, 'label_recipe', dtype=LabelRecipe)
        return list(data_samples)

    def _activation_maps(self, features: Features, sample: DetDataSample) -> ActivationMaps:
        if not sample.ori_shape == sample.img_shape[:2] == tuple(sample.batch_input_shape):
            raise ValueError(
                f"{sample.img_path}: labels are made at the image's own size {sample.ori_shape}, but the "
                f'network saw {sample.img_shape[:2]} padded to {tuple(sample.batch_input_shape)}; drop '
                'resizing and padding from the test pipeline and use batch size 1'
            )
        return activation_maps(features, BoxLayout.from_sample(sample), self.bap_head.weight, self.label_recipe)

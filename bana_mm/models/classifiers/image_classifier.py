"""A classifier trained from the classes of whole images."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from bana_mm.models.losses.dense_loss import DenseInputs, add_dense_losses, build_dense_losses
from bana_mm.registry import MODELS
from bana_mm.structures import ActivationRecipe

from .grid_cells import visible_cells
from .image_inputs import batch_colours, image_classes
from .views import extract_views


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A backbone and an :class:`ImageHead` on mmdet's data flow.

    The classes of an image are those of its boxes before cropping (``ImageLabels``); nothing else is read of them.

    Args:
        backbone (dict): Any backbone; its last output is the feature map.
        head (dict): Config of the head.
        dense_losses (Sequence[dict]): Further losses of the feature map: ``ImportanceSamplingLoss``,
            ``FeatureSimilarityLoss``, ``VisualWordLoss``. Defaults to none.
        activations (dict | None): How activation maps are made and read, see :class:`ActivationRecipe`. Defaults to
            None, its defaults.
        dropout (float): Probability of Dropout2d of the feature map, which all losses then see. Defaults to 0.0.
        stride (int): Image pixels per feature cell. Defaults to 16.
        align_corners (bool): Where the cells lie, see :func:`bana_mm.functional.roi_weights`. Defaults to True.
        data_preprocessor (dict | None): mmdet's ``DetDataPreprocessor``. Defaults to None.
        init_cfg (dict | None): mmengine's initialisation. Defaults to None.

    Attributes:
        label_source (str): Source of the labels that are made with it.
    """

    label_source = 'image_crf'

    def __init__(
        self,
        backbone: dict,
        head: dict,
        dense_losses: Sequence[dict] = (),
        activations: dict | None = None,
        dropout: float = 0.0,
        stride: int = 16,
        align_corners: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.dense_losses = build_dense_losses(dense_losses, self.head.num_classes, self.head.in_channels)
        self.activations = ActivationRecipe.from_cfg(activations)
        self.dropout = nn.Dropout2d(dropout)
        self.stride = stride
        self.align_corners = align_corners

    @property
    def class_weight(self) -> Tensor:
        """Classifier weights, (L + 1, D); row 0, of the background, is zero."""
        return self.head.weight

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features f: (N, 3, H, W) -> (N, D, h, w)."""
        return self.dropout(self.backbone(inputs)[-1])

    def class_maps(self, inputs: Tensor) -> Tensor:
        """Activation maps of all classes before the ReLU: (N, 3, H, W) -> (N, L, h, w)."""
        return self.extract_layers(inputs)['maps']

    def extract_layers(self, inputs: Tensor, names: Sequence[str] = ('last', 'maps')) -> dict[str, Tensor]:
        """What labels are made from.

        Args:
            inputs (Tensor): (N, 3, H, W) normalised images.
            names (Sequence[str]): Has no effect, both are made. Defaults to ('last', 'maps').

        Returns:
            dict[str, Tensor]: 'last', the features, (N, D, h, w), and 'maps' of all classes, (N, L, h, w).
        """
        feats = self.extract_feat(inputs)
        return dict(last=feats, maps=self.head.class_maps(feats))

    def forward(
        self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[DetDataSample] | Tensor:
        """Features, losses or predictions.

        Args:
            inputs (Tensor): (N, 3, H, W) normalised images.
            data_samples (Sequence[DetDataSample] | None): Classes of each image, see :func:`image_classes`; not needed
                by mode 'tensor'.
            mode (str): 'tensor' returns f; 'loss' the dict of losses; 'predict' see :meth:`predict`.

        Raises:
            ValueError: For another mode.
        """
        if mode == 'tensor':
            return self.extract_feat(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def loss(self, inputs: Tensor, data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """The head's loss and the ``dense_losses``."""
        feats = self.extract_feat(inputs)
        classes = image_classes(data_samples, self.head.num_classes)
        losses = self.head.loss(feats, *classes)
        return add_dense_losses(
            losses, self.dense_losses, lambda: self.dense_inputs(inputs, feats, data_samples, *classes)
        )

    def dense_inputs(
        self, inputs: Tensor, feats: Tensor, data_samples: Sequence[DetDataSample], present: Tensor, known: Tensor
    ) -> DenseInputs:
        """What the further losses are given."""
        feats, sizes = feats.float(), [tuple(sample.img_shape[:2]) for sample in data_samples]
        return DenseInputs(
            feats=feats,
            logits=self.head.class_maps(feats),
            present=present,
            known=known,
            images=batch_colours(inputs, data_samples, self.data_preprocessor),
            sizes=sizes,
            visible=visible_cells(sizes, feats, self.stride, self.align_corners),
            stride=self.stride,
            align_corners=self.align_corners,
        )

    def predict(self, inputs: Tensor, data_samples: Sequence[DetDataSample]) -> list[DetDataSample]:
        """Add predictions to every sample.

        All have ``pred_image_scores``, the probability of each class, (L,), and ``gt_image_classes``, which of them the
        image shows, (L,) bool. Images that come with a mask also have the activation maps of the classes that they show
        (reference code), ``pred_activations`` (C, H, W), the indices 1..L of these, ``activation_classes`` (C,), and
        the label map that follows from the recipe's background, ``pred_sem_seg``.
        """
        scores = self.head(self.extract_feat(inputs).float()).sigmoid()
        present, _ = image_classes(data_samples, self.head.num_classes)
        for n, (sample, score) in enumerate(zip(data_samples, scores)):
            sample.pred_image_scores = score
            sample.gt_image_classes = present[n]
            if 'gt_sem_seg' in sample:
                labels = present[n].nonzero().flatten()
                height, width = sample.img_shape[:2]
                maps = self.activation_maps(inputs[n : n + 1, :, :height, :width], labels)
                best = torch.cat([self.activations.background(maps)[None], maps]).argmax(dim=0)
                classes = torch.cat([labels.new_zeros(1), labels + 1])
                sample.activation_classes = labels + 1
                sample.pred_activations = PixelData(data=maps)
                sample.pred_sem_seg = PixelData(data=classes[best][None].to(torch.uint8))
        return list(data_samples)

    @torch.no_grad()
    def activation_maps(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Normalised activation maps of some classes of an image.

        Args:
            inputs (Tensor): The normalised image, (1, 3, H, W).
            labels (Tensor): (C,) int64 in 0..L-1.

        Returns:
            Tensor: (C, H, W) float32 in [0, 1).
        """
        (views,) = extract_views(self.extract_layers, inputs, self.activations)
        return self.activations.merge([view['maps'][labels] for view in views], tuple(inputs.shape[2:]))

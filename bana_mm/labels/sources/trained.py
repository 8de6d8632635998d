"""Labels of a model that was trained on labels: a second round (ours)."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bana_mm.registry import LABEL_SOURCES
from bana_mm.structures import InstanceMask, paint_masks
from bana_mm.structures.label_recipe import CRF_DEFAULTS
from bana_mm.utils.record import MODEL_FIELD, file_digest, model_settings
from bana_mm.utils.stopwatch import measured

from ..crf import LabelTask
from ..item import LabelItem
from .answer import Answer, Kind, Task, masks_of_maps
from .base import LabelSource

if TYPE_CHECKING:  # worker processes have no network, and do without what it imports
    from ..trained_model import TrainedModel


class TrainedSource(LabelSource):
    """A model of mmseg or mmdet with its checkpoint, asked about one image after the other.

    Args:
        config (str | Path): Config of the model.
        checkpoint (str | Path): Checkpoint trained with it.
        device (str | None): Where it runs. Defaults to None: where :meth:`use_device` says, else on a GPU where there
            is one.

    Raises:
        FileNotFoundError: If config or checkpoint is missing.
    """

    text_fields = ('config', 'checkpoint')
    has_network = True

    def __init__(self, config: str | Path, checkpoint: str | Path, device: str | None = None) -> None:
        self.config = str(config)
        self.checkpoint = str(checkpoint)
        for kind, path in (('config', self.config), ('checkpoint', self.checkpoint)):
            if not Path(path).is_file():
                raise FileNotFoundError(f'{path}: {kind} of label source {self.name!r} does not exist')
        self.device = device
        self._default_device: str | None = None
        self._rows: list[int] | None = None

    def bind(
        self,
        classes: Sequence[str],
        category_ids: Sequence[int] | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        from ..trained_model import rows_of_classes

        self._rows = rows_of_classes(self._trained().classes, classes, same_as or {})

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return tuple(self._trained().classes)

    def use_device(self, device: str) -> None:
        self._default_device = device

    def record(self, classes: Sequence[str], kind: Kind) -> dict[str, Any]:
        ((_, held),) = self.networks(kind)
        return dict(source=self.describe(), classes=list(classes), **held)

    def networks(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        from ..trained_model import test_pipeline

        cfg = self._trained().cfg
        settings = dict(model=cfg.model, pipeline=test_pipeline(cfg))
        return [(self.name, {'checkpoint': file_digest(self.checkpoint), MODEL_FIELD: model_settings(settings)})]

    @abstractmethod
    def check_model(self, model: torch.nn.Module) -> None:
        """Refuse a model of another kind, with a ValueError that names its config."""

    def _trained(self) -> 'TrainedModel':
        from ..trained_model import trained_model

        device = self.device or self._default_device or ('cuda' if torch.cuda.is_available() else 'cpu')
        trained = trained_model(self.config, self.checkpoint, device)
        self.check_model(trained.model)
        return trained

    def _own(self, classes: Sequence[int]) -> list[int]:
        """Positions in the model of class indices 1..L of the data set."""
        return [index - 1 if self._rows is None else self._rows[index - 1] for index in classes]


@LABEL_SOURCES.register_module(name=['segmentor', 'SegmentorSource'])
class SegmentorSource(TrainedSource):
    """A segmentation model labels images anew, held to their boxes (ours).

    Its probabilities count for the background and for the classes that have a box at a pixel, divided by their sum;
    outside all boxes there is background for certain. A CRF makes the label map from them, in which no box is empty.
    Masks of instances are cut out of it.

    Args:
        config, checkpoint, device: See :class:`TrainedSource`; the config is of any model of mmseg, with the background
            as class 0.
        crf (dict | None): ``bilateral``, ``gaussian``, ``iterations`` and ``backend`` of
            :func:`bana_mm.functional.dense_crf`. Defaults to None, those of Y_crf.
    """

    name = 'segmentor'

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        device: str | None = None,
        crf: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(config, checkpoint, device)
        self.crf = {**CRF_DEFAULTS, **(crf or {})}

    def check_model(self, model: torch.nn.Module) -> None:
        if not hasattr(model, 'encode_decode'):
            raise ValueError(f'{self.config}: label source segmentor needs a segmentation model of mmseg')

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        return [(self._task(item), None) for item in items]

    def finish(self, item: LabelItem, kind: Kind, context: Any, result: np.ndarray) -> Answer:
        maps = {self.name: result}
        return maps if kind == 'maps' else masks_of_maps(item, maps)

    @torch.no_grad()
    def _task(self, item: LabelItem) -> LabelTask:
        from bana_mm.functional import unary_probability

        layout = item.layout
        if len(layout.classes) == 1:
            return LabelTask(item.image, layout, np.ones((1, *layout.size), np.float32), (), self.crf)
        with measured('network'):
            trained = self._trained()
            (sample,) = trained.model(**trained.inputs(item.image), mode='predict')
            scores = sample.seg_logits.data.float().softmax(dim=0)  # (L + 1, H, W)
        rows = [0, *(1 + row for row in self._own(layout.classes[1:]))]
        background, *others = scores[rows]
        regions = layout.regions(scores.device)
        probability = unary_probability(
            background,
            torch.stack(others) * regions,
            regions,
            layout.unknown(scores.device),
            temperature=None,
            competition='pixel',
        )
        return LabelTask(item.image, layout, probability.cpu().numpy(), (True,) * len(layout.boxes), self.crf)


@LABEL_SOURCES.register_module(name=['detector', 'DetectorSource'])
class DetectorSource(TrainedSource):
    """The mask head of a detector on the given boxes: no object is looked for (ours).

    A pixel is unreliable where the head is undecided; the score is the mean probability of the mask. Where the head
    finds nothing in a box, the pixels at which it is surest stand in, all of the box unreliable.

    Args:
        config, checkpoint, device: See :class:`TrainedSource`; the config is of a model of mmdet with a RoI head, such
            as Mask R-CNN.
        undecided (float): How far from one half a probability may be to count as undecided. Defaults to 0.2.
    """

    name = 'detector'

    def __init__(
        self, config: str | Path, checkpoint: str | Path, device: str | None = None, undecided: float = 0.2
    ) -> None:
        super().__init__(config, checkpoint, device)
        if not 0 <= undecided < 0.5:
            raise ValueError(f'detector: undecided must lie in [0, 0.5), got {undecided!r}')
        self.undecided = undecided

    def check_model(self, model: torch.nn.Module) -> None:
        if not getattr(getattr(model, 'roi_head', None), 'with_mask', False):
            raise ValueError(f'{self.config}: label source detector needs a model of mmdet with a mask head on boxes')

    def prepare(self, items: Sequence[LabelItem], kind: Kind) -> list[tuple[Task | None, Any]]:
        return [(None, self._masks(item)) for item in items]

    def finish(self, item: LabelItem, kind: Kind, context: list[InstanceMask], result: None) -> Answer:
        return context if kind == 'masks' else {self.name: paint_masks(item.layout, [one.mask for one in context])}

    @torch.no_grad()
    def _masks(self, item: LabelItem) -> list[InstanceMask]:
        from mmengine.structures import InstanceData

        layout = item.layout
        if not len(layout.boxes):
            return []
        with measured('network'):
            trained = self._trained()
            data = trained.inputs(item.image)
            (sample,) = data['data_samples']
            feats = trained.model.extract_feat(data['inputs'])
            metainfo = {'scale_factor': (1.0, 1.0), **sample.metainfo}
            scale = feats[0].new_tensor([*metainfo['scale_factor']] * 2)
            given = InstanceData(
                bboxes=layout.boxes.to(scale) * scale,
                labels=torch.tensor(self._own(layout.box_classes), device=scale.device),
                scores=scale.new_ones(len(layout.boxes)),
            )
            probability = _soft_masks(trained.model.roi_head, feats, metainfo, given)
        found = []
        for one, (x1, y1, x2, y2) in zip(probability, layout.boxes.tolist()):
            inside = one[y1:y2, x1:x2]
            mask, unreliable = inside > 0.5, np.abs(inside - 0.5) < self.undecided
            if not mask.any():
                mask, unreliable = inside == inside.max(), np.ones_like(mask)
            found.append(InstanceMask(mask, unreliable, float(inside[mask].mean())))
        return found


def _soft_masks(roi_head: torch.nn.Module, feats: Sequence[torch.Tensor], metainfo: dict, given: Any) -> np.ndarray:
    """Probabilities of the mask head in the image as it is stored: (K, H, W) float32, in steps of 1 / 255."""
    threshold = roi_head.test_cfg.mask_thr_binary
    roi_head.test_cfg.mask_thr_binary = -1  # mmdet's way to ask for what is below the threshold
    try:
        (result,) = roi_head.predict_mask(tuple(feats), [metainfo], [given], rescale=True)
    finally:
        roi_head.test_cfg.mask_thr_binary = threshold
    return result.masks.cpu().numpy().astype(np.float32) / 255

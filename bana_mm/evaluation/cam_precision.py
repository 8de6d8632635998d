"""How precisely class activation maps and attention mark objects inside their boxes (paper Fig. 4a)."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel

from bana_mm.labels import LabelItems
from bana_mm.labels.classifier import classifier_maps
from bana_mm.labels.unaries import box_scores
from bana_mm.structures import IGNORE, BoxLayout, LabelRecipe, read_label_png
from bana_mm.structures.activation_maps import ActivationMaps
from bana_mm.utils.progress import Progress

from .precision_recall import PrecisionRecall

# What the scores are: CAM of the class divided by its maximum in the box; 1 - A; 1 - A stretched to [0, 1] in the box.
SCORES = ('CAM', '1 - A', '1 - A, stretched')


def box_foreground_scores(
    maps: ActivationMaps, layout: BoxLayout, recipe: LabelRecipe | None = None
) -> dict[str, list[np.ndarray]]:
    """How much each pixel of a box looks like its object, by three measures.

    Args:
        maps (ActivationMaps): Of the image.
        layout (BoxLayout): Its boxes.
        recipe (LabelRecipe | None): Whatever it says of ``score`` and ``normalise``, see :data:`SCORES`. Defaults to
            None.

    Returns:
        dict[str, list[np.ndarray]]: For each of :data:`SCORES` a map (y2 - y1, x2 - x1) in [0, 1] a box. A box in which
        the CAM of its class is zero everywhere has the CAM's score 0 everywhere: nothing stands in for it here.
    """
    recipe = replace(recipe or LabelRecipe(), normalise='box')
    cams, unseen = box_scores(maps, layout, replace(recipe, score='cam'))
    likelihood = 1 - maps.attention
    scores = {
        'CAM': [torch.where(no_cam, 0, cam) for cam, no_cam in zip(cams, unseen)],
        '1 - A': [likelihood[y1:y2, x1:x2] for x1, y1, x2, y2 in layout.boxes.tolist()],
        '1 - A, stretched': box_scores(maps, layout, replace(recipe, score='attention'))[0],
    }
    return {name: [score.clamp(0, 1).cpu().numpy() for score in values] for name, values in scores.items()}


class CAMPrecision:
    """Precision and recall of foreground scores inside boxes against masks, over all thresholds.

    A pixel of a box is positive where the mask names the class of the box, so other objects in front are negative and
    other objects of the class positive; pixels that the mask marks 255 don't count. A pixel in two boxes counts for
    each. The paper's own definition is in its supplement; this one is ours.

    Args:
        num_classes (int): Number L of object classes.
        bins (int): Steps of the threshold between 0 and 1. Defaults to 100.

    Attributes:
        curves (dict[str, PrecisionRecall]): Counts for each kind of score.
        boxes (int): Boxes so far.
        without_cam (int): Boxes whose CAM is zero everywhere.
    """

    def __init__(self, num_classes: int, bins: int = 100) -> None:
        self.curves = {name: PrecisionRecall(num_classes, bins) for name in SCORES}
        self.boxes = 0
        self.without_cam = 0

    def update(self, scores: Mapping[str, list[np.ndarray]], layout: BoxLayout, ground_truth: np.ndarray) -> None:
        """Count the boxes of an image.

        Args:
            scores (Mapping[str, list[np.ndarray]]): From :func:`box_foreground_scores`.
            layout (BoxLayout): Its boxes.
            ground_truth (np.ndarray): (H, W) uint8, 255 ignored.

        Raises:
            ValueError: If the mask has another size than the image.
        """
        if ground_truth.shape != layout.size:
            raise ValueError(f'mask has shape {ground_truth.shape}, but its image {layout.size}')
        for k, (row, (x1, y1, x2, y2)) in enumerate(zip(layout.rows, layout.boxes.tolist())):
            inside, index = ground_truth[y1:y2, x1:x2], layout.classes[row + 1]
            for name, curve in self.curves.items():
                curve.update(scores[name][k], inside == index, index, inside != IGNORE)
            self.boxes += 1
            self.without_cam += not scores['CAM'][k].any()


@torch.no_grad()
def measure_cams(model: BaseModel, dataset: BaseDataset, bins: int = 100, title: str = 'CAMs') -> CAMPrecision:
    """Run a classifier over images with masks.

    Args:
        model (BaseModel): ``BoxClassifier`` in evaluation mode. Scales, flips and grid size are those of its
            ``label_recipe``.
        dataset (BaseDataset): Images with boxes and masks at their own size, see
            :func:`bana_mm.labels.data.build_label_dataset`.
        bins (int): Steps of the threshold. Defaults to 100.
        title (str): In front of the progress bar. Defaults to 'CAMs'.

    Returns:
        CAMPrecision: The counts.

    Raises:
        FileNotFoundError: If an image has no mask.
        ValueError: If a mask is of another size or holds an unknown class.
    """
    num_classes = len(dataset.metainfo['classes'])
    precision = CAMPrecision(num_classes, bins)
    items = LabelItems(dataset)
    with Progress(len(dataset), title=title) as progress:
        for position in range(len(dataset)):
            info = dataset.get_data_info(position)
            if 'seg_map_path' not in info:
                raise FileNotFoundError(
                    f'{info["img_path"]}: precision needs a mask of every image, but this one has none in the data set'
                )
            item = items[position]
            layout = item.layout
            if len(layout.boxes):
                scores = box_foreground_scores(classifier_maps(model, item), layout, model.label_recipe)
                precision.update(scores, layout, read_label_png(info['seg_map_path'], layout.size, num_classes))
            progress.update()
    return precision

"""The pictures of the page: an image with all that is known of it."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bana_mm.labels import LabelItem, read_rgb
from bana_mm.structures import BoxLayout
from bana_mm.utils.progress import Progress
from bana_mm.visualization import panel_cells

from .gather import Findings, Training
from .instances import predicted_instances
from .survey import ImageFigures, Survey, boxes_of

QUALITY = 82  # of the JPEGs


@dataclass
class Card:
    """An image on the page.

    Args:
        img_id (str): Its id.
        group (str): 'best', 'median', 'worst' or 'evenly chosen'.
        score (float | None): In percent, by which it was chosen.
        scores (dict[str, float | None]): In percent, by caption of the maps.
        classes (list[str]): Names of the classes of its boxes, and of its mask where it has no boxes.
        cells (dict[str, str]): Caption to a picture as a ``data:`` address.
    """

    img_id: str
    group: str
    score: float | None
    scores: dict[str, float | None]
    classes: list[str]
    cells: dict[str, str]


@dataclass
class Models:
    """Networks that draw what no file holds.

    Args:
        classifier (nn.Module | None): For attention and CAM. Defaults to None.
        segmentor (nn.Module | None): For the confidence, and the prediction where none is stored. Defaults to None.
        detector (TrainedModel | None): Of instances, for the prediction. Defaults to None.
    """

    classifier: Any = None
    segmentor: Any = None
    detector: Any = None


def load_models(findings: Findings, main: Training | None, device: str) -> Models:
    """The classifier behind the labels and the main segmentation model, as far as their checkpoints are there."""
    from bana_mm.labels.classifier import build_classifier
    from bana_mm.labels.trained_model import TrainedModel

    models = Models()
    classifier = _classifier(findings, main)
    if classifier is not None:
        models.classifier = build_classifier(classifier.cfg, classifier.checkpoint, device)
    if main is not None and main.is_segmentor and main.checkpoint is not None:
        models.segmentor = TrainedModel(main.cfg, str(main.checkpoint), device).model
    if main is not None and main.is_detector and main.checkpoint is not None:
        models.detector = TrainedModel(main.cfg, str(main.checkpoint), device)
    return models


def make_cards(survey: Survey, models: Models, number: int, height: int) -> tuple[list[Card], dict[str, list[int]]]:
    """Draw the chosen images.

    Args:
        survey (Survey): The images with their scores.
        models (Models): Networks, or none.
        number (int): How many images.
        height (int): Of each picture in pixels.

    Returns:
        tuple[list[Card], dict[str, list[int]]]: The images, and the legend of all: name to RGB colour.
    """
    cards, legend = [], {}
    chosen = survey.choose(number)
    with Progress(len(chosen), title='pictures') as progress:
        for group, image in chosen:
            card, colours = _card(group, image, survey, models, height)
            cards.append(card)
            legend.update(colours)
            progress.update()
    order = [*survey.classes, *legend]  # the classes, and what is none of them behind
    return cards, dict(sorted(legend.items(), key=lambda pair: order.index(pair[0])))


def _card(
    group: str, image: ImageFigures, survey: Survey, models: Models, height: int
) -> tuple[Card, Mapping[str, Any]]:
    rgb = read_rgb(image.info['img_path'])
    labels, predictions = {}, {}
    for one in survey.maps:
        label = one.read(image.info, rgb.shape[:2])
        if label is not None:
            (predictions if one.kind == 'prediction' else labels)[one.caption] = label
    ground_truth = survey.truth(image.info, rgb.shape[:2])
    boxes, indices = boxes_of(image.info)
    attention = cam = confidence = None
    if models.classifier is not None:
        from bana_mm.visualization.stage_panels import attention_and_cam

        layout = BoxLayout.from_instances(rgb.shape[:2], image.info.get('instances') or ())
        attention, cam = attention_and_cam(models.classifier, LabelItem(layout, image.img_id, pixels=rgb))
    if models.segmentor is not None:
        from bana_mm.evaluation.confidence import image_prediction

        label = next(iter(labels.values()), None)
        prediction, confidence = image_prediction(models.segmentor, np.ascontiguousarray(rgb[..., ::-1]), label)
        if not predictions:
            predictions['prediction'] = prediction
    if models.detector is not None:
        predictions['prediction'] = predicted_instances(models.detector, rgb)
    y_crf, y_ret = labels.pop('Y_crf', None), labels.pop('Y_ret', None)
    cells, legend = panel_cells(
        rgb,
        survey.classes,
        boxes,
        indices.tolist(),
        attention,
        cam,
        y_crf,
        y_ret,
        predictions,
        ground_truth,
        height,
        confidence,
        labels,
    )
    if 'agreement' in cells:
        cells = {'reliable region' if caption == 'agreement' else caption: cell for caption, cell in cells.items()}
    present = (
        indices.tolist() if len(indices) or ground_truth is None else np.setdiff1d(ground_truth, (0, 255)).tolist()
    )
    by = survey.ranked_by
    card = Card(
        image.img_id,
        group,
        None if by is None else _percent(image.scores.get(by.caption)),
        {caption: _percent(score) for caption, score in image.scores.items()},
        [survey.classes[index - 1] for index in sorted(set(present))],
        {caption: data_address(cell) for caption, cell in cells.items()},
    )
    return card, legend


def data_address(picture: np.ndarray) -> str:
    """A picture, (H, W, 3) uint8 RGB, as an address that holds it: a JPEG in base 64."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format='JPEG', quality=QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode("ascii")}'


def _classifier(findings: Findings, main: Training | None) -> Training | None:
    """The classifier that made the labels of a training; it may lie elsewhere."""
    wanted = None if main is None else main.pseudo_labels.get('config')
    own = [one for one in findings.trainings if one.is_classifier and one.checkpoint is not None]
    stem = Path(wanted).stem if wanted else None
    named = [one for one in own if stem and stem in (Path(one.cfg.filename).stem, *_config_names(one.folder))]
    return next(iter([*named, *own, *_elsewhere(main)]), None)


def _config_names(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob('*.py')]


def _elsewhere(main: Training | None) -> Iterator[Training]:
    if main is None or not main.pseudo_labels.get('config'):
        return
    from bana_mm.report.gather import read_training
    from bana_mm.utils.label_origin import LabelOrigin

    origin = LabelOrigin.from_cfg(main.pseudo_labels)
    if origin.checkpoint is not None and origin.has_checkpoint():
        folder = origin.checkpoint.parent
        found = read_training(folder, folder.as_posix())
        if found is not None and found.is_classifier and found.checkpoint is not None:
            yield found


def _percent(score: float | None) -> float | None:
    return None if score is None else round(100 * score, 1)

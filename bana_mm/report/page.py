"""The page: tables, curves, bars and pictures of a run in one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bana_mm.utils.atomic import whole_file
from bana_mm.utils.command_line import duration
from bana_mm.utils.table import percent
from bana_mm.version import __version__

from .cards import Card, Models, load_models, make_cards
from .charts import line_chart
from .gather import Findings, Training, find_all
from .instances import instance_images
from .settings import settings_of
from .survey import Survey, build_images, main_labels, map_folders, survey_images

SCORES = ('mIoU', 'mAP', 'AP', 'accuracy')  # what curves of validations are called


@dataclass
class Table:
    """Rows of figures with a title.

    Args:
        header (list[str]): Titles of the columns.
        rows (list[list]): Cells: text, numbers or None.
        bars (bool): Whether numbers are percentages to be drawn as bars. Defaults to False.
        caption (str): Above it. Defaults to ''.
    """

    header: list[str]
    rows: list[list[Any]]
    bars: bool = False
    caption: str = ''


def write_report(
    work_dir: str | Path,
    out: str | Path | None = None,
    images: int = 12,
    main: str | None = None,
    predictions: Mapping[str, str | Path] | None = None,
    with_models: bool = True,
    device: str = 'cpu',
    height: int = 150,
    most: int = 2000,
) -> Path:
    """Write the page of a work directory: one file that needs no other and no network.

    Args:
        work_dir (str | Path): Folder of one training, or of all stages.
        out (str | Path | None): The page. Defaults to None, ``report.html`` in the work directory.
        images (int): Images to show: a third each the best, median and worst. Defaults to 12.
        main (str | None): Name of the training whose predictions order the images. Defaults to None: the last
            segmentation model with the noise-aware loss, else the last one.
        predictions (Mapping[str, str | Path] | None): Caption to a folder of label maps ``ID.png``. Defaults to None.
        with_models (bool): Whether networks are run for attention, CAM, confidence and missing predictions, where their
            checkpoints are there. Defaults to True.
        device (str): Where. Defaults to 'cpu'.
        height (int): Of each picture in pixels. Defaults to 150.
        most (int): At most this many images are compared with their masks. Defaults to 2000.

    Returns:
        Path: The page.

    Raises:
        FileNotFoundError: If there is neither a training nor a label store.
        ValueError: If no training is called ``main``, or a file is damaged; the message names it.
    """
    findings = find_all(work_dir)
    training = main_training(findings, main)
    survey, cards, legend = None, [], {}
    maps = map_folders(findings, training, predictions or {})
    found = None
    if training is not None and training.is_detector:
        found, masks = instance_images(training.cfg)
        maps += masks
    if found is None and training is not None and training.cfg is not None:
        found = build_images(training.cfg, maps)
    if found is not None:
        survey = survey_images(found, maps, most)
        models = load_models(findings, training, device) if with_models and images else Models()
        cards, legend = make_cards(survey, models, images, height)
    path = Path(out) if out is not None else findings.root / 'report.html'
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(render(findings, training, survey, cards, legend), encoding='utf-8')
    return path


def main_training(findings: Findings, name: str | None = None) -> Training | None:
    """The training that the page is about.

    Raises:
        ValueError: If none has this name.
    """
    trainings = findings.trainings
    if name is not None:
        for one in trainings:
            if one.name == name:
                return one
        raise ValueError(
            f'{findings.root}: no training is called {name!r}, only {", ".join(t.name for t in trainings)}'
        )
    segmentors = [one for one in trainings if one.is_segmentor]
    noise_aware = [one for one in segmentors if one.has_noise_aware_loss]
    return next(iter([*noise_aware[::-1], *segmentors[::-1], *trainings[::-1]]), None)


def render(
    findings: Findings,
    main: Training | None,
    survey: Survey | None,
    cards: Sequence[Card],
    legend: Mapping[str, Sequence[int]],
) -> str:
    """The page as text."""
    loader = PackageLoader('bana_mm.report', '.')
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    ranked = None if survey is None or survey.ranked_by is None else survey.ranked_by.caption
    return page.get_template('page.html').render(
        title=findings.root.resolve().name,
        folder=str(findings.root),
        made=datetime.now().strftime('%Y-%m-%d %H:%M'),
        version=__version__,
        main=main.name if main is not None else None,
        headlines=headlines(findings, main),
        settings=settings_table(findings.trainings),
        configs=[(one.name, one.cfg.pretty_text) for one in findings.trainings if one.cfg is not None],
        charts=curves(findings.trainings),
        labels=label_tables(findings),
        tests=test_table(findings.trainings),
        classes=class_table(survey),
        filling=filling_table(findings, survey),
        timing=timing_table(findings),
        survey=survey,
        ranked=ranked,
        cards=cards,
        groups=list(dict.fromkeys(card.group for card in cards)),
        shown_classes=sorted({name for card in cards for name in card.classes}),
        legend={name: '#{:02x}{:02x}{:02x}'.format(*colour) for name, colour in legend.items()},
    )


def headlines(findings: Findings, main: Training | None) -> list[tuple[str, str]]:
    """The few figures that matter most: what, and how much."""
    found = []
    labels = main_labels(findings, main)
    for split, content in (labels.evaluations if labels is not None else {}).items():
        for name in ('Y_crf', 'agree'):
            if content['rows'].get(name, {}).get('mIoU') is not None:
                found.append((f'{name} of {split}, mIoU', f'{content["rows"][name]["mIoU"]:.1f}'))
    for key, value in (main.scores if main is not None else {}).items():
        if key.startswith('mIoU'):
            found.append((f'{main.name}, {key}', f'{value:.1f}'))
        elif key.endswith('_mAP'):
            found.append((f'{main.name}, {key}', f'{100 * value:.1f}'))
    return found


def settings_table(trainings: Sequence[Training]) -> Table:
    """Settings by row, a column for each training."""
    settings = [settings_of(one.cfg) for one in trainings]
    names = list(dict.fromkeys(name for one in settings for name in one))
    return Table(
        ['', *(one.name for one in trainings)], [[name, *(one.get(name) for one in settings)] for name in names]
    )


def curves(trainings: Sequence[Training]) -> list[Markup]:
    """For all trainings their losses, then the scores of their validations, then the parts of each loss."""

    def chosen(take: Any) -> dict[str, Any]:
        return {
            (one.name if key in ('loss', 'mIoU', 'lr') else f'{one.name}, {key}'): points
            for one in trainings
            for key, points in one.series.items()
            if take(key)
        }

    charts = [line_chart(chosen(lambda key: key == 'loss'), 'loss')]
    scores = [key for one in trainings for key in one.series if key.rpartition('/')[2].rpartition('_')[2] in SCORES]
    charts.append(line_chart(chosen(lambda key: key in scores), 'validation'))
    for one in trainings:
        parts = {key: points for key, points in one.series.items() if 'loss' in key and key != 'loss'}
        if len(parts) > 1:
            charts.append(line_chart(parts, f'parts of the loss, {one.name}'))
    charts.append(line_chart(chosen(lambda key: key == 'lr'), 'learning rate'))
    return [chart for chart in charts if chart]


def label_tables(findings: Findings) -> list[tuple[Table, Table]]:
    """For each evaluation of labels its means, and its classes as bars."""
    tables = []
    for labels in findings.labels:
        for split, content in labels.evaluations.items():
            rows = content['rows']
            caption = f'{labels.name}, {split}' + (f', {content["images"]} images' if content.get('images') else '')
            fields = [
                name
                for name in ('mIoU', 'mIoU_chosen', 'ignored', 'contour_F')
                if any(name in r for r in rows.values())
            ]
            means = Table(
                ['labels', *fields],
                [[name, *(row.get(f) for f in fields)] for name, row in rows.items()],
                caption=caption,
            )
            names = list(dict.fromkeys(name for row in rows.values() for name in row.get('IoU', ())))
            by_class = [[name, *(row.get('IoU', {}).get(name) for row in rows.values())] for name in names]
            tables.append((means, Table(['class', *rows], by_class, True, f'IoU by class: {caption}')))
    return tables


def test_table(trainings: Sequence[Training]) -> Table | None:
    """Scores of the tests, a row for each training."""
    tested = [one for one in trainings if one.scores]
    names = list(dict.fromkeys(name for one in tested for name in one.scores if 'time' not in name))
    rows = [[one.name, *(one.scores.get(name) for name in names)] for one in tested]
    return Table(['training', *names], rows) if rows else None


def class_table(survey: Survey | None) -> Table | None:
    """IoU by class of all maps against the masks, counted for the page."""
    if survey is None or not survey.confusions:
        return None
    names = ['background', *survey.classes]
    iou = {name: one.iou() for name, one in survey.confusions.items()}
    shown = [index for index in range(len(names)) if any(one.present()[index] for one in survey.confusions.values())]
    rows = [['mean', *(percent(one.mean_iou()) for one in survey.confusions.values())]]
    rows += [[names[index], *(percent(one[index]) for one in iou.values())] for index in shown]
    seen = f'{len(survey.images)} of {survey.total}' if len(survey.images) < survey.total else str(survey.total)
    return Table(['class', *iou], rows, True, f'IoU by class, {seen} images of {survey.split}')


def filling_table(findings: Findings, survey: Survey | None) -> Table | None:
    """Mean filling rates by class: as ``tools/analysis/filling_rates.py`` wrote them, else counted here."""
    if findings.filling_rates:
        kinds = findings.filling_rates
        names = list(dict.fromkeys(name for kind in kinds.values() for name in kind['classes']))
        rows = [['mean of classes', *(kind['mean_of_classes'] for kind in kinds.values())]]
        rows += [[name, *(kind['classes'].get(name, {}).get('mean') for kind in kinds.values())] for name in names]
        return Table(['class', *kinds], rows, True)
    if survey is None or not survey.rates:
        return None
    rates = survey.rates
    present = sorted({int(index) for one in rates.values() for index in one.classes})
    rows = [['mean of classes', *(percent(one.mean()) for one in rates.values())]]
    rows += [[survey.classes[index - 1], *(percent(one.mean(index)) for one in rates.values())] for index in present]
    return Table(['class', *rates], rows, True)


def timing_table(findings: Findings) -> Table:
    """How long each stage took, as far as its files say."""
    rows = []
    for one in findings.trainings:
        if one.seconds is not None:
            rows.append([f'training, {one.name}', duration(one.seconds), 'logged time an iteration, times iterations'])
        if one.test_seconds is not None:
            rows.append([f'test, {one.name}', duration(one.test_seconds), 'from its start to its scores'])
    for labels in findings.labels:
        if labels.seconds is not None:
            rows.append([f'labels, {labels.name}', duration(labels.seconds), 'from the first file to the last one'])
    return Table(['stage', 'time', 'measured'], rows)

"""Does each idea help? Train the rows of a plan with several seeds, and compare what shares a seed.

Each seed draws images of its own, trains each classifier once, makes each kind of labels once, and trains every row of
stage 3 on them. Writes OUT_DIR/ablations.json (all figures), .txt (the tables: mean, standard deviation, and the mean
difference to another row with the same seed and its standard error) and .png (every seed a point). Seed after seed is
run in the order of the plan's tables; what is done is skipped, and killed runs go on from their last checkpoint.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from bana_mm.pipeline.ablation_plan import (
    AblationPlan,
    Comparison,
    Figures,
    Item,
    Table,
    Training,
    compare,
    comparison_table,
    make_schedule,
    needs,
    read_plan,
)
from bana_mm.pipeline.seed_runs import SeedRuns
from bana_mm.pipeline.step import StepError, ended_by_signals
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.label_origin import final_checkpoint
from bana_mm.utils.progress import Progress
from bana_mm.utils.record import keep_record
from bana_mm.utils.resources import find_config
from bana_mm.utils.result_tables import markdown_table
from bana_mm.utils.table import format_table
from bana_mm.visualization.spread import draw_spread

SETTINGS = ('num_train', 'num_val', 'classifier_iters', 'segmentation_iters', 'amp')  # of all runs in a folder


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__,
        __doc__,
        ['--out-dir work_dirs/ablations --jobs 2', '--tables background --seeds 0 1 2', '--report --markdown'],
    )
    parser.add_argument('--plan', default='configs/demo/ablations.yml', help='what to run (default: %(default)s)')
    parser.add_argument('--out-dir', default='work_dirs/ablations', help='folder of everything (default: %(default)s)')
    parser.add_argument('--seeds', type=int, nargs='+', help="these alone (default: as many as the plan's tables ask)")
    parser.add_argument(
        '--tables', nargs='+', metavar='TEXT', help='run, print and draw only tables whose title contains one of these'
    )
    parser.add_argument('--num-train', type=int, default=300, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=100, help='validation images (default: %(default)s)')
    parser.add_argument('--classifier-iters', type=int, help="iterations of stage 1 (default: the configs')")
    parser.add_argument('--segmentation-iters', type=int, help="iterations of stage 3 (default: the configs')")
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--jobs', type=int, default=1, help='processes side by side (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='threads of each (default: %(default)s)')
    parser.add_argument('--markdown', action='store_true', help='print the tables as Markdown')
    parser.add_argument('--report', action='store_true', help='run nothing, only write what the finished runs say')
    return parser.parse_args()


def run_all(plan: AblationPlan, runs: Mapping[int, SeedRuns], schedule: Sequence[Item], jobs: int) -> None:
    """Run a schedule, several items side by side; after a failure nothing more is begun.

    Raises:
        StepError: If an item fails.
    """
    futures: dict[Item, Future] = {}
    failures: list[BaseException] = []

    def run(item: Item) -> None:
        seed, kind, name = item
        for other in needs(plan, item):
            futures[other].result()  # stands before it in the queue, so it is done or being done
        if failures:
            raise StepError(f'seed {seed}: {kind} {name} was not begun')
        calls = dict(
            data=lambda: runs[seed].draw(),
            classifier=lambda: runs[seed].train_classifier(name),
            labels=lambda: runs[seed].make_labels(name),
            training=lambda: runs[seed].train(Training.parse(name)),
        )
        try:
            calls[kind]()
            progress.update()
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(jobs) as pool, Progress(len(schedule), title='runs', unit='runs') as progress:
        for item in schedule:
            futures[item] = pool.submit(run, item)
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        except BaseException as interruption:
            failures.append(interruption)
            for one in runs.values():
                one.stop()
            raise
    for failure in failures[:1]:
        raise failure


def make_start(
    plan: AblationPlan, root: Path, settings: Mapping[str, Any], threads: int
) -> tuple[Callable[[], None], Path | None]:
    """What trains the weights from which all else begins, and where they will be; nothing where the plan has none."""
    if not plan.start:
        return lambda: None, None
    own = dict(settings, num_train=plan.start['num_train'], classifier_iters=plan.start['iters'])
    runs = SeedRuns(plan, root / 'start', plan.start['seed'], own, threads)
    cfg = runs.classifier_config(plan.start['classifier'])

    def run() -> None:
        runs.draw()
        runs.train_classifier(plan.start['classifier'])

    return run, final_checkpoint(cfg, cfg.work_dir)


def collect(plan: AblationPlan, runs: Mapping[int, SeedRuns]) -> dict[str, dict[int, dict[str, float]]]:
    """All figures that there are, by run and seed."""
    figures: dict[str, dict[int, dict[str, float]]] = {}
    trainings = [key for table in plan.tables if table.kind == 'trainings' for key in table.keys()]
    for seed, one in runs.items():
        for name in plan.labels:
            figures.setdefault(name, {})[seed] = one.label_figures(name)
        for key in dict.fromkeys(trainings):
            figures.setdefault(key, {})[seed] = one.scores(Training.parse(key))
    return {key: {seed: one for seed, one in by_seed.items() if one} for key, by_seed in figures.items()}


def report(
    plan: AblationPlan,
    shown: Sequence[Table],
    figures: Figures,
    settings: Mapping[str, Any],
    root: Path,
    markdown: bool,
) -> str:
    """Write JSON and tables with all that there is, and a plot of the tables that are shown; those, to print."""
    rows = {table.title: compare(plan, table, figures) for table in plan.tables}
    tables = [dict(title=title, rows=[row.to_dict() for row in lines]) for title, lines in rows.items()]
    content = dict(settings=settings, runs=figures, tables=tables)
    for name, what in (('json', json.dumps(content, indent=2)), ('txt', _text(rows, '{}\n', format_table))):
        with whole_file(root / f'ablations.{name}') as partial:
            partial.write_text(what + '\n')
    rows = {table.title: rows[table.title] for table in shown}
    drawn = {
        title: {row.title: list(row.figures.values()) for row in lines if row.figures} for title, lines in rows.items()
    }
    if any(drawn.values()):
        with whole_file(root / 'ablations.png') as partial:
            draw_spread(drawn, 'mIoU, %').savefig(partial, format='png', dpi=80)
    return _text(rows, '### {}\n\n', markdown_table) if markdown else _text(rows, '{}\n', format_table)


def _text(rows: Mapping[str, Sequence[Comparison]], heading: str, form: Callable[..., str]) -> str:
    return '\n\n'.join(heading.format(title) + comparison_table(lines, form) for title, lines in rows.items())


def main() -> None:
    args = parse_args()
    plan, root = read_plan(find_config(args.plan)), Path(args.out_dir)
    settings = {name: getattr(args, name) for name in SETTINGS}
    root.mkdir(parents=True, exist_ok=True)
    keep_record(root / 'settings.json', settings)
    tables = [table for table in plan.tables if not args.tables or any(text in table.title for text in args.tables)]
    every = range(max(table.seeds for table in plan.tables))
    start, checkpoint = (None, None) if args.report else make_start(plan, root, settings, args.threads)
    runs = {seed: SeedRuns(plan, root / f'seed_{seed}', seed, settings, args.threads, checkpoint) for seed in every}
    if start is not None:
        with ended_by_signals():
            start()
            run_all(plan, runs, make_schedule(plan, tables, every if args.seeds is None else args.seeds), args.jobs)
    print(report(plan, tables, collect(plan, runs), settings, root, args.markdown))
    say_done(f'{len(tables)} tables, ablations.json, .txt and .png', root)


if __name__ == '__main__':
    main()

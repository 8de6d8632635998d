"""Print the tables of results: every experiment of the paper with its config, published figures and ours.

`experiments.yml` beside the configs lists the rows and the published figures, `metafile.yml` holds ours. --work-dirs
looks for new figures: scores of tools/test.py and of tools/evaluate_labels.py --json (tools/pipeline.py calls both).
The data set of a score is known by its number of images; what fits no row is named and left out. --write puts the
figures into metafile.yml, lists configs that it lacks, and renews the tables in README.md.
"""

import argparse
from pathlib import Path

from bana_mm.pipeline.work_dirs import find_scores, match
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.interrupt import BEGINS_ANEW, interruptible
from bana_mm.utils.metafile import description, dump_metafile, leading_comment, update_metafile
from bana_mm.utils.result_tables import read_experiments, read_yaml, render_tables, splice

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__file__, __doc__, ['--configs configs/addons', '--work-dirs work_dirs --write'])
    parser.add_argument(
        '--configs',
        type=Path,
        default=ROOT / 'configs' / 'bana',
        help='folder of configs, experiments.yml, metafile.yml and README.md (default: configs/bana)',
    )
    parser.add_argument('--work-dirs', type=Path, metavar='DIR', help='folder in which to look for new figures')
    parser.add_argument('--write', action='store_true', help='write metafile.yml and README.md')
    return parser.parse_args()


@interruptible(BEGINS_ANEW)
def main() -> None:
    args = parse_args()
    if args.work_dirs is not None and not args.work_dirs.is_dir():
        raise FileNotFoundError(f'--work-dirs {args.work_dirs} is not a folder')
    folder = args.configs.resolve()
    configs = {path.stem: path for path in sorted(folder.glob('*.py'))}
    experiments = read_experiments(folder / 'experiments.yml', configs)
    metafile = read_yaml(folder / 'metafile.yml')

    figures, left_out = match(experiments, find_scores(args.work_dirs) if args.work_dirs else [])
    for (config, dataset, metric), (value, path) in figures.items():
        print(f'{config}: {metric} on {dataset} = {value:.1f}  ({path})')
    for line in left_out:
        print(f'left out: {line}')
    # a folder of configs is configs/NAME of its repository
    metafile = update_metafile(metafile, folder, folder.parents[1], {key: value for key, (value, _) in figures.items()})
    tables = render_tables(experiments, metafile, {name: description(path) for name, path in configs.items()})
    print(tables)
    if args.write:
        readme, index = folder / 'README.md', folder / 'metafile.yml'
        texts = {
            readme: splice(readme.read_text(encoding='utf-8'), tables, readme),
            index: dump_metafile(metafile, leading_comment(index.read_text(encoding='utf-8'))),
        }
        for path, text in texts.items():
            with whole_file(path) as partial:
                partial.write_text(text, encoding='utf-8')
    hint = None if args.write else 'the same with --write puts the figures into metafile.yml and README.md'
    say_done(f'tables of {len(configs)} configs, {len(figures)} new figures', folder if args.write else None, hint)


if __name__ == '__main__':
    main()

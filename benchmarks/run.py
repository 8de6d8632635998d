"""Time, memory and agreement of every fast part against a slow version or an alternative, as one table.

python benchmarks/run.py                                     # everything on the CPU
python benchmarks/run.py --items bap nal --json out.json     # some of it
python benchmarks/run.py --device cuda --step-batch 20
python benchmarks/run.py --items crf --images *.jpg          # real photographs

The ratio is how many times as fast ours is. Candidates run in turns and the shortest time of each counts. Memory is
what a pass takes at most beyond its inputs, ours / theirs; for stage 2 it is that of the whole process.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without being installed

# Worker processes import this file too: what only the main process needs is imported in main().
ITEMS = ('bap', 'step', 'data', 'labels', 'large', 'crf', 'workers', 'nal', 'precision', 'json_stream')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--items', nargs='+', choices=ITEMS, default=ITEMS, help='what to measure (default: all)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--threads', type=int, default=2, help='of torch on the CPU (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=3, help='times that each candidate runs after the first')
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help='cpu: seconds of all threads together, for machines with other load',
    )
    parser.add_argument('--step-batch', type=int, help='images in a step of stage 1 (default: 20 on cuda, 4 on cpu)')
    parser.add_argument('--images', nargs='+', default=(), help='photographs for the CRF (default: a synthetic one)')
    parser.add_argument('--voc-root', help='data set for the data pipeline (default: synthetic images of 500 x 375)')
    parser.add_argument('--json-megabytes', type=int, default=450, help='size of the COCO file (default: %(default)s)')
    parser.add_argument('--quick', action='store_true', help='tiny inputs, no memory: to see that everything runs')
    parser.add_argument('--markdown', action='store_true', help='print the table in Markdown')
    parser.add_argument('--json', type=Path, help='write machine, versions and rows to this file too')
    args = parser.parse_args(argv)
    if args.step_batch is None:
        args.step_batch = 20 if args.device.startswith('cuda') else 4
    return args


def describe_machine(device: str, threads: int) -> dict[str, str | int]:
    """What the figures depend on."""
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        cpu = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return dict(
        device=torch.cuda.get_device_name(device) if device.startswith('cuda') else 'cpu',
        cpu=cpu,
        threads=threads,
        torch=torch.__version__,
        cuda=torch.version.cuda or 'none',
        python=platform.python_version(),
    )


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    import torch

    from bana_mm.utils.table import format_table, markdown_table
    from benchmarks.harness import HEADER, Options, SkipItem

    torch.set_num_threads(args.threads)
    options = Options(
        args.device,
        args.repeats,
        args.quick,
        args.clock,
        args.images,
        args.step_batch,
        args.voc_root,
        args.json_megabytes,
    )
    machine = describe_machine(args.device, args.threads)
    rows, skipped = [], {}
    try:
        for name in args.items:
            start = time.perf_counter()
            try:
                for row in import_module(f'benchmarks.items.{name}').rows(options):
                    rows.append(row)
                    print('  '.join(cell for cell in row.cells() if cell), file=sys.stderr)
            except SkipItem as reason:
                skipped[name] = str(reason)
            print(f'{name}: {time.perf_counter() - start:.0f} s', file=sys.stderr)
    finally:  # interrupted, it shows what it has
        print(', '.join(f'{key} {value}' for key, value in machine.items()))
        if args.clock == 'cpu':
            print('times are CPU seconds of all threads')
        print((markdown_table if args.markdown else format_table)(HEADER, [row.cells() for row in rows]))
        for name, reason in skipped.items():
            print(f'{name} left out: {reason}')
        if args.json is not None:
            report = dict(machine=machine, clock=args.clock, rows=[row.to_dict() for row in rows], skipped=skipped)
            args.json.write_text(json.dumps(report, indent=2))


if __name__ == '__main__':
    main()

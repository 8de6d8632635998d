"""Train all stages on synthetic images, print what each gains, and draw panels and a page.

Two classifiers (plain and background-aware pooling) give labels; four segmentation models are trained: on whole boxes,
on Y_crf with cross entropy, on Y_crf with the noise-aware loss, and on the full masks. What is done is skipped when it
is started again.
"""

import argparse

from bana_mm.pipeline.demo import Demo, DemoSettings
from bana_mm.pipeline.step import ended_by_signals
from bana_mm.utils.atomic import whole_file
from bana_mm.utils.command_line import say_done, tool_parser
from bana_mm.utils.run_options import usable_cores


def parse_args() -> argparse.Namespace:
    parser = tool_parser(
        __file__, __doc__, ['--out-dir work_dirs/demo', '--num-train 100 --num-val 20 --out-dir work_dirs/small_demo']
    )
    parser.add_argument('--out-dir', default='work_dirs/demo', help='folder of everything (default: %(default)s)')
    parser.add_argument('--num-train', type=int, default=300, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=50, help='validation images (default: %(default)s)')
    parser.add_argument('--classifier-iters', type=int, help="iterations of stage 1 (default: the configs')")
    parser.add_argument('--segmentation-iters', type=int, help="iterations of stage 3 (default: the configs')")
    parser.add_argument('--panels', type=int, default=10, help='how many images to draw (default: %(default)s)')
    parser.add_argument(
        '--jobs', type=int, default=min(2, usable_cores()), help='trainings side by side (default: %(default)s)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    settings = DemoSettings(args.num_train, args.num_val, args.classifier_iters, args.segmentation_iters)
    demo = Demo(args.out_dir, settings, args.panels, args.jobs)
    with ended_by_signals():
        demo.prepare()
        demo.run()
    table = demo.table()
    with whole_file(demo.root / 'table.txt') as partial:
        partial.write_text(table + '\n')
    print(f'\nmIoU in percent: labels on {args.num_train} training images, segmentation on {args.num_val} others')
    print(table)
    say_done('the demonstration: table.txt, panels/ and logs/', demo.root, f'open {demo.page} in a browser')


if __name__ == '__main__':
    main()

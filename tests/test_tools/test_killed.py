"""Killed at any moment and started again, a tool leaves the files of a run that nobody has disturbed."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from killing import MOMENTS, TOOLS, Forked, call_tool, exit_code, moments, tree
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from scipy.io import savemat

from bana_mm.datasets.synthetic import make_synthetic_voc
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.pipeline import step
from bana_mm.search import crf_search, recipe_search
from bana_mm.structures import read_label_png
from bana_mm.utils.safe_loading import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='forks processes that have threads')
MAPS = ('Y_crf', 'Y_ret')
DEVICE = ('--device', 'cpu', '--workers', '0')


@pytest.fixture(autouse=True)
def one_thread():
    """A forked process has no other threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1), cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0]), cv2.setNumThreads(before[1])


class Run:
    """Something that is killed and started again, in a folder of its own each time.

    Args:
        folder (Path): For all runs.
        begin (Callable): Makes the function to run from the folder of its results.
        but (Sequence[str]): Endings of files that differ from run to run.
        look (Callable): What to compare of a folder, by name. Defaults to the contents of all other files.
    """

    def __init__(self, folder, begin, but=(), look=None):
        self.folder, self.begin = folder, begin
        self.look = look or (lambda root: tree(root, but))
        whole = Forked(self.begin(self.fresh('whole')), folder / 'whole.log')
        assert whole.wait() == 0, whole.log.read_text()
        self.expected = self.files('whole')
        assert self.expected and not [name for name in self.expected if '.part' in name]
        again = Forked(self.begin(self.fresh('timed')), folder / 'timed.log')
        assert again.wait() == 0
        self.seconds = time.monotonic() - again.start
        assert self.files('timed') == self.expected

    def fresh(self, name):
        (self.folder / name).mkdir()
        return self.folder / name

    def files(self, name):
        return self.look(self.folder / name)

    def killed_and_again(self, count, seed=0):
        """Yields the folder, when it was killed there, and the log of the second run once that is over."""
        kills = 0
        for number, part in enumerate(moments(count, seed)):
            root, moment = self.fresh(f'killed{number}'), part * self.seconds
            first = Forked(self.begin(root), self.folder / f'killed{number}.log')
            status = first.kill_after(moment)
            if status == 0:  # the machine has become quicker
                self.seconds = time.monotonic() - first.start
            assert status in (0, -signal.SIGKILL), (self.folder / f'killed{number}.log').read_text()
            kills += status != 0
            left = self.files(root.name)
            half = [name for name, content in left.items() if content != self.expected.get(name) and self.final(name)]
            assert not half, f'killed after {moment:.3f} s: {half}'
            second = Forked(self.begin(root), self.folder / f'again{number}.log')
            assert second.wait() == 0, second.log.read_text()
            yield left, second.log.read_text()
            found = self.files(root.name)
            assert found.keys() == self.expected.keys(), f'killed after {moment:.3f} s'
            assert found == self.expected, f'killed after {moment:.3f} s'
            shutil.rmtree(root)
        assert kills >= max(count // 4, 1)  # else the moments were after the end

    @staticmethod
    def final(name):
        """Whether a name is one under which a file is whole."""
        return not re.search(r'(^|/)\.[^/]*\.part$|\.parts/|search\.csv|train_aug.*\.csv|synthetic\.json', name)


@pytest.mark.parametrize('count', MOMENTS)
def test_label_maps(work, tmp_path, count):
    run = Run(
        tmp_path,
        lambda root: call_tool(
            'generate_labels', work / 'bap.py', work / 'bap.pth', '--out-dir', root / 'maps', *DEVICE
        ),
    )
    for left, log in run.killed_and_again(count):
        ids = [{Path(name).stem for name in left if re.fullmatch(rf'maps/{part}/\w+\.png', name)} for part in MAPS]
        done = len(ids[0] & ids[1])
        assert re.search(rf'{6 - done} images in .*' + (rf'\({done} were there\)' if done else ''), log)


@pytest.mark.parametrize('count', MOMENTS)
def test_mask_json(work, tmp_path, count):
    data = make_tiny_coco(tmp_path / 'coco', num_train=7)
    quick = ('--cfg-options', 'instance_recipe.unary.crf.iterations=2', 'instance_recipe.side=32')
    given = (
        work / 'bap.py',
        work / 'bap.pth',
        '--coco',
        data / 'annotations/instances_train2017.json',
        *DEVICE,
        *quick,
    )
    run = Run(tmp_path, lambda root: call_tool('generate_labels', *given, '--out', root / 'masks.json'))
    for left, log in run.killed_and_again(count):
        lines = left.get('masks.json.parts/0.jsonl', b'').count(b'\n')
        done = 7 if 'masks.json' in left else lines
        assert re.search(rf'^{7 - done} images in .*' + (rf'\({done} were there\)' if done else ''), log, re.M)


@pytest.mark.parametrize('count', MOMENTS)
def test_mask_json_of_a_full_disk(work, tmp_path, count):
    """No file may grow over a limit, which is a little larger each time that the tool is started again."""
    data = make_tiny_coco(tmp_path / 'coco', num_train=7)
    given = ('--source', 'box', '--coco', data / 'annotations/instances_train2017.json', *DEVICE)
    run = Run(tmp_path, lambda root: call_tool('generate_labels', *given, '--out', root / 'masks.json'))
    size, root, failed = len(run.expected['masks.json']), run.fresh('full'), 0
    for limit in [round(size * (part + 0.5) / count) for part in range(count)] + [10 * size]:

        def limited(limit=limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            sys.stdout = sys.stderr = open(os.devnull, 'w') if limit < 4096 else sys.stdout
            call_tool('generate_labels', *given, '--out', root / 'masks.json')()

        one = Forked(limited, tmp_path / f'{limit}.log')
        if one.wait() != 0:
            failed += 1
            log = one.log.read_text()
            assert not log or re.search(r'OSError.*full/.*can not be written \(File too large\); make room, and', log)
            left = run.files('full')
            assert 'masks.json' not in left and not [name for name in left if name.endswith('.part')]
    assert run.files('full') == run.expected and failed >= 1


@pytest.mark.long
def test_label_maps_on_a_full_disk(work, tmp_path):
    """Twenty sizes of a small disk, all of them too small; then it grows."""
    where = tmp_path / 'disk'
    where.mkdir()
    mount = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', where], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f'no disk may be mounted here: {mount.stderr.strip()}')
    given = (work / 'bap.py', work / 'bap.pth', *DEVICE)
    try:
        run = Run(tmp_path, lambda root: call_tool('generate_labels', *given, '--out-dir', root / 'maps'))
        for pages in range(2, 22):
            subprocess.run(['mount', '-o', f'remount,size={4 * pages}k', where], check=True)
            one = Forked(call_tool('generate_labels', *given, '--out-dir', where / 'maps'), tmp_path / f'{pages}.log')
            if one.wait() == 0:
                break
            log = one.log.read_text()
            assert re.search(r'No space left on device', log) and 'Traceback' in log
            assert not [name for name in tree(where) if name.endswith('.part')]
        subprocess.run(['mount', '-o', 'remount,size=1m', where], check=True)
        assert Forked(call_tool('generate_labels', *given, '--out-dir', where / 'maps'), tmp_path / 'log').wait() == 0
        assert tree(where) == run.expected
    finally:
        subprocess.run(['umount', where], check=True)


def counted(module, name, root):
    """Let a function of a module note its calls in a file, in a process that is about to end."""
    function = getattr(module, name)

    def noting(*args, **kwargs):
        result = function(*args, **kwargs)
        with open(root.with_suffix('.calls'), 'a') as file:
            file.write('.')
        return result

    noting.__name__ = noting.__qualname__ = name
    setattr(module, name, noting)


def children(pid):
    """Processes that a process has started, and that have done the most of their starting up."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            if (
                int(path.read_text().rsplit(')', 1)[1].split()[1]) == pid
                and b'cv2' in (path.parent / 'maps').read_bytes()
            ):
                found.append(int(path.parent.name))
        except (OSError, IndexError):
            pass
    return found


@pytest.mark.long
def test_a_worker_is_killed(work, tmp_path):
    """At twenty moments, one of two: the run goes on by itself, and nothing is missing."""
    given = ('--source', 'grabcut', '--voc-root', work / 'voc', '--split', 'train_aug', '--device', 'cpu')
    tool = ('generate_labels', work / 'bap.py', *given)
    run = Run(tmp_path, lambda root: call_tool(*tool, '--out-dir', root / 'maps', '--workers', 0))
    chance, kills = random.Random(0), 0
    for number in range(20):
        root = run.fresh(f'worker{number}')
        one = Forked(call_tool(*tool, '--out-dir', root / 'maps', '--workers', 2), tmp_path / f'worker{number}.log')
        status = None
        while status is None and not (workers := children(one.pid)):
            status = one.wait(time.monotonic() - one.start)
        time.sleep(chance.uniform(0, 0.5))
        for worker in workers[:1]:
            try:
                os.kill(worker, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        status = one.wait() if status is None else status
        assert status == 0, one.log.read_text()
        assert run.files(root.name) == run.expected
        shutil.rmtree(root)
    assert kills >= 10


@pytest.mark.parametrize('count', MOMENTS)
def test_search_of_crf_parameters(work, tmp_path, count):
    given = (work / 'bap.py', work / 'bap.pth', '--split', 'train_aug', *DEVICE)
    grid = ('--bilateral-rgb', 3, 5, 8, '--iterations', 1, 2, 3)

    def begin(root):
        def call():
            counted(crf_search, 'label_crf_input', root)
            call_tool('analysis/search_crf', *given, '--work-dir', root, *grid)()

        return call

    run = Run(tmp_path, begin, but=('.pkl', '.calls'))
    for number, _ in enumerate(run.killed_and_again(count)):
        calls = (tmp_path / f'killed{number}.calls').stat().st_size
        whole = (tmp_path / 'whole.calls').stat().st_size
        assert whole == 54 and whole <= calls < whole + 6  # of the point that it was in all images are done again


@pytest.mark.parametrize('count', MOMENTS)
def test_search_of_recipes(work, tmp_path, count):
    recipes = '[{"score": "cam"}, {"score": "attention"}, {"score": "mean"}, {"min_recognised": 0.2}]'
    given = (work / 'bap.py', work / 'bap.pth', '--split', 'train_aug', '--only', recipes, *DEVICE)

    def begin(root):
        def call():
            counted(recipe_search, 'recipe_counts', root)
            call_tool('analysis/search_recipe', *given, '--work-dir', root)()

        return call

    run = Run(tmp_path, begin, but=('.npz', '.calls'))
    for number, _ in enumerate(run.killed_and_again(count)):
        calls = (tmp_path / f'killed{number}.calls').stat().st_size
        assert 24 <= calls < 24 + 6


def test_table_of_an_earlier_version(tmp_path):
    """Lines were appended once, so that the last one may be cut off within a number."""
    path = tmp_path / 'a.csv'
    path.write_text('recipe,mIoU,mIoU_chosen,background,cat\na,1.0000,2.0000,3.0000,4.0000\nb,1.0000,2.0000,3.0000,4.0')
    assert list(recipe_search.RecipeTable(path, None, ['cat']).rows) == ['a']


@pytest.mark.parametrize('count', MOMENTS)
def test_converters(tmp_path, count):
    """The made-up data set, boxes from masks, and VOC's augmented set."""
    voc, sbd = tmp_path / 'voc', tmp_path / 'sbd'
    make_synthetic_voc(voc, 12, 2, image_size=(48, 48), classes=('ring', 'triangle'))
    (sbd / 'cls').mkdir(parents=True)
    ids = (voc / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    (voc / 'SegmentationClassAug').rename(voc / 'SegmentationClass')
    for name, part in (('train', ids[:2]), ('val', ids[2:3])):
        (voc / f'ImageSets/Segmentation/{name}.txt').write_text('\n'.join(part) + '\n')
    (voc / 'ImageSets/Segmentation/train_aug.txt').unlink()
    for name, part in (('train', ids[3:8]), ('val', ids[8:])):
        (sbd / f'{name}.txt').write_text('\n'.join(part) + '\n')
        for img_id in part:
            mask = read_label_png(voc / f'SegmentationClass/{img_id}.png')
            savemat(sbd / f'cls/{img_id}.mat', dict(GTcls=dict(Segmentation=mask)))

    def with_data(root, *arguments):
        """The converter on data of its own, copied without its time counting."""
        if not (root / 'voc').exists():
            shutil.copytree(voc, root / 'voc')
        return call_tool(*arguments)

    names = ('--classes', 'ring', 'triangle')
    small = ('--num-train', 12, '--num-val', 3, '--image-size', 48, 56)
    for number, begin in enumerate(
        [
            lambda root: call_tool('dataset_converters/make_demo', root / 'demo', *small),
            lambda root: with_data(
                root, 'dataset_converters/voc_from_masks', root / 'voc', *names, '--components', '--out', 'Made'
            ),
            lambda root: with_data(root, 'dataset_converters/voc_aug', root / 'voc', sbd, '--subset'),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in Run(folder, begin).killed_and_again(count):
            pass


@pytest.fixture
def forked_steps(monkeypatch):
    """The pipeline's tools are forked too, to spare their start-up, and end with it as its own do."""

    def call(self, arguments, output, env):
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        step._end_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ.update(env or {})
        name = Path(arguments[0]).with_suffix('').relative_to(TOOLS)
        os._exit(exit_code(call_tool(name, *arguments[1:])))

    monkeypatch.setattr(step.Step, '_call', call)
    monkeypatch.chdir(TOOLS.parent)  # the configs name each other relative to it


@pytest.mark.long
def test_pipeline_with_rounds(forked_steps, tmp_path, monkeypatch):
    """Labels, weights and figures of two rounds, after twenty kills."""
    data = make_synthetic_voc(tmp_path / 'data', 4, 2, image_size=(48, 56))
    short = ['train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'param_scheduler.0.end=4']
    short += ['train_dataloader.batch_size=2', 'default_hooks.checkpoint.interval=1']
    short += [f'{loader}_dataloader.{key}' for loader in ('train', 'val', 'test') for key in LOADER]
    options = ('--workers', 0, '--device', 'cpu', '--rounds', 2, '--cfg-options', *short)
    options += ('--classifier-options', *short)
    for name in ('demo_bap', 'demo_nal'):
        cfg = Config.fromfile(f'configs/demo/{name}.py')
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            MODELS.build(cfg.model)  # imports what the forked processes need

    def begin(root):
        if not (root / 'data').exists():
            shutil.copytree(data, root / 'data')

        def run():
            os.environ['DEMO_ROOT'] = str(root)
            call_tool('pipeline', 'configs/demo/demo_nal.py', *options)()

        return run

    run = Run(tmp_path, begin, look=labels_and_figures)
    weights = {path.relative_to(tmp_path / 'whole'): read_checkpoint(path) for path in finals(tmp_path / 'whole')}
    assert len(weights) == 3
    for number, _ in enumerate(run.killed_and_again(20)):
        for path, whole in weights.items():
            found = read_checkpoint(tmp_path / f'killed{number}' / path)
            for name, value in whole['state_dict'].items():
                torch.testing.assert_close(found['state_dict'][name], value, rtol=0, atol=1e-6)


def labels_and_figures(root):
    """Without what has the time of a run in it, or the folder: checkpoints, logs, and the digests of checkpoints."""
    found = {}
    for name, content in tree(root).items():
        if name.endswith(('.png', '.part', '.jpg', '.xml')):
            found[name] = content
        elif re.match(r'labels_.*/(train_aug|val)\.json', name):
            found[name] = json.loads(content)['rows']
        elif (scores := re.fullmatch(r'(.*/test)/(\w+)/\2\.json', name)) and content.endswith(b'}'):
            found[scores[1]] = {key: value for key, value in json.loads(content).items() if 'time' not in key}
    return found


LOADER = ('num_workers=0', 'persistent_workers=False')


def finals(root):
    """The last checkpoints of all trainings."""
    return sorted(root.rglob('iter_4.pth'))

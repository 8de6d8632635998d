"""Parts which say that they need none of the mm* packages import none of them."""

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bana_mm.functional
import bana_mm.structures

REPO = Path(__file__).parents[1]
MM = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain')
# Modules that need mmdet although they are in a package that needs none of these.
NEED_MM = {'bana_mm.structures.reliable_masks'}
WITHOUT_MM = [
    'bana_mm',
    'bana_mm.functional',
    *(f'bana_mm.functional.{module.name}' for module in pkgutil.iter_modules(bana_mm.functional.__path__)),
    'bana_mm.structures',
    *(f'bana_mm.structures.{module.name}' for module in pkgutil.iter_modules(bana_mm.structures.__path__)),
    'bana_mm.pipeline.step',
    'bana_mm.utils.atomic',
    'bana_mm.utils.command_line',
    'bana_mm.utils.environment',
    'bana_mm.utils.json_stream',
    'bana_mm.utils.palette',
    'bana_mm.utils.problems',
    'bana_mm.utils.progress',
    'bana_mm.utils.record',
    'bana_mm.utils.resources',
    'bana_mm.utils.run_options',
    'bana_mm.utils.stopwatch',
    'bana_mm.utils.table',
    'bana_mm.utils.worker_pool',
    'bana_mm.utils.xml_file',
]
SCRIPT = """
import importlib, json, sys
from importlib.machinery import PathFinder

class Refusing:
    def create_module(self, spec):
        raise ImportError(f'{spec.name} must not be imported here')
    def exec_module(self, module):
        pass

class Blocker:
    # The packages are found, as the version check asks, but can't be imported.
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name in BLOCKED else None
        if spec is not None:
            spec.loader = Refusing()
        return spec

BLOCKED, modules = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocker())
problems = {}
for module in modules:
    try:
        importlib.import_module(module)
    except ImportError as error:
        problems[module] = repr(error)
print(json.dumps(problems))
"""


# What worker processes import; each would otherwise hold 150 MB more and start seconds later.
IN_WORKERS = ['bana_mm.labels', 'bana_mm.labels.crf', 'bana_mm.labels.instance_crf', 'bana_mm.utils.worker_pool']
# Functions of features, which do without a network.
WITHOUT_MODELS = ['bana_mm.labels.generator', 'bana_mm.labels.image_generator', 'bana_mm.labels.instance_generator']


def problems_without(blocked, modules):
    """What keeps modules from being imported where some packages can't be, by their names."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT, json.dumps([blocked, modules])],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(REPO), os.environ.get('PYTHONPATH', '')])},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope='module')
def problems():
    return problems_without(MM, [*WITHOUT_MM, 'bana_mm.registry', 'bana_mm.labeler'])


@pytest.mark.parametrize('module', [name for name in WITHOUT_MM if name not in NEED_MM])
def test_needs_no_mm(problems, module):
    assert module not in problems, problems[module]


@pytest.mark.parametrize('module', ['bana_mm.registry', 'bana_mm.labeler', *sorted(NEED_MM)])
def test_the_others_are_kept_from_it(problems, module):
    assert 'mm' in problems[module]


def test_worker_processes_and_generators_need_only_mmengine():
    assert problems_without([name for name in MM if name != 'mmengine'], IN_WORKERS + WITHOUT_MODELS) == {}

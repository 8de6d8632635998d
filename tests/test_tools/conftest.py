"""What the tests of the tools share."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a tool's main() with a command line, in this process to spare its start-up."""

    def call(tool: str, *args: object) -> None:
        path = Path(__file__).parents[2] / 'tools' / f'{tool}.py'
        spec = importlib.util.spec_from_file_location(f'tool_{tool}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # mmengine keeps these by a name that runs within one second share: logs and histories would mix
        for shared in (MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
            shared._instance_dict.clear()
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, args)])
        module.main()

    return call

"""Settings of every test: few threads, fixed seeds, no network, no windows."""

import os
import random
import socket
from collections.abc import Iterator
from types import SimpleNamespace

os.environ.setdefault('MPLBACKEND', 'Agg')

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

torch.set_num_threads(min(2, torch.get_num_threads()))
# How long a data loader that is collected as part of a cycle, as mmengine's are, waits in vain for its processes before
# it ends them. It waits five seconds.
torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Starts every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def fresh_scope() -> Iterator[None]:
    """Ends every test without mmengine's default scope, in which the next one would look modules up."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def configs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes configs without making them pretty: yapf takes ten of the thirteen seconds of a tiny training.

    The fork of mmengine imports it anew each time.
    """
    for place in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        monkeypatch.setattr(f'{place}.FormatCode', lambda text, **_: (text, False), raising=False)


@pytest.fixture(autouse=True)
def epochs_follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings counted in iterations go on at once where their data begins anew: mmengine waits two seconds there."""
    monkeypatch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes connections to other machines fail; tests bring their own data. Local ones serve torch.distributed."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ('127.0.0.1', '::1', 'localhost'):
            raise OSError(f'tests may not connect to {address}')
        connect(self, address)

    monkeypatch.setattr(socket.socket, 'connect', local_only)

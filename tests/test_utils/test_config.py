import pytest

from bana_mm.utils.config import parse_options, read_config


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'a.py').write_text("loss = dict(gamma=7.0, kind='x')\n")
    (tmp_path / 'sub' / 'b.py').write_text("_base_ = 'a.py'\nwork_dir = 'own'\n")
    return 'sub/a.py'


def test_work_dir(config):
    assert read_config(config).work_dir == 'work_dirs/a'
    assert read_config('sub/b.py').work_dir == 'own'
    assert read_config('sub/b.py', work_dir='other').work_dir == 'other'


def test_overrides(config):
    cfg = read_config(config, {'loss.gamma': 2, 'new.field': (1, 2)})
    assert cfg.loss == dict(gamma=2, kind='x') and cfg.new.field == (1, 2)
    assert read_config(config, None).loss.gamma == 7.0


def test_missing(config):
    with pytest.raises(FileNotFoundError, match="config 'gone.py' does not exist"):
        read_config('gone.py')


def test_options_from_a_command_line():
    assert parse_options([]) == {}
    assert parse_options(['a.b=1', 'c=2.5', 'd=text', 'e=[1,2]', 'f=None', 'g=']) == {
        'a.b': 1,
        'c': 2.5,
        'd': 'text',
        'e': [1, 2],
        'f': None,
        'g': '',
    }

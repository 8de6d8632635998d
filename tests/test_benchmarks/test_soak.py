"""A short run of what is run for an hour by hand: nothing is left behind, and the arithmetic of it."""

import sys

import pytest

from benchmarks import scale, soak

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')


def check(result, growth):
    for name in ('descriptors', 'processes', 'threads'):
        assert result['end'][name] == result['begin'][name], name
    assert result['end']['bytes'] - result['begin']['bytes'] < growth


def test_slope_of_the_rest():
    watch = soak.Watch('it', 'things', [10, 20, 60, 100])
    watch.seen = [dict(bytes=size, descriptors=3, processes=0, threads=1) for size in (0, 1000, 1400, 1800)]
    assert watch.result()['slope'] == pytest.approx(10_000) and watch.result()['count'] == 100
    assert '1800' not in soak.table([watch.result()]) and '+9.8 KiB' in soak.table([watch.result()])


def test_labels_leave_nothing_behind(tmp_path):
    result = soak.soak_labels(tmp_path, 'box_crf', 200, workers_every=0).result()
    assert result['count'] == 200
    check(result, 20 * 2**20)


@pytest.mark.long
@pytest.mark.parametrize('name', ['classifier', 'grabcut', 'box_crf'])
def test_many_labels_leave_nothing_behind(tmp_path, name):
    result = soak.soak_labels(tmp_path, name, 2_000).result()
    check(result, 30 * 2**20)
    assert result['slope'] < 4 * 2**20


def test_a_short_training(tmp_path):
    watch = soak.soak_training(tmp_path, 4, every=2)
    assert watch.counts == [2, 4]
    check(watch.result(), 60 * 2**20)


@pytest.mark.long
def test_a_training_leaves_nothing_behind(tmp_path):
    result = soak.soak_training(tmp_path, 500).result()
    assert result['count'] == 500
    check(result, 60 * 2**20)


def test_steps_of_a_small_file(tmp_path, monkeypatch):
    """In this process, in their order."""
    from mmengine.registry import DefaultScope

    assert scale.make_file(str(tmp_path), 6).endswith('MB of JSON')
    with DefaultScope.overwrite_default_scope('mmdet'):
        said = {name: step(str(tmp_path)) for name, step in scale.STEPS.items()}
    assert said['boxes'] == said['training'] == '6 images' and said['masks'].startswith('6 images')
    assert said['again'].startswith('0 images') and 'mean IoU' in said['evaluate'] and 'samples' in said['load']

import io
import json
import multiprocessing
import runpy
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bana_mm.datasets import VOCBoxDataset
from bana_mm.datasets.synthetic_coco import make_tiny_coco
from bana_mm.labels import BoxSource, LabelItem, label_map
from bana_mm.structures import LabelStore, read_label_png

TOOL = Path(__file__).parents[2] / 'tools/generate_labels.py'


def run_tool(monkeypatch, work, *arguments, given=('bap.py', 'bap.pth')):
    where = () if '--out' in arguments else ('--out-dir', work / 'labels')
    given = [work / name for name in given]
    monkeypatch.setattr(
        sys, 'argv', [str(text) for text in ('generate_labels.py', *given, *where, '--device', 'cpu', *arguments)]
    )
    runpy.run_path(str(TOOL), run_name='__main__')


def test_labels_of_two_splits(work, monkeypatch, capsys):
    run_tool(monkeypatch, work, '--split', 'val', '--workers', '0')
    run_tool(monkeypatch, work, '--workers', '1')
    output = capsys.readouterr().out
    assert '2/2' in output and '6/6' in output
    assert '6 images in' in output and 'in 1 worker processes' in output
    ids = [
        line
        for split in ('val', 'train_aug')
        for line in (work / f'voc/ImageSets/Segmentation/{split}.txt').read_text().split()
    ]
    for name in ('Y_crf', 'Y_ret'):
        assert sorted(path.name for path in (work / 'labels' / name).iterdir()) == sorted(f'{i}.png' for i in ids)
        for img_id in ids:
            with Image.open(work / f'voc/JPEGImages/{img_id}.jpg') as image:
                label = read_label_png(work / f'labels/{name}/{img_id}.png', image.size[::-1], num_classes=2)
            assert len(np.unique(label)) > 1
    meta = json.loads((work / 'labels/meta.json').read_text())
    assert meta['config'] == 'bap.py' and meta['checkpoint']['name'] == 'bap.pth'
    assert meta['classes'] == ['ring', 'triangle']
    assert meta['recipe']['crf']['iterations'] == 2 and meta['recipe']['threshold'] == 0.99


def test_other_settings_need_overwrite(work, monkeypatch, capsys):
    common = ('--split', 'val', '--workers', '0')
    other = ('--cfg-options', 'model.label_recipe.background=cam')
    run_tool(monkeypatch, work, *common)
    with pytest.raises(ValueError, match=r"recipe\.background = 'attention', this run has 'cam'; .*--overwrite"):
        run_tool(monkeypatch, work, *common, *other)
    run_tool(monkeypatch, work, *common, *other, '--overwrite')
    assert capsys.readouterr().out.count('2 images in') == 2
    assert json.loads((work / 'labels/meta.json').read_text())['recipe']['background'] == 'cam'


def test_bad_arguments_leave_no_store(work, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'ImageSets/Segmentation/trian\.txt'):
        run_tool(monkeypatch, work, '--split', 'trian')
    with pytest.raises(
        ValueError,
        match=r'bap\.pth: checkpoint of another model than .*bap\.py: '
        r'bap_head\.classifier\.weight has shape \(3, 8\) instead of \(6, 8\)',
    ):
        run_tool(monkeypatch, work, '--cfg-options', 'model.bap_head.num_classes=5')
    with pytest.raises(ValueError, match=r"unknown field 'treshold' in label_recipe"):
        run_tool(monkeypatch, work, '--cfg-options', 'model.label_recipe.treshold=0.5')
    assert not (work / 'labels').exists()


def maps_in(folder):
    return {path.relative_to(folder): read_label_png(path) for path in sorted(folder.glob('*/*.png'))}


def test_labels_without_the_attention(work, monkeypatch):
    run_tool(monkeypatch, work, '--split', 'val', '--workers', '0', '--source', 'bana_crf_cam', '--batch-size', '2')
    assert json.loads((work / 'labels/meta.json').read_text())['recipe']['background'] == 'cam'
    assert len(maps_in(work / 'labels')) == 4
    with pytest.raises(ValueError, match=r"bap\.py: label source 'gap' needs a classifier"):
        run_tool(monkeypatch, work, '--source', 'gap')
    with pytest.raises(ValueError, match="a classifier makes bana_crf, .* not 'grabcut'"):
        run_tool(monkeypatch, work, '--source', 'grabcut')


@pytest.mark.parametrize('given', [('bap.py',), ()])
def test_labels_of_a_source(work, monkeypatch, capsys, given):
    if not given:
        monkeypatch.setattr('bana_mm.datasets.VOCBoxDataset.METAINFO', dict(classes=('ring', 'triangle')))
    rest = ('--split', 'val', '--workers', '0', '--voc-root', str(work / 'voc'))
    run_tool(monkeypatch, work, *rest, '--source', 'box+grabcut', given=given)
    maps = maps_in(work / 'labels')
    assert sorted(map(str, maps)) == [f'{name}/val_0000{i}.png' for name in ('box', 'grabcut') for i in (0, 1)]
    dataset = VOCBoxDataset(
        'ImageSets/Segmentation/val.txt', data_root=str(work / 'voc'), metainfo=dict(classes=('ring', 'triangle'))
    )
    for item in (dataset.get_data_info(index) for index in range(2)):
        expected = label_map(BoxSource(), LabelItem.from_info(item))
        assert np.array_equal(maps[Path(f'box/{item["img_id"]}.png')], expected)
    meta = json.loads((work / 'labels/meta.json').read_text())
    assert meta['maps'] == ['box', 'grabcut'] and meta['classes'] == ['ring', 'triangle']
    assert meta['source']['sources'][1] == dict(type='grabcut', iterations=5, min_pixels=16, seed=0)
    assert LabelStore(work / 'labels').missing(['val_00000', 'val_00001']) == []
    run_tool(monkeypatch, work, *rest, '--source', 'box+grabcut', given=given)
    assert '0 images in' in capsys.readouterr().out


def test_parameters_of_a_source_count(work, monkeypatch):
    rest = ('--split', 'val', '--workers', '0', '--source', 'grabcut', '--source-options')
    run_tool(monkeypatch, work, *rest, 'iterations=1', given=('bap.py',))
    with pytest.raises(ValueError, match=r'made with source\.iterations = 1, this run has 2'):
        run_tool(monkeypatch, work, *rest, 'iterations=2', given=('bap.py',))
    with pytest.raises(ValueError, match=r"recipe = 'nothing'|source = "):
        run_tool(monkeypatch, work, '--split', 'val')
    run_tool(monkeypatch, work, '--split', 'val', '--workers', '0', '--overwrite')
    assert {path.parts[0] for path in maps_in(work / 'labels')} == {'Y_crf', 'Y_ret'}


def test_large_images(work, monkeypatch, capsys):
    """Of the images, of about 3000 pixels, smaller copies are worked on only where that is asked for."""
    rest = ('--split', 'val', '--workers', '0', '--source', 'grabcut', '--working-pixels')
    run_tool(monkeypatch, work, *rest, 1500, given=('bap.py',))
    sizes = [Image.open(work / f'voc/JPEGImages/{path.stem}.jpg').size for path in maps_in(work / 'labels')]
    assert [label.shape[::-1] for label in maps_in(work / 'labels').values()] == sizes
    assert json.loads((work / 'labels/meta.json').read_text())['working_pixels'] == 1500
    with pytest.raises(ValueError, match="working_pixels = 1500, this run has 'nothing'"):
        run_tool(monkeypatch, work, *rest, 0, given=('bap.py',))
    run_tool(monkeypatch, work, *rest, 0, '--overwrite', given=('bap.py',))
    assert 'working_pixels' not in json.loads((work / 'labels/meta.json').read_text())
    with pytest.raises(ValueError, match='working_pixels must be None or an int of at least 1, got -1'):
        run_tool(monkeypatch, work, *rest, -1, given=('bap.py',))


def test_nothing_to_do(work, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, work, given=('bap.py',))
    assert 'give CONFIG and CHECKPOINT of a classifier, or --source' in capsys.readouterr().err


def run_rank(rank, port, work, arguments, given):
    """The tool as one of two processes of torchrun."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, open(work / f'rank{rank}.txt', 'w') as sys.stdout:
        for name, value in dict(
            RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
        ).items():
            patch.setenv(name, str(value))
        run_tool(patch, work, *arguments, '--launcher', 'pytorch', '--workers', '0', given=given)


def two_ranks(work, *arguments, given=('bap.py', 'bap.pth')):
    """Both processes' output, and whether they ended well."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    ranks = [context.Process(target=run_rank, args=(rank, port, work, arguments, given)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    return [(work / f'rank{rank}.txt').read_text() for rank in range(2)], [process.exitcode for process in ranks]


def test_ranks_share_what_is_to_do(work, monkeypatch, capsys):
    run_tool(monkeypatch, work, '--workers', '0')
    expected = maps_in(work / 'labels')
    assert len(expected) == 12
    for img_id in ('train_00000', 'train_00001', 'train_00004'):
        (work / f'labels/Y_ret/{img_id}.png').unlink()
    (first, second), codes = two_ranks(work)  # goes on with two ranks where one has stopped
    assert codes == [0, 0] and '3 images in' in first and 'on 2 ranks (3 were there)' in first
    assert 'labels, 1 of 2 ranks' in first and second.strip().splitlines()[-1:] == []
    assert same(maps_in(work / 'labels'), expected)
    (first, second), codes = two_ranks(work, '--overwrite')
    assert codes == [0, 0] and '6 images in' in first and same(maps_in(work / 'labels'), expected)


def test_one_rank_fails_and_the_other_ends_its_share(work):
    path, whole = work / 'voc/JPEGImages/train_00003.jpg', io.BytesIO()
    Image.open(path).save(whole, 'PNG')
    path.write_bytes(whole.getvalue()[:45])  # the head of an image, without its pixels
    (first, second), codes = two_ranks(work)
    assert codes == [1, 1]
    assert sorted({path.stem for path in maps_in(work / 'labels')}) == [f'train_0000{i}' for i in (0, 1, 2, 4)]


@pytest.mark.parametrize('source', ['classifier', 'grabcut'])
def test_ranks_make_one_file_of_masks(work, monkeypatch, source):
    """The same bytes as of one process, with the images of two ranks in another order among the parts."""
    root = make_tiny_coco(work / 'coco', num_train=5)
    common = ['--coco', root / 'annotations/instances_train2017.json']
    if source == 'classifier':
        common += ['--cfg-options', 'instance_recipe.unary.crf.iterations=2', 'instance_recipe.side=32']
    else:
        common += ['--source', source, '--source-options', 'iterations=1']
    given = ('bap.py', 'bap.pth') if source == 'classifier' else ()
    run_tool(monkeypatch, work, *common, '--out', work / 'one.json', '--workers', '0', given=given)
    (first, second), codes = two_ranks(work, *common, '--out', work / 'two.json', given=given)
    assert codes == [0, 0] and '5 images in' in first and 'on 2 ranks' in first and second == ''
    assert (work / 'one.json').read_bytes() == (work / 'two.json').read_bytes()
    assert not (work / 'two.json.parts').exists()


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bana_mm.evaluation import (
    AgreedMaps,
    ConfusionMatrix,
    SourceLabels,
    StoredMap,
    class_indices,
    evaluate_labels,
    label_table,
    summarise,
    table_1_rows,
)
from bana_mm.labels import BoxSource, MergedSource
from bana_mm.structures import LabelStore, write_label_png

TOOL = Path(__file__).parents[2] / 'tools/evaluate_labels.py'
CLASSES = ['cat', 'cow']
GROUND_TRUTH = {
    'a': [[0, 0, 1, 1, 255]],
    'b': [[2, 2, 2, 0, 0]],
}
Y_CRF = {
    'a': [[0, 1, 1, 1, 0]],
    'b': [[2, 2, 2, 2, 0]],
}
Y_RET = {
    'a': [[0, 0, 1, 0, 0]],
    'b': [[2, 2, 0, 2, 0]],
}


@pytest.fixture
def voc(tmp_path):
    """Two images of 1 x 5 pixels in VOC's layout, their masks, and a label store."""
    for folder in ('SegmentationClassAug', 'JPEGImages', 'Annotations', 'labels'):
        (tmp_path / folder).mkdir()
    store = LabelStore(tmp_path / 'labels')
    store.begin(dict(classes=CLASSES))
    for img_id, name, box in (('a', 'cat', (2, 1, 4, 1)), ('b', 'cow', (1, 1, 3, 1))):  # 1-based, inclusive
        write_label_png(tmp_path / f'SegmentationClassAug/{img_id}.png', np.array(GROUND_TRUTH[img_id], np.uint8))
        store.write(img_id, Y_crf=np.array(Y_CRF[img_id], np.uint8), Y_ret=np.array(Y_RET[img_id], np.uint8))
        cv2.imwrite(str(tmp_path / f'JPEGImages/{img_id}.jpg'), np.zeros((1, 5, 3), np.uint8))
        corners = ''.join(f'<{key}>{value}</{key}>' for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box))
        (tmp_path / f'Annotations/{img_id}.xml').write_text(
            '<annotation><size><width>5</width><height>1</height></size>'
            f'<object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>'
        )
    (tmp_path / 'split.txt').write_text('a\nb\n')
    return tmp_path


def rows_of(root):
    store = LabelStore(root / 'labels')
    crf, ret = StoredMap(store, 'Y_crf'), StoredMap(store, 'Y_ret')
    items = {
        'a': dict(
            img_path=str(root / 'JPEGImages/a.jpg'), instances=[dict(bbox=[1, 0, 4, 1], bbox_label=0, ignore_flag=0)]
        ),
        'b': dict(
            img_path=str(root / 'JPEGImages/b.jpg'), instances=[dict(bbox=[0, 0, 3, 1], bbox_label=1, ignore_flag=0)]
        ),
    }
    merged = MergedSource(['box', f'files:{root / "labels/Y_ret"}'])
    return dict(
        Y_crf=crf,
        Y_ret=ret,
        agree=AgreedMaps(crf, ret),
        box=SourceLabels(BoxSource(), items),
        merged=SourceLabels(merged, items),
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_values_by_hand(voc, workers):
    result = evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2, workers)
    assert result['Y_crf'].iou().tolist() == [2 / 4, 2 / 3, 3 / 4]
    assert result['Y_ret'].iou().tolist() == [3 / 6, 1 / 2, 2 / 4]
    # agreed: a = 0 . 1 . (255), b = 2 2 . 2 0
    assert result['agree'].iou().tolist() == [2 / 3, 1.0, 2 / 3]
    assert result['agree'].ignored_share() == 3 / 9
    assert result['box'].iou().tolist() == [3 / 4, 2 / 3, 1.0]
    # agreed: a = 0 . 1 . (255), b = 2 2 . . 0
    assert result['merged'].iou().tolist() == [1.0, 1.0, 1.0]


def test_pixels_without_a_label_are_wrong_in_a_single_map_only(voc):
    """Y_crf of b is 255 where it was right twice and wrong once."""
    store = LabelStore(voc / 'labels')
    write_label_png(store.path('Y_crf', 'b'), np.array([[255, 255, 2, 255, 0]], np.uint8))
    result = evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)
    assert result['Y_crf'].iou().tolist() == [2 / 4, 2 / 3, 1 / 3]
    # agreed: a = 0 . 1 . (255), b = . . . . 0
    assert result['agree'].iou()[:2].tolist() == [1.0, 1.0] and np.isnan(result['agree'].iou()[2])
    assert result['agree'].mean_iou() == 1.0 and result['agree'].ignored_share() == 6 / 9


def test_missing_files_are_counted_and_named(voc):
    (voc / 'labels/Y_ret/b.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'Y_ret: 1 of 2 label maps are missing: b\.png$'):
        evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)
    ids = ['a', *'cdefg']
    with pytest.raises(FileNotFoundError, match=r'ClassAug: 5 of 6 masks are missing: c\.png, d\.png, e\.png, \.\.\.'):
        evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ids, 2)


def test_bad_label_names_the_file(voc):
    write_label_png(voc / 'labels/Y_crf/b.png', np.array([[0, 0, 9, 0, 0]], np.uint8))
    with pytest.raises(RuntimeError, match=r'Y_crf/b\.png: label map holds class 9'):
        evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)
    write_label_png(voc / 'labels/Y_crf/b.png', np.zeros((5, 1), np.uint8))
    with pytest.raises(RuntimeError, match=r'Y_crf/b\.png: label map is 5 x 1'):
        evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)


def test_summary_and_table():
    confusion = ConfusionMatrix(3, leave_out_ignored=True)
    confusion.update(np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 0, 1, 255]], np.uint8))
    names = ['cat', 'cow', 'dog']
    summary = summarise(confusion, names, class_indices(['cat', 'dog'], names))
    assert summary == dict(mIoU=100.0, mIoU_chosen=100.0, ignored=25.0, IoU=dict(background=100.0, cat=100.0, cow=None))
    lines = [line.rsplit(maxsplit=1) for line in label_table(dict(Y_crf=summary)).splitlines()[2:]]
    assert [(title.strip(), figure) for title, figure in lines] == [
        ('mIoU, all present', '100.0'),
        ('mIoU, chosen', '100.0'),
        ('ignored pixels, %', '25.0'),
        ('background', '100.0'),
        ('cat', '100.0'),
        ('cow', '-'),
    ]


def test_chosen_classes():
    assert class_indices(['cow', 'background'], CLASSES) == [0, 2]
    with pytest.raises(ValueError, match="unknown class 'horse'; known are background, cat, cow"):
        class_indices(['horse'], CLASSES)


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['evaluate_labels.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(voc, monkeypatch, capsys):
    run_tool(
        monkeypatch,
        voc / 'labels',
        '--gt',
        voc / 'SegmentationClassAug',
        '--split',
        voc / 'split.txt',
        '--merge',
        'agree',
        '--classes',
        'cow',
        '--sources',
        'box',
        'box_crf',
        f'box+files:{voc / "labels/Y_crf"}',
        '--voc-root',
        voc,
        '--contours',
        '0',
        '--json',
        voc / 'out.json',
    )
    content = json.loads((voc / 'out.json').read_text())
    merged = f'box+files:{voc / "labels/Y_crf"}'
    assert list(content['rows']) == ['box', 'box_crf', merged, 'Y_crf', 'Y_ret', 'agree']
    assert content['images'] == 2 and content['chosen'] == ['cow']
    assert content['rows']['box']['mIoU'] == pytest.approx(100 * (3 / 4 + 2 / 3 + 1) / 3, abs=1e-3)
    assert content['rows'][merged]['ignored'] == pytest.approx(100 / 9, abs=1e-3)  # the fourth pixel of b
    assert content['rows']['Y_crf']['mIoU_chosen'] == pytest.approx(62.5, abs=1e-3)
    assert content['rows']['agree']['ignored'] == pytest.approx(100 / 3, abs=1e-3)
    assert content['rows']['Y_crf']['contour_F'] == 25
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['box', 'box_crf', merged, 'Y_crf', 'Y_ret', 'agree'] in lines
    (cow,) = (line for line in lines if line[0] == 'cow')
    assert (cow[1], cow[3:]) == ('100.0', ['100.0', '75.0', '50.0', '66.7'])


@pytest.mark.parametrize('difficult, cow', [('keep', 100), ('ignore', 0)])
def test_difficult_objects(voc, monkeypatch, difficult, cow):
    path = voc / 'Annotations/b.xml'
    path.write_text(path.read_text().replace('<bndbox>', '<difficult>1</difficult><bndbox>'))
    where = ['--voc-root', voc, '--split', voc / 'split.txt', '--json', voc / 'out.json']
    arguments = [voc / 'labels', '--sources', 'box', *where]
    run_tool(monkeypatch, *arguments, '--difficult', difficult)
    box = json.loads((voc / 'out.json').read_text())['rows']['box']
    assert box['IoU']['cow'] == cow and (box['ignored'] > 0) == (difficult == 'ignore')
    if difficult == 'keep':  # the default
        run_tool(monkeypatch, *arguments)
        assert json.loads((voc / 'out.json').read_text())['rows']['box'] == box


def test_tool_tells_several_folders_apart(voc, monkeypatch, capsys):
    for name in ('bap', 'gap'):
        shutil.copytree(voc / 'labels', voc / name / 'labels')
    run_tool(
        monkeypatch,
        voc / 'bap/labels',
        voc / 'gap/labels',
        '--gt',
        voc / 'SegmentationClassAug',
        '--split',
        voc / 'split.txt',
    )
    header = ['bap/Y_crf', 'bap/Y_ret', 'gap/Y_crf', 'gap/Y_ret']
    assert header in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_several_splits(voc, monkeypatch, capsys):
    (voc / 'ImageSets/Segmentation').mkdir(parents=True)
    (voc / 'ImageSets/Segmentation/train.txt').write_text('a\n')
    (voc / 'val.txt').write_text('b\n')
    run_tool(
        monkeypatch,
        voc / 'labels',
        '--split',
        'train',
        voc / 'val.txt',
        '--voc-root',
        voc,
        '--sources',
        'box',
        '--classes',
        'cow',
        '--json',
        voc / 'out.json',
    )
    first, second = json.loads((voc / 'out.json').read_text())['splits']
    assert first['split'].endswith('Segmentation/train.txt') and first['images'] == second['images'] == 1
    # a: ground truth 0 0 1 1 ., Y_crf 0 1 1 1 ., Y_ret 0 0 1 0 ., box 0 1 1 1 .
    # b: ground truth 2 2 2 0 0, Y_crf 2 2 2 2 0
    assert first['rows']['Y_crf']['IoU'] == pytest.approx(dict(background=50, cat=200 / 3), abs=1e-3)
    assert second['rows']['Y_crf']['IoU'] == pytest.approx(dict(background=50, cow=75), abs=1e-3)
    assert first['rows']['box']['mIoU'] == pytest.approx(175 / 3, abs=1e-3)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    header = lines.index('train: all train: chosen train: ignored val: all val: chosen val: ignored'.split())
    assert lines[header + 2 :] == [
        ['box', '58.3', '50.0', '0.0', '100.0', '100.0', '0.0'],
        ['Y_crf', '58.3', '50.0', '0.0', '62.5', '62.5', '0.0'],
        ['Y_ret', '58.3', '66.7', '0.0', '41.7', '41.7', '0.0'],
    ]


def test_table_1(voc, monkeypatch, capsys):
    cut = LabelStore(voc / 'cut', ['grabcut'])
    cut.begin(dict(classes=CLASSES))
    for img_id, ground_truth in GROUND_TRUTH.items():
        cut.write(img_id, grabcut=np.array(ground_truth, np.uint8))
    run_tool(
        monkeypatch,
        voc / 'labels',
        '--table1',
        f'bana={voc / "labels"}',
        f'grabcut={voc / "cut"}',
        '--split',
        voc / 'split.txt',
        '--voc-root',
        voc,
        '--json',
        voc / 'out.json',
    )
    output = capsys.readouterr().out.splitlines()
    rows = json.loads((voc / 'out.json').read_text())['rows']
    assert list(rows) == [
        'whole box',
        'GrabCut',
        'box_crf',
        'Y_crf',
        'Y_ret',
        'Y_crf & Y_ret',
        'stored Y_crf',
        'stored Y_ret',
    ]
    expected = evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)
    for title, name in (('whole box', 'box'), ('Y_crf', 'Y_crf'), ('Y_ret', 'Y_ret'), ('Y_crf & Y_ret', 'agree')):
        assert rows[title]['mIoU'] == pytest.approx(100 * expected[name].mean_iou(), abs=1e-3)
    assert rows['GrabCut']['mIoU'] == 100
    assert output[-1] == 'nothing given for GAP, Y_crf without u_0'


def test_table_1_with_networks(tmp_path):
    for name in ('bap.py', 'bap.pth', 'gap.py', 'gap.pth'):
        (tmp_path / name).touch()
    bap, gap = (f'{tmp_path / name}.py:{tmp_path / name}.pth' for name in ('bap', 'gap'))
    rows, left_out = table_1_rows([f'bana={bap}', f'gap={gap}'], {})
    assert not left_out
    assert [row.source.name for row in rows.values()] == [
        'box',
        'grabcut',
        'box_crf',
        'gap',
        'bana_crf_cam',
        'bana_crf',
        'bana_ret',
        'merged',
    ]
    assert rows['GAP'].source.checkpoint.endswith('gap.pth') and rows['Y_crf'].source.config.endswith('bap.py')
    assert [part.name for part in rows['Y_crf & Y_ret'].source.sources] == ['bana_crf', 'bana_ret']
    assert rows['Y_ret'].source.recipe == dict(recipe='paper')
    assert rows['GAP'].source.recipe == dict(recipe='paper', background='cam')


def test_table_1_errors(voc):
    for text in ('bap=x', 'bana', 'bana='):
        with pytest.raises(ValueError, match='one of box, grabcut, box_crf, gap, cam, bana'):
            table_1_rows([text], {})
    with pytest.raises(FileNotFoundError, match='none: holds none of Y_crf, Y_ret'):
        table_1_rows([f'gap={voc / "none"}'], {})
    shutil.rmtree(voc / 'labels/Y_ret')
    with pytest.raises(FileNotFoundError, match='labels: holds no Y_ret; it is not the store of a classifier'):
        table_1_rows([f'bana={voc / "labels"}'], {})


def test_tool_errors(voc, monkeypatch, capsys):
    common = ('--gt', voc / 'SegmentationClassAug', '--split', voc / 'split.txt')
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *common)
    assert 'nothing to evaluate' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, voc / 'labels', '--split', voc / 'split.txt')
    assert '--gt is missing' in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match='vaal: list of images is missing'):
        run_tool(monkeypatch, voc / 'labels', '--gt', voc, '--split', 'vaal')
    with pytest.raises(FileNotFoundError, match='JPEGImages: holds none of Y_crf, Y_ret'):
        run_tool(monkeypatch, voc / 'JPEGImages', *common)
    with pytest.raises(FileNotFoundError, match=r'files:.*JPEGImages: 2 of 2 label maps are missing: a\.png, b\.png'):
        run_tool(monkeypatch, '--sources', f'files:{voc / "JPEGImages"}', '--voc-root', voc, *common)
    with pytest.raises(ValueError, match="unknown class 'horse'"):
        run_tool(monkeypatch, voc / 'labels', '--classes', 'horse', *common)
    (voc / 'split.txt').write_text('\n')
    with pytest.raises(ValueError, match='split.txt: lists no image'):
        run_tool(monkeypatch, voc / 'labels', *common)


def test_masks_of_0_and_255_compare_nothing(voc):
    for img_id, ground_truth in GROUND_TRUTH.items():
        mask = np.where(np.array(ground_truth) > 0, 255, 0).astype(np.uint8)
        write_label_png(voc / f'SegmentationClassAug/{img_id}.png', mask)
    with pytest.raises(ValueError, match='SegmentationClassAug: no pixel of any class was compared'):
        evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2)


@pytest.mark.parametrize('workers', [0, 2])
def test_contours_by_hand(voc, workers):
    """In a row of pixels the contour lies left of each edge: between pixels 1 and 2 it is pixel 1."""
    result = evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2, workers, contours=0.0)
    # cat, ground truth . . 1 1 (255): pixels 1 and 3; Y_crf . 1 1 1 .: pixels 0 and 3
    # cow, ground truth 2 2 2 . .: pixel 2; Y_crf 2 2 2 2 .: pixel 3
    assert result['Y_crf'].contours.f_score().tolist() == [0.5, 0]
    assert result['Y_crf'].iou().tolist() == [2 / 4, 2 / 3, 3 / 4]
    near = evaluate_labels(rows_of(voc), voc / 'SegmentationClassAug', ['a', 'b'], 2, workers, contours=1.0)
    assert near['Y_crf'].contours.f_score().tolist() == [1, 1]
    summary = summarise(result['Y_crf'], CLASSES, [0, 1])
    assert (summary['contour_F'], summary['contour_F_chosen']) == (25, 50)
    assert summary['contours'] == dict(cat=50, cow=0)
    table = label_table(dict(Y_crf=summary)).splitlines()
    assert [line.split() for line in table if 'ontour F' in line] == [
        ['contour', 'F,', 'all', 'present', '25.0'],
        ['contour', 'F,', 'chosen', '50.0'],
        ['cat,', 'contour', 'F', '50.0'],
        ['cow,', 'contour', 'F', '0.0'],
    ]

"""The augmented training set from a synthetic VOC and SBD."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from bana_mm.datasets import voc_augmentation
from bana_mm.datasets.voc_augmentation import augmented_split, build_voc_aug, find_sbd, read_sbd_mask
from bana_mm.structures import read_label_png, write_label_png
from bana_mm.utils.palette import voc_palette

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/voc_aug.py'
SHAPE = (4, 6)
# VOC and SBD share an image of VOC's train ('both') and one of its val ('held'); SBD alone has 's1' and 's2'.
VOC = dict(train=['both', 'v1'], val=['held', 'w1'])
SBD = dict(train=['s1', 'both'], val=['s2', 'held'])


def sbd_mask(value):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 2:5] = value
    return mask


def save_sbd(path, mask):
    boundaries = np.empty((20, 1), object)
    boundaries[:, 0] = [csc_matrix(SHAPE)] * 20  # cells of sparse matrices, as in SBD
    struct = dict(Boundaries=boundaries, Segmentation=mask, CategoriesPresent=np.array([[3.0]]))
    savemat(path, dict(GTcls=struct), do_compression=True)


def voc_mask(value):
    mask = sbd_mask(value)
    mask[0] = 255
    return mask


@pytest.fixture
def roots(tmp_path):
    """VOC with classes 1.. and borders, SBD with classes 11.. and none."""
    voc, sbd = tmp_path / 'VOC2012', tmp_path / 'SBD'
    for folder in (
        voc / 'JPEGImages',
        voc / 'SegmentationClass',
        voc / 'ImageSets/Segmentation',
        sbd / 'benchmark_RELEASE/dataset/cls',
    ):
        folder.mkdir(parents=True)
    for split in ('train', 'val'):
        (voc / f'ImageSets/Segmentation/{split}.txt').write_text('\n'.join(VOC[split]))
        (sbd / f'benchmark_RELEASE/dataset/{split}.txt').write_text('\n'.join(SBD[split]) + '\n')
    for number, img_id in enumerate(['both', 'v1', 'held', 'w1'], 1):
        write_label_png(voc / f'SegmentationClass/{img_id}.png', voc_mask(number))
    for number, img_id in enumerate(['both', 'held', 's1', 's2'], 11):
        save_sbd(sbd / f'benchmark_RELEASE/dataset/cls/{img_id}.mat', sbd_mask(number))
    for img_id in ('both', 'v1', 'held', 'w1', 's1', 's2'):
        Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(voc / f'JPEGImages/{img_id}.jpg')
    return voc, sbd


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['voc_aug.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_masks_and_list(roots, monkeypatch, capsys):
    voc, sbd = roots
    run_tool(monkeypatch, voc, sbd, '--subset')
    assert '4 images in train_aug.txt, 6 masks in' in capsys.readouterr().out
    # SBD and VOC's train without VOC's val
    assert (voc / 'ImageSets/Segmentation/train_aug.txt').read_text() == 'both\ns1\ns2\nv1\n'
    folder = voc / 'SegmentationClassAug'
    expected = dict(
        both=voc_mask(1), v1=voc_mask(2), held=voc_mask(3), w1=voc_mask(4), s1=sbd_mask(13), s2=sbd_mask(14)
    )
    assert sorted(path.stem for path in folder.glob('*.png')) == sorted(expected)
    for img_id, mask in expected.items():
        np.testing.assert_array_equal(read_label_png(folder / f'{img_id}.png'), mask)
    with Image.open(folder / 's1.png') as image:
        assert image.mode == 'P' and image.getpalette()[39:42] == voc_palette(14)[13]


def test_sbd_is_found_without_its_outer_folders(roots):
    folder = roots[1] / 'benchmark_RELEASE/dataset'
    assert [find_sbd(root) for root in (roots[1], folder.parent, folder)] == [folder] * 3
    with pytest.raises(FileNotFoundError, match='VOC2012: holds no SBD'):
        find_sbd(roots[0])


def test_a_killed_run_goes_on(roots, monkeypatch):
    voc, sbd = roots
    read, seen = read_sbd_mask, []

    def killed(path):
        if path.stem == 's2':
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(voc_augmentation, 'read_sbd_mask', killed)
    with pytest.raises(KeyboardInterrupt):
        build_voc_aug(voc, sbd, check_counts=False)
    folder = voc / 'SegmentationClassAug'
    assert sorted(path.stem for path in folder.glob('*.png')) == ['both', 'held', 's1']
    assert not (voc / 'ImageSets/Segmentation/train_aug.txt').exists()
    (folder / '.s2.png.1.part').write_text('half')

    monkeypatch.setattr(voc_augmentation, 'read_sbd_mask', lambda path: seen.append(path.stem) or read(path))
    assert build_voc_aug(voc, sbd, check_counts=False) == (4, 6)
    assert seen == ['s2'] and len(list(folder.glob('*.png'))) == 6 and not list(folder.glob('.*'))
    assert build_voc_aug(voc, sbd, check_counts=False) == (4, 6) and seen == ['s2']


def test_what_came_from_elsewhere_is_kept(roots):
    voc, sbd = roots
    (voc / 'SegmentationClassAug').mkdir()
    write_label_png(voc / 'SegmentationClassAug/s1.png', sbd_mask(1))
    with pytest.raises(FileExistsError, match='SegmentationClassAug: holds 1 masks from elsewhere'):
        build_voc_aug(voc, sbd, check_counts=False)
    list_path = voc / 'ImageSets/Segmentation/train_aug.txt'
    list_path.write_text('both\nmine\n')
    with pytest.raises(FileExistsError, match='train_aug.txt: lists other images'):
        build_voc_aug(voc, sbd, check_counts=False)
    build_voc_aug(voc, sbd, check_counts=False, overwrite=True)
    assert read_label_png(voc / 'SegmentationClassAug/s1.png').max() == 13
    list_path.write_text('v1\ns2\ns1\nboth\n')  # another order is no other list
    build_voc_aug(voc, sbd, check_counts=False)
    assert list_path.read_text() == 'v1\ns2\ns1\nboth\n'


def test_counts_are_checked(roots, monkeypatch):
    with pytest.raises(ValueError, match='Segmentation/train.txt: lists 2 images, but VOC train has 1464; .*--subset'):
        augmented_split(*roots)
    counts = {'VOC train': 2, 'VOC val': 2, 'SBD train': 2, 'SBD val': 2, 'train_aug': 4}
    monkeypatch.setattr(voc_augmentation, 'COUNTS', counts)
    assert len(augmented_split(*roots)[0]) == 4
    counts['train_aug'] = 5
    with pytest.raises(ValueError, match='train_aug has 4 images instead of 5'):
        augmented_split(*roots)


def test_missing_files_are_named(roots):
    voc, sbd = roots
    for path, what in (
        (sbd / 'benchmark_RELEASE/dataset/cls/s2.mat', 'mask'),
        (voc / 'JPEGImages/v1.jpg', 'image'),
        (voc / 'SegmentationClass/w1.png', 'mask'),
        (voc / 'ImageSets/Segmentation/val.txt', 'list'),
    ):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(FileNotFoundError, match=f'{path.name}.*: {what}.* is missing'):
            build_voc_aug(voc, sbd, check_counts=False)
        path.write_bytes(content)
    assert not (voc / 'SegmentationClassAug').exists()


def test_masks_of_matlab(tmp_path):
    path = tmp_path / 'a.mat'
    for mask in (sbd_mask(20), sbd_mask(5).astype(float), np.ones((3, 1), np.uint8)):  # MATLAB's numbers are doubles
        save_sbd(path, mask)
        found = read_sbd_mask(path)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, mask)
    for mask in (sbd_mask(21), sbd_mask(2) + 0.5, np.zeros((2, 2, 2)), np.zeros((0, 0))):
        save_sbd(path, mask)
        with pytest.raises(ValueError, match='a.mat: GTcls.Segmentation must be a matrix of classes 0..20'):
            read_sbd_mask(path)
    for content in (dict(GTinst=dict(Segmentation=sbd_mask(1))), dict(GTcls=sbd_mask(1)), dict(GTcls=dict(a=1))):
        savemat(path, content)
        with pytest.raises(ValueError, match='a.mat: has no field GTcls.Segmentation'):
            read_sbd_mask(path)
    save_sbd(path, sbd_mask(1))
    for content in (b'no matlab file' * 20, path.read_bytes()[:200], b''):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='a.mat: not a MATLAB file that can be read'):
            read_sbd_mask(path)


def test_a_mask_of_another_size(roots):
    voc, sbd = roots
    save_sbd(sbd / 'benchmark_RELEASE/dataset/cls/s1.mat', sbd_mask(1).T)
    with pytest.raises(ValueError, match=r's1.mat: mask is 6 x 4 \(height x width\), but its image is 4 x 6'):
        build_voc_aug(voc, sbd, check_counts=False)

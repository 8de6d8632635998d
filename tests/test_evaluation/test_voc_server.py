"""Archives for the evaluation server of PASCAL VOC."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bana_mm.datasets import VOC_CLASSES
from bana_mm.evaluation.voc_server import archive_stem, check_voc_classes, pack_results, results_folder
from bana_mm.structures import write_label_png

FOLDER = 'results/VOC2012/Segmentation/comp5_test_cls'


@pytest.fixture
def images(tmp_path):
    """Two images with label maps, and a label map of none of them."""
    (tmp_path / 'out' / FOLDER).mkdir(parents=True)
    paths = []
    for number, name in enumerate(('2008_000006', '2008_000011', '2007_000001')):
        paths.append(tmp_path / f'{name}.jpg')
        Image.new('RGB', (4 + number, 3)).save(paths[-1])
        label = np.full((3, 4 + number), number, np.uint8)
        write_label_png(tmp_path / 'out' / FOLDER / f'{name}.png', label)
    return paths[:2]


@pytest.mark.parametrize('ending', ['.zip', '.tar', '.tgz', '.tar.gz'])
def test_archives_hold_the_test_set_alone(images, tmp_path, ending):
    archive = tmp_path / 'new' / f'voc{ending}'
    assert pack_results(tmp_path / 'out', images, archive, 'comp5') == 2
    if ending == '.zip':
        with zipfile.ZipFile(archive) as file:
            file.extractall(tmp_path / 'unpacked')
    else:
        with tarfile.open(archive, 'r:gz' if ending.endswith('gz') else 'r:') as file:
            file.extractall(tmp_path / 'unpacked', filter='data')
    found = [path for path in (tmp_path / 'unpacked').rglob('*') if path.is_file()]
    assert sorted(path.relative_to(tmp_path / 'unpacked').as_posix() for path in found) == [
        f'{FOLDER}/2008_000006.png',
        f'{FOLDER}/2008_000011.png',
    ]
    assert [np.unique(np.array(Image.open(path))).tolist() for path in sorted(found)] == [[0], [1]]
    assert list((tmp_path / 'new').iterdir()) == [archive]  # no part left


def test_missing_and_wrong_label_maps(images, tmp_path):
    path = tmp_path / 'out' / FOLDER / '2008_000011.png'
    archive = tmp_path / 'voc.zip'
    write_label_png(path, np.full((3, 4), 1, np.uint8))
    with pytest.raises(ValueError, match='2008_000011.png: label map is 3 x 4 .* but its image is 3 x 5'):
        pack_results(tmp_path / 'out', images, archive, 'comp5')
    write_label_png(path, np.full((3, 5), 21, np.uint8))
    with pytest.raises(ValueError, match=r'2008_000011.png: label map holds class 21; allowed are 0..20'):
        pack_results(tmp_path / 'out', images, archive, 'comp5')
    path.unlink()
    with pytest.raises(FileNotFoundError, match='2008_000011.png: 1 of 2 label maps are missing'):
        pack_results(tmp_path / 'out', images, archive, 'comp5')
    with pytest.raises(ValueError, match='3 images have only 2 different names'):
        pack_results(tmp_path / 'out', [*images, 'other/2008_000006.jpg'], archive, 'comp5')
    assert not archive.exists()


def test_names():
    assert archive_stem('a.b/voc.tar.gz') == Path('a.b/voc')
    with pytest.raises(ValueError, match='voc.rar: an archive of results ends with .zip, .tar'):
        archive_stem('voc.rar')
    assert results_folder().as_posix() == 'results/VOC2012/Segmentation/comp6_test_cls'
    with pytest.raises(ValueError, match="comp5, comp6, got 'comp3'"):
        results_folder('comp3')


def test_classes():
    check_voc_classes(['background', *VOC_CLASSES])
    for classes in (None, VOC_CLASSES, ('background', *VOC_CLASSES[::-1])):
        with pytest.raises(ValueError, match=f"VOC's 20 in their order, but the test set has {len(classes or ())} "):
            check_voc_classes(classes)

import json
import pickle

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bana_mm.labels import FilesSource, LabelItem, answers, build_label_source, label_map
from bana_mm.structures import write_label_png

IMAGE = np.zeros((4, 6, 3), np.uint8)
NO_BOXES = np.zeros((0, 4)), np.zeros(0, int)


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=rle['size'], counts=rle['counts'].decode())


def counted(mask):
    """Run lengths down the columns, starting with zeros, by a loop over pixels."""
    counts, current = [0], 0
    for value in np.asarray(mask).T.ravel():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return dict(size=list(np.shape(mask)), counts=counts)


LARGE = np.array([[1, 1, 1, 1, 0, 1], [1, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
SMALL = np.array([[0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
BOXES = np.array([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 4.0, 3.0]])  # small, large
LABELS = np.array([2, 7])


def entry(mask, label, box, img_id='a', encode=compressed):
    return dict(image_id=img_id, category_id=label, bbox=box, segmentation=encode(mask), score=0.9)


def entries(encode=compressed):
    return [entry(LARGE, 7, [0, 0, 4, 3], encode=encode), entry(SMALL, 2, [1.4, 0.6, 2, 2], encode=encode)]


def source(tmp_path, content, name='masks.json'):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return FilesSource(path)


class TestLabelMaps:
    def test_taken_as_they_are(self, tmp_path):
        label = np.arange(24, dtype=np.uint8).reshape(4, 6)
        label[0, 0] = 255
        write_label_png(tmp_path / 'a.png', label)
        files = FilesSource(tmp_path, num_classes=23)
        assert np.array_equal(files(IMAGE, *NO_BOXES, 'a'), label)
        assert files.missing(['b', 'a', 'c']) == ['b', 'c']

    def test_what_only_ignored_boxes_cover_is_ignored(self, tmp_path):
        write_label_png(tmp_path / 'a.png', np.full((4, 6), 3, np.uint8))
        ignored = [dict(bbox=[0, 0, 6, 3], bbox_label=0, ignore_flag=1)]
        result = label_map(FilesSource(tmp_path), LabelItem.from_info(dict(img_id='a', instances=ignored), IMAGE))
        assert result[:3].min() == 255 and result[3].tolist() == [3] * 6

    def test_bad_files(self, tmp_path):
        write_label_png(tmp_path / 'a.png', np.full((4, 6), 3, np.uint8))
        write_label_png(tmp_path / 'b.png', np.zeros((6, 4), np.uint8))
        files = FilesSource(tmp_path, num_classes=2)
        with pytest.raises(ValueError, match=r'a\.png: label map holds class 3; allowed are 0\.\.2'):
            files(IMAGE, *NO_BOXES, 'a')
        with pytest.raises(ValueError, match=r'b\.png: label map is 6 x 4'):
            files(IMAGE, *NO_BOXES, 'b')
        with pytest.raises(FileNotFoundError, match=r'c\.png: label map is missing'):
            files(IMAGE, *NO_BOXES, 'c')
        with pytest.raises(ValueError, match='looked up by image id, but none was given'):
            files(IMAGE, *NO_BOXES)

    def test_masks_are_cut_out_of_them(self, tmp_path):
        """A pixel is of the smallest box of its class; ignored pixels and boxes without any are unreliable."""
        label = np.array([[2, 2, 2, 255, 0, 7], [2, 2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.uint8)
        write_label_png(tmp_path / 'a.png', label)
        item = LabelItem.from_array(IMAGE, [[0, 0, 4, 2], [1, 0, 2, 1], [3, 2, 6, 4]], [2, 2, 7], 'a')
        ((large, small, empty),) = answers(FilesSource(tmp_path), [item], 'masks')
        assert large.mask.astype(int).tolist() == [[1, 0, 1, 0], [1, 1, 1, 0]] and large.score == 1
        assert large.unreliable.astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
        assert small.mask.tolist() == [[True]] and not small.unreliable.any()
        assert empty.mask.all() and empty.unreliable.all() and empty.score == 0


class TestMasks:
    @pytest.mark.parametrize('encode', [compressed, counted])
    @pytest.mark.parametrize('order', [[0, 1], [1, 0]])
    def test_by_hand(self, tmp_path, encode, order):
        result = source(tmp_path, entries(encode))(IMAGE, BOXES[order], LABELS[order], 'a')
        assert result.tolist() == [  # the large mask cut to its box, the small one in front
            [7, 7, 7, 7, 0, 0],
            [7, 2, 7, 7, 0, 0],
            [0, 7, 2, 7, 0, 0],
            [0, 0, 0, 0, 0, 0]]  # yapf: disable

    def test_survives_pickling(self, tmp_path):
        files = pickle.loads(pickle.dumps(source(tmp_path, entries())))
        assert (files(IMAGE, BOXES, LABELS, 'a') == 2).sum() == 2

    def test_empty_mask_is_the_whole_box(self, tmp_path):
        files = source(tmp_path, [entry(np.zeros((4, 6)), 1, [2, 1, 3, 2])])
        assert (files(IMAGE, np.array([[2.0, 1, 5, 3]]), np.array([1]), 'a') == 1).sum() == 6

    def test_equal_boxes_take_one_entry_each(self, tmp_path):
        left, right = np.zeros((4, 6)), np.zeros((4, 6))
        left[:, :2], right[:, 4:] = 1, 1
        whole = [0, 0, 6, 4]
        files = source(tmp_path, [entry(left, 1, whole), entry(right, 1, whole), entry(right, 2, whole)])
        two = np.array([[0.0, 0, 6, 4]] * 2)
        assert files(IMAGE, two, np.array([1, 1]), 'a').tolist() == [[1, 1, 0, 0, 1, 1]] * 4
        with pytest.raises(FileNotFoundError, match='no further one'):
            files(IMAGE, np.concatenate([two, two[:1]]), np.array([1, 1, 1]), 'a')

    def test_nearest_entry(self, tmp_path):
        near, far = np.zeros((4, 6)), np.zeros((4, 6))
        near[2, 2], far[1, 1] = 1, 1
        files = source(tmp_path, [entry(far, 1, [1, 0, 3, 4]), entry(near, 1, [0, 0, 4, 4])])
        result = files(IMAGE, np.array([[0.0, 0, 4, 4]]), np.array([1]), 'a')
        assert result[2, 2] == 1 and result.sum() == 1

    def test_masks_scores_and_unreliable_pixels_by_box(self, tmp_path):
        content = [dict(entry(LARGE, 7, [0, 0, 4, 3]), unreliable=counted(SMALL)), entry(SMALL, 2, [1, 1, 2, 2])]
        del content[1]['score']
        content.append(entry(np.zeros((4, 6)), 3, [4, 2, 2, 2]))
        item = LabelItem.from_array(IMAGE, [*BOXES, [4, 2, 6, 4]], [*LABELS, 3], 'a')
        ((small, large, empty),) = answers(source(tmp_path, content), [item], 'masks')
        assert np.array_equal(large.mask, LARGE[:3, :4]) and np.array_equal(large.unreliable, SMALL[:3, :4])
        assert np.array_equal(small.mask, SMALL[1:3, 1:3]) and not small.unreliable.any()
        assert (small.score, large.score, empty.score) == (1.0, 0.9, 0.0)
        assert empty.mask.all() and empty.unreliable.all()

    def test_categories_of_a_coco_file(self, tmp_path):
        """The ids are those of its categories once it is known, and images go by number where names differ."""
        files = source(tmp_path, [entry(LARGE, 90, [0, 0, 4, 3], img_id=12)])
        files.bind(('cat', 'dog'), (17, 90))
        item = LabelItem.from_array(IMAGE, BOXES[1:], [2], '000012')
        with pytest.raises(FileNotFoundError, match="image '000012' has no mask .* category_id 90"):
            label_map(files, item)
        item.number = 12
        assert (label_map(files, item) == 2).sum() == LARGE[:3, :4].sum()
        content = [entry(SMALL, 90, [0, 0, 4, 3], img_id=13), entry(LARGE, 90, [0, 0, 4, 3], img_id=12)]
        other = source(tmp_path, content, 'other.json')
        other.bind(('cat', 'dog'), (17, 90))
        swapped = LabelItem(item.layout, '13', pixels=IMAGE, number=12)  # 13.jpg is image 12
        assert np.array_equal(label_map(other, swapped), label_map(files, item))
        again = pickle.loads(pickle.dumps(files))
        assert np.array_equal(label_map(again, item), label_map(files, item))
        assert files.describe() == dict(type='files', path=str(tmp_path / 'masks.json'), num_classes=None)

    def test_unreliable_pixels_of_another_size(self, tmp_path):
        files = source(tmp_path, [dict(entry(LARGE, 7, [0, 0, 4, 3]), unreliable=dict(size=[4, 6], counts=[3, 22]))])
        with pytest.raises(
            ValueError, match=r"mask of image 'a'.*unreliable cannot be decoded \(run lengths sum to 25"
        ):
            files(IMAGE, BOXES[1:], LABELS[1:], 'a')

    def test_images_without_boxes_need_no_entry(self, tmp_path):
        files = source(tmp_path, [])
        assert files(IMAGE, *NO_BOXES, 'b').max() == 0 and files.missing(['b']) == []

    def test_ids_may_be_numbers(self, tmp_path):
        files = source(tmp_path, [entry(LARGE, 7, [0, 0, 4, 3], img_id=12)])
        assert files(IMAGE, BOXES[1:], LABELS[1:], '12').max() == 7

    @pytest.mark.parametrize(
        ('img_id', 'label', 'box'),
        [
            ('b', 7, [0, 0, 4, 3]),  # other image
            ('a', 2, [0, 0, 4, 3]),  # other class
            ('a', 7, [2, 0, 6, 3]),  # box two pixels off
        ],
    )
    def test_box_without_a_mask(self, tmp_path, img_id, label, box):
        files = source(tmp_path, [entry(LARGE, 7, [0, 0, 4, 3])])
        message = rf"masks\.json: image '{img_id}' has no mask .* category_id {label}"
        with pytest.raises(FileNotFoundError, match=message):
            files(IMAGE, np.array([box], dtype=float), np.array([label]), img_id)

    def test_bad_masks(self, tmp_path):
        first = entry(LARGE, 7, [0, 0, 4, 3])
        for change, message in [
            (dict(size=[6, 4]), r'size \[6, 4\] \(height, width\), but the image \[4, 6\]'),
            (dict(counts=[0, 5]), r'cannot be decoded \(run lengths sum to 5'),
            (dict(counts='7'), r'cannot be decoded \(run lengths sum to 7'),
        ]:
            folder = tmp_path / str(change)
            folder.mkdir()
            files = source(folder, [dict(first, segmentation=dict(first['segmentation'], **change))])
            with pytest.raises(ValueError, match=rf"masks\.json: mask of image 'a'.*{message}"):
                files(IMAGE, BOXES[1:], LABELS[1:], 'a')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not valid JSON'),
        ({'annotations': []}, 'must hold a list with one entry a box'),
        ([3], 'entry 0: must be an object'),
        ([entry(SMALL, 1, [1, 1, 2, 2]), dict(image_id='a')], 'entry 1: category_id is missing'),
        ([entry(SMALL, 'cat', [1, 1, 2, 2])], "entry 0: category_id must be a whole number, got 'cat'"),
        ([entry(SMALL, True, [1, 1, 2, 2])], 'entry 0: category_id must be a whole number, got True'),
        ([entry(SMALL, 1, [1, 1, 2, 10**400])], 'entry 0: bbox must be the four numbers'),
        ([dict(entry(SMALL, 1, [1, 1, 2, 2]), image_id=[1])], 'entry 0: image_id must be'),
        ([dict(entry(SMALL, 1, [1, 1, 2, 2]), score='high')], "entry 0: score must be a number, got 'high'"),
        ('[' * 100_000, 'not valid JSON'),
        ([entry(SMALL, 1, [1, 1, 2])], 'entry 0: bbox must be the four numbers'),
        ([entry(SMALL, 1, [1, 1, 2, float('nan')])], 'entry 0: bbox must be the four numbers'),
        (
            [dict(entry(SMALL, 1, [1, 1, 2, 2]), segmentation=[[1, 1, 3, 1, 3, 3]])],
            'entry 0: segmentation must be run lengths',
        ),
    ],
)
def test_bad_json(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf'masks\.json: {message}'):
        source(tmp_path, content)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    files = source(tmp_path, [entry(LARGE, 7, [0, 0, 4, 3])])
    assert files(IMAGE, BOXES[1:], LABELS[1:], 'a').max() == 7
    again = source(tmp_path, [entry(LARGE, 7, [0, 0, 4, 3], img_id='other')])
    with pytest.raises(FileNotFoundError, match="image 'a' has no mask"):
        again(IMAGE, BOXES[1:], LABELS[1:], 'a')


def test_category_ids_are_those_of_the_data_set(tmp_path):
    """Any whole numbers, as long as they are those of classes; further ones are not used."""
    entries = [entry(LARGE, 90_000_017, [0, 0, 4, 3]), entry(SMALL, 4, [1, 1, 2, 2])]
    files = source(tmp_path, entries)
    files.bind(('cat', 'dog'), (0, 90_000_017))
    assert set(np.unique(files(IMAGE, BOXES[1:], np.array([2]), 'a'))) == {0, 2}
    with pytest.raises(ValueError, match=r'masks\.json: none of its entries .* category_id 4, 90000017, and .* 1, 2$'):
        files.bind(('cat', 'dog'))
    (tmp_path / 'zero').mkdir()
    from_zero = source(tmp_path / 'zero', [entry(LARGE, 0, [0, 0, 4, 3]), entry(SMALL, 1, [1, 1, 2, 2])])
    with pytest.raises(ValueError, match=r'masks\.json: category_id must be a class index from 1 on'):
        from_zero.bind(('cat', 'dog'))
    from_zero.bind(('cat', 'dog'), (0, 1))


def test_bad_path(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere: label source does not exist'):
        FilesSource(tmp_path / 'nowhere')
    (tmp_path / 'a.zip').write_text('')
    with pytest.raises(ValueError, match=r'a\.zip: label source must be a folder'):
        FilesSource(tmp_path / 'a.zip')


def test_build_by_name(tmp_path):
    assert build_label_source(f'files:{tmp_path}').path == tmp_path
    assert build_label_source(dict(type='files', path=str(tmp_path), num_classes=3)).num_classes == 3

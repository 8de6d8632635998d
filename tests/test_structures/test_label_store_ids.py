"""Label stores keep what they are given below their folder."""

import numpy as np
import pytest

from bana_mm.structures import LabelStore


def test_ids_stay_in_the_store(tmp_path):
    store = LabelStore(tmp_path / 'labels', maps=('box',))
    store.begin({})
    label = np.zeros((2, 2), np.uint8)
    store.write('fold1/001', box=label)
    assert (tmp_path / 'labels/box/fold1/001.png').is_file() and store.has('fold1/001')
    for img_id in ('../outside', 'fold1/../../../outside', '/tmp/outside', ''):
        for call in (lambda name: store.write(name, box=label), store.has, lambda name: store.read('box', name)):
            with pytest.raises(ValueError, match='it must name a file below a folder'):
                call(img_id)
    assert sorted(path.name for path in tmp_path.rglob('*.png')) == ['001.png']

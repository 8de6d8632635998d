"""What mim reads of a folder of configs."""

from bana_mm.utils.metafile import update_metafile

CONFIG = """
model = dict(type='EncoderDecoder')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=7)
auto_scale_lr = dict(base_batch_size=4)
"""


def test_results_and_weights_stay(tmp_path):
    folder = tmp_path / 'configs/x'
    folder.mkdir(parents=True)
    for name in ('first_voc', 'second_voc'):
        (folder / f'{name}.py').write_text(CONFIG)
    known = dict(Name='second_voc', Weights='https://example.org/second.pth', Config='gone.py')
    metafile = update_metafile(dict(Collections=[dict(Name='X')], Models=[known]), folder, tmp_path)
    first, second = metafile['Models']
    assert first == {
        'Name': 'first_voc',
        'In Collection': 'X',
        'Config': 'configs/x/first_voc.py',
        'Metadata': {'Training Data': 'PASCAL VOC 2012 + SBD', 'Batch Size': 4, 'Iterations': 7},
    }
    assert second == {
        **first,
        'Name': 'second_voc',
        'Config': 'configs/x/second_voc.py',
        'Weights': 'https://example.org/second.pth',
    }

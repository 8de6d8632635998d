import json
import sys

import numpy as np
import pytest
import torch
from tiny_sam import model, transformers

from bana_mm.labels.sam import load_box_prompter
from bana_mm.labels.sam.loading import FAMILIES


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    found = {}
    for family in ('sam', 'sam2'):
        found[family] = tmp_path_factory.mktemp(family)
        model(family).save_pretrained(found[family])
    return found


def with_config(source, target, **changes):
    """A copy of a folder with other fields in its config."""
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / 'config.json').read_text())
    (target / 'config.json').write_text(json.dumps({**config, **changes}))
    return target


@pytest.mark.parametrize(('family', 'kind'), [('sam', 'SamModel'), ('sam2', 'Sam2Model')])
def test_a_local_folder(folders, family, kind):
    made = load_box_prompter(folders[family], chunk=7, multimask=True)
    assert type(made.model).__name__ == kind and not made.model.training
    assert (made.chunk, made.multimask, made.preparation.side) == (7, True, 128)
    assert made.preparation.mean == FAMILIES[family]['mean']
    assert not any(parameter.requires_grad for parameter in made.model.parameters())
    expected = model(family).state_dict()
    for name, value in made.model.state_dict().items():
        assert torch.equal(value, expected[name])


def test_a_video_checkpoint_holds_the_image_model(folders, tmp_path):
    made = load_box_prompter(with_config(folders['sam2'], tmp_path, model_type='sam2_video'))
    assert type(made.model).__name__ == 'Sam2Model'
    plain = load_box_prompter(folders['sam2'])
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    first, second = (one.decode(one.encode([image])[0], [[3, 4, 40, 30]])[0] for one in (made, plain))
    assert np.array_equal(first.logits, second.logits)


def test_the_processors_settings_count(folders, tmp_path):
    folder = with_config(folders['sam'], tmp_path)
    settings = dict(size=dict(longest_edge=128), image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.5, 0.5])
    (folder / 'preprocessor_config.json').write_text(json.dumps(settings))
    assert load_box_prompter(folder).preparation.mean == (0.1, 0.2, 0.3)
    (folder / 'preprocessor_config.json').write_text(json.dumps(dict(size=dict(longest_edge=1024))))
    with pytest.raises(ValueError, match='1024.*network.s input is 128 x 128'):
        load_box_prompter(folder)


def test_the_hub_cannot_be_reached():
    with pytest.raises(FileNotFoundError) as error:
        load_box_prompter('nobody/no-sam', local_files_only=True)
    assert 'nobody/no-sam: no such local folder' in str(error.value)
    assert 'hf download nobody/no-sam --local-dir SAM' in str(error.value)


def test_connection_errors_say_the_same(monkeypatch):
    def fail(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nand more")

    monkeypatch.setattr(transformers.PretrainedConfig, 'get_config_dict', fail)
    with pytest.raises(FileNotFoundError, match=r"couldn't connect to 'https://huggingface.co'\)\. Where"):
        load_box_prompter('nobody/no-sam')


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder of a transformers model'):
        load_box_prompter(tmp_path)


@pytest.mark.parametrize(
    ('model_type', 'message'),
    [
        ('sam3', 'takes boxes as exemplars.*sam3_video'),
        ('vit', r'is no SAM that takes boxes.*sam_hq'),
        (None, 'None is no SAM'),
    ],
)
def test_other_models_are_refused(folders, tmp_path, model_type, message):
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type=model_type)))
    with pytest.raises(ValueError, match=message):
        load_box_prompter(tmp_path)


def test_transformers_is_too_old(folders, tmp_path, monkeypatch):
    from transformers.models.auto import configuration_auto

    names = {name: kind for name, kind in configuration_auto.CONFIG_MAPPING_NAMES.items() if name != 'sam2'}
    monkeypatch.setattr(configuration_auto, 'CONFIG_MAPPING_NAMES', names)
    with pytest.raises(ValueError, match=r"transformers \d.* is too old for its model type 'sam2'"):
        load_box_prompter(folders['sam2'])


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match=r"pip install 'bana_mm\[sam\]'"):
        load_box_prompter('any')

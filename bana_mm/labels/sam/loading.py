"""SAM models of transformers, by hub name or from a local folder."""

from pathlib import Path
from typing import Any

import torch

from bana_mm.utils.record import file_digest

from .preparation import SamPreparation
from .prompter import BoxPrompter

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALVES = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

# What the families' processors do where a model doesn't come with settings of its own. Video checkpoints hold the
# image model too, under the name of which they are loaded.
FAMILIES: dict[str, dict[str, Any]] = {
    'sam': dict(keep_ratio=True, **IMAGENET),
    'sam_hq': dict(keep_ratio=True, **IMAGENET),
    'sam2': dict(keep_ratio=False, **IMAGENET),
    'sam2_video': dict(keep_ratio=False, **IMAGENET),
    'edgetam': dict(keep_ratio=False, **IMAGENET),
    'edgetam_video': dict(keep_ratio=False, **IMAGENET),
    'sam3_tracker': dict(keep_ratio=False, **HALVES),
    'sam3_video': dict(keep_ratio=False, **HALVES),
}
EXEMPLAR_MODELS = ('sam3', 'sam3_lite_text')


def load_box_prompter(
    name: str | Path,
    device: torch.device | str = 'cpu',
    revision: str | None = None,
    local_files_only: bool = False,
    **options: Any,
) -> BoxPrompter:
    """Load a SAM.

    The model's own ``config.json`` says which of transformers' classes it is. From the hub, ``config.json``, the
    processor's settings and the weights are downloaded once and kept in its cache.

    Args:
        name (str | Path): Name on the Hugging Face hub, such as 'nielsr/slimsam-77-uniform', or a local folder with
            ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.
        device (torch.device | str): Where it runs. Defaults to 'cpu'.
        revision (str | None): Commit or branch on the hub. Defaults to None, the newest.
        local_files_only (bool): Never download. Defaults to False.
        **options: Parameters of :class:`BoxPrompter`.

    Returns:
        BoxPrompter: In evaluation mode.

    Raises:
        ImportError: If transformers, or a package that the model is built with, is missing.
        FileNotFoundError: If there is no such model here and the hub can't be reached, or doesn't have it; the message
            says how to get it.
        ValueError: If it is no model that takes boxes as prompts, or transformers is too old for it.
    """
    transformers = _transformers()
    where = dict(revision=revision or 'main', local_files_only=local_files_only)
    name = str(name)
    if Path(name).is_dir() and not Path(name, 'config.json').is_file():
        raise _unavailable(name, 'config.json is missing')
    try:
        model_type = transformers.PretrainedConfig.get_config_dict(name, **where)[0].get('model_type')
        _check_family(name, model_type)
        model = transformers.AutoModelForMaskGeneration.from_pretrained(name, dtype=torch.float32, **where)
    except OSError as error:
        raise _unavailable(name, error) from error
    model = model.to(device).eval().requires_grad_(False)
    return BoxPrompter(model, _preparation(name, model_type, model, where), **options)


def weights_digest(name: str | Path, model: torch.nn.Module) -> str:
    """What tells a model's weights apart from others of the same name, for records.

    Args:
        name (str | Path): As for :func:`load_box_prompter`.
        model (nn.Module): The model that was loaded by it.

    Returns:
        str: Of a local folder the digests of its weight files, see :func:`bana_mm.utils.record.file_digest`; of the
        hub the commit that was loaded.
    """
    folder = Path(name)
    if not folder.is_dir():
        return f'commit {model.config._commit_hash}'
    files = sorted(folder.glob('*.safetensors')) or sorted(folder.glob('*.bin'))
    return '+'.join(map(file_digest, files))


def _transformers():
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"SAM needs transformers: pip install 'bana_mm[sam]' ({error})") from error
    return transformers


def _check_family(name: str, model_type: str | None) -> None:
    if model_type in EXEMPLAR_MODELS:
        raise ValueError(
            f'{name}: model type {model_type!r} takes boxes as exemplars: it looks for every object that resembles '
            'what is in them, and does not give one mask a box. Its tracker does: take a model of type sam3_video or '
            'sam3_tracker, such as facebook/sam3'
        )
    if model_type not in FAMILIES:
        raise ValueError(
            f'{name}: model type {model_type!r} is no SAM that takes boxes as prompts; these do: {", ".join(FAMILIES)}'
        )
    import transformers

    if model_type not in transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES:
        version = transformers.__version__
        raise ValueError(f'{name}: transformers {version} is too old for its model type {model_type!r}')


def _preparation(name: str, model_type: str, model: torch.nn.Module, where: dict[str, Any]) -> SamPreparation:
    from transformers.image_processing_base import ImageProcessingMixin

    side = model.config.prompt_encoder_config.image_size  # a number or height and width, which are equal
    default = SamPreparation(side=int(side if isinstance(side, int) else side[0]), **FAMILIES[model_type])
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name, **where)
    except OSError:  # models made by hand often have none
        settings = {}
    return SamPreparation.from_settings(settings, default, name)


def _unavailable(name: str, error: Exception | str) -> FileNotFoundError:
    if Path(name).is_dir():
        return FileNotFoundError(
            f'{name}: is no folder of a transformers model, which has config.json and model.safetensors '
            f'({_first_line(error)})'
        )
    return FileNotFoundError(
        f'{name}: no such local folder, and the Hugging Face hub does not give it ({_first_line(error)}). Where there '
        f'is a connection, run\n    hf download {name} --local-dir SAM\nand give that folder as the model: sam:SAM. '
        'Models with a licence to accept need `hf auth login` first'
    )


def _first_line(error: Exception | str) -> str:
    return str(error).strip().partition('\n')[0]

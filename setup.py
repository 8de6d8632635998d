"""Installs bana_mm. Metadata is here; tool settings (ruff, pytest) are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent

# The mm* packages exist in two families with the same import names, so neither can be a plain requirement.
EXTRAS = {
    'mim': [
        'mmengine>=0.10.4,<1',
        'mmcv>=2.1,<2.2',  # mmdet 3.3 and mmsegmentation 1.2 refuse 2.2
        'mmdet>=3.3,<4',
        'mmsegmentation>=1.2.2,<2',
        'setuptools<82',  # mmengine imports pkg_resources
        'ftfy',  # imported by mmsegmentation, which does not declare them
        'regex',
    ],
    'onedl': [
        'onedl-mmengine>=0.10.12,<1',
        'onedl-mmcv>=2.3,<2.4',
        'onedl-mmdetection>=3.5,<4',
        'onedl-mmsegmentation>=1.4,<2',
    ],
    'crf': ['pydensecrf2>=1.1'],  # pydensecrf itself no longer compiles
    'boxinst': ['scikit-image'],  # mmdet's BoxInst compares colours with it
    'sam': ['transformers>=4.57,<6'],  # label source sam; SAM 3 needs transformers 5, EdgeTAM timm beside it
    'tests': ['pytest>=8', 'pytest-xdist>=3', 'hypothesis>=6.100', 'tensorboard>=2.14', 'transformers>=4.57,<6'],
}
MIM_FILES = ('configs', 'tools', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Puts what OpenMMLab's mim looks for into the package as ``bana_mm/.mim``: configs, tools, the model index.

    A wheel gets copies; an editable install gets links, so that it goes on showing the checkout.
    """

    def run(self) -> None:
        super().run()
        folder = Path(HERE if self.editable_mode else self.build_lib, 'bana_mm', '.mim')
        folder.mkdir(parents=True, exist_ok=True)
        for name in MIM_FILES:
            source, target = HERE / name, folder / name
            if self.editable_mode:
                if not target.is_symlink():
                    target.symlink_to(Path('..', '..', name), target_is_directory=source.is_dir())
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'), dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)


def read_version() -> str:
    """Returns ``__version__`` without importing the package, whose import needs torch."""
    text = (HERE / 'bana_mm' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE).group(1)


if __name__ == '__main__':
    setup(
        name='bana_mm',
        version=read_version(),
        description='Semantic and instance segmentation from bounding boxes, as OpenMMLab modules',
        long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        python_requires='>=3.10',
        packages=find_packages(include=['bana_mm', 'bana_mm.*']),
        package_data={'bana_mm': ['py.typed', 'report/*.html']},
        install_requires=['torch>=2.0', 'numpy>=1.24', 'pillow>=9.1', 'jinja2>=3', 'tabulate>=0.9', 'tqdm>=4.60'],
        extras_require=EXTRAS,
        cmdclass={'build_py': BuildWithConfigs},
        classifiers=[
            'Intended Audience :: Science/Research',
            'Programming Language :: Python :: 3',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
        ],
    )

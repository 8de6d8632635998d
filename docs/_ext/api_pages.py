"""The API of a package from its docstrings: what it exports under its short name, the rest module by module."""

import importlib
import inspect
import pkgutil
import sys
from types import ModuleType
from typing import Any

from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def package_page(name: str) -> str:
    """Sections of a package and of all modules in it; each object is described once, under its shortest name."""
    package = importlib.import_module(name)
    modules = [package]
    if hasattr(package, '__path__'):
        found = pkgutil.walk_packages(package.__path__, f'{name}.')
        modules += sorted((importlib.import_module(info.name) for info in found), key=lambda m: m.__name__)
    seen: set[int] = set()
    sections = []
    for module in sorted(modules, key=lambda m: (m is not package, not hasattr(m, '__path__'), m.__name__)):
        names = [key for key, value in public_members(module, name).items() if id(value) not in seen]
        seen.update(id(getattr(module, key)) for key in names)
        parent, _, last = module.__name__.rpartition('.')
        hidden = not inspect.ismodule(vars(sys.modules[parent]).get(last, module))  # a function of the same name
        sections.append((module.__name__, _section(module, names, module is not package, hidden)))
    return '\n\n'.join(text for _, text in sorted(sections))


def public_members(module: ModuleType, package: str) -> dict[str, Any]:
    """Functions and classes of this project that a module exports or defines, in the order of its text."""
    exported = getattr(module, '__all__', None)
    found = {}
    for key, value in vars(module).items():
        if key.startswith('_') or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        home = getattr(value, '__module__', None) or ''
        own = home == module.__name__ if exported is None else key in exported
        if own and (home == package or home.startswith(f'{package}.')) and inspect.getdoc(value):
            found[key] = value
    return found


def _section(module: ModuleType, names: list[str], title: bool, hidden: bool) -> str:
    members = f'\n   :members: {", ".join(names)}' if names else ''
    members += '\n   :no-index:' if hidden else ''
    heading = f'## `{module.__name__.removeprefix("bana_mm.")}`\n\n' if title else ''
    return f'{heading}```{{eval-rst}}\n.. automodule:: {module.__name__}{members}\n```'


def reference(path: str, name: str) -> str:
    """A role that leads from a module's file to an object of it, or to the module."""
    module = path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')
    if name.isidentifier() and hasattr(importlib.import_module(module), name):
        return f'{{py:obj}}`{name} <{module}.{name}>`'
    return f'{{py:mod}}`{name} <{module}>`'


def find_moved(app: Sphinx, env: BuildEnvironment, node: Element, content: Element) -> Element | None:
    """An object that is described under the name by which a package exports it."""
    target = node.get('reftarget', '')
    if node.get('refdomain') != 'py' or not target:
        return None
    objects = env.domaindata['py']['objects']
    parts = target.split('.')
    for count in (2, 1):  # Class.method, then a name alone
        end = '.'.join(parts[-count:])
        found = ['.'.join([*parts[:depth], end]) for depth in range(len(parts) - count, 1, -1)]
        found = [name for name in found if name in objects and objects[name].objtype != 'module']
        found = found or [name for name in objects if name.startswith('bana_mm.') and name.endswith(f'.{end}')]
        if len(found) == 1:
            entry = objects[found[0]]
            return make_refnode(app.builder, node['refdoc'], entry.docname, entry.node_id, content, found[0])
    return None

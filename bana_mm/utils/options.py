"""KEY=VALUE arguments of the command line."""

import argparse
import ast
import re
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

# A value, or an element of a list, that is a dictionary. Other braces, as in {{$ROOT}}, are text.
DICTIONARY = re.compile(r"""(^|[\[(,])\s*(dict\(|\{\s*['"])""")


class OptionsAction(DictAction):
    """mmengine's ``DictAction`` that takes dictionaries too and names an argument that it cannot read.

    Numbers, lists, tuples and text are written as for mmengine. Dictionaries, alone or in lists, are written as in
    Python, with text in quotes: ``losses=[dict(type='A',weight=2.0)]`` or ``losses=[{'type':'A','weight':2.0}]``.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str] | Any,
        option_string: str | None = None,
    ) -> None:
        """Add the arguments to what earlier ones have set.

        Raises:
            argparse.ArgumentError: If one is no KEY=VALUE, or its value can't be read.
        """
        options = dict(getattr(namespace, self.dest, None) or {})
        for argument in values:
            key, equals, text = argument.partition('=')
            if not key or not equals:
                raise argparse.ArgumentError(self, f'{argument!r} is not KEY=VALUE')
            try:
                options[key] = _value(text)
            except (AssertionError, RecursionError, SyntaxError, ValueError) as error:  # the first two of mmengine
                raise argparse.ArgumentError(
                    self, f"{argument!r}: the value can't be read; in brackets dict(...) and [...] take text in quotes"
                ) from error
        setattr(namespace, self.dest, options)


class _DictCalls(ast.NodeTransformer):
    """``dict(a=1)`` as ``{'a': 1}``; all other calls stay, which no literal may hold."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        names = [keyword.arg for keyword in node.keywords]
        if not isinstance(node.func, ast.Name) or node.func.id != 'dict' or node.args or None in names:
            return node
        return ast.Dict([ast.Constant(name) for name in names], [keyword.value for keyword in node.keywords])


def _value(text: str) -> Any:
    if not DICTIONARY.search(text):
        return DictAction._parse_iterable(text)
    return ast.literal_eval(_DictCalls().visit(ast.parse(text.strip(), mode='eval')))

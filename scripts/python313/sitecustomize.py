"""Lets mmcv 2.1.0's ``setup.py`` run under Python >= 3.13.

Its ``get_version`` calls ``exec(code)`` inside a function and then reads the new name from ``locals()``. Since PEP 667
``exec`` without namespaces writes into a throw-away copy. Handing it the live ``frame.f_locals`` restores that.
Only on the path while mmcv is built.
"""

import builtins
import sys

_exec = builtins.exec


def exec(code, globals=None, locals=None, /, **kwargs):
    """As the builtin, but names made without explicit namespaces stay visible to the caller's ``locals()``."""
    if globals is None:
        caller = sys._getframe(1)
        return _exec(code, caller.f_globals, caller.f_locals, **kwargs)
    return _exec(code, globals, locals, **kwargs)


builtins.exec = exec

"""Loops over arrays that run in every request, translated to machine code at their first call (docs/adr/0008).

The machine code is kept beside the source, or in the user's cache folder where that is read-only, and made again when
the source file changes. So a compiled function uses nothing of other files but numpy: what it needs of them are
arguments (a test sees to it); columns and codes by name come as :func:`positions`.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile ``function`` of arrays and numbers; it runs without Python's lock and divides by zero as numpy does."""
    try:
        return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # neither folder can be written: compile anew in every process
        return cast(Function, njit(nogil=True, error_model="numpy")(function))


def positions(names: Sequence[str]) -> np.ndarray:
    """(1,) record whose fields, ``names``, hold 0, 1, 2 …: compiled code reads ``at = columns[0]``, then ``at.price``."""
    return np.array([tuple(range(len(names)))], [(name, np.int64) for name in names])

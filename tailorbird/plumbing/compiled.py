"""Loops over arrays that run in every request, translated to machine code at their first call (docs/adr/0008).

The machine code is kept beside the source, or in the user's cache folder where that is read-only, and made again when
the source file changes. So a compiled function uses nothing of other files but numpy: what it needs of them are
arguments (a test sees to it); columns and codes by name come as :func:`positions`.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.bytecode import FunctionIdentity

Function = TypeVar("Function", bound=Callable[..., object])

# numba tells functions of one name apart by a number that counts from 1 in every process, and keeps it in the machine code on
# disk. What two processes have compiled would share names: `np.sort` in one file would then run where another says
# `np.argsort`, and end the process. Numbers that begin anywhere meet in no two processes.
FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(6), "big"))


def compiled(function: Function) -> Function:
    """Compile ``function`` of arrays and numbers; it runs without Python's lock and divides by zero as numpy does."""
    try:
        return cast(Function, _kept_apart(njit(cache=True, nogil=True, error_model="numpy")(function)))
    except RuntimeError:  # neither folder can be written: compile anew in every process
        return cast(Function, njit(nogil=True, error_model="numpy")(function))


def _kept_apart(made: Any) -> Any:
    """Give the files of machine code names that nobody else gives.

    numba numbers them, and writes its index before the file: of two processes that compile at once, or after one that was
    killed in between, the index would name a file that holds other code.
    """
    kept = made._cache._cache_file
    kept._data_name_pattern = kept._data_name_pattern.replace("{number", f"{os.urandom(6).hex()}.{{number")
    return made


def positions(names: Sequence[str]) -> np.ndarray:
    """(1,) record whose fields, ``names``, hold 0, 1, 2 …: compiled code reads ``at = columns[0]``, then ``at.price``."""
    return np.array([tuple(range(len(names)))], [(name, np.int64) for name in names])

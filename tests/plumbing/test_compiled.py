"""Compiled functions stand on their own: machine code kept on disk is made again only when its own file changes."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from tailorbird.plumbing.compiled import compiled, positions

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path for path in (ROOT / "tailorbird").rglob("*.py") if "@compiled" in path.read_text(encoding="utf-8")
)
MAY_USE = {"np", "compiled"}


def foreign_names(source: str) -> dict[str, set[str]]:
    """What each compiled function of a file uses that the file imports."""
    tree = ast.parse(source)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return {
        node.name: {name.id for part in node.body for name in ast.walk(part) if isinstance(name, ast.Name)}
        & (imported - MAY_USE)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(d) == "compiled" for d in node.decorator_list)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiled_functions_use_nothing_of_other_files(path: Path) -> None:
    found = foreign_names(path.read_text(encoding="utf-8"))
    assert found
    assert {name: names for name, names in found.items() if names} == {}


def test_the_check_above_sees_a_foreign_name() -> None:
    source = "from tailorbird.features.table import LIMIT\n@compiled\ndef f(x):\n    return x + LIMIT\n"
    assert foreign_names(source) == {"f": {"LIMIT"}}


@compiled
def _second(columns: np.ndarray) -> int:
    return columns[0].second


def test_columns_are_read_by_name() -> None:
    assert _second(positions(("first", "second"))) == 1
    assert _second(positions(("second", "first"))) == 0


def test_code_that_cannot_be_kept_on_disk_is_compiled_all_the_same() -> None:
    names = {"np": np, "compiled": compiled}
    exec(
        "@compiled\ndef total(x):\n    return x.sum()\n", names
    )  # of no file: as if no folder could be written
    assert names["total"](np.arange(4.0)) == 6.0


SORTS = """
import numpy as np
from tailorbird.plumbing.compiled import compiled

@compiled
def ordered(values):
    return np.sort(values)

assert ordered(np.array([3, 1, 2])).tolist() == [1, 2, 3]
"""


def test_no_two_processes_give_the_same_names_to_what_they_compile(tmp_path: Path) -> None:
    """Where they did, the one's sort would run in the place of the other's argsort."""
    (tmp_path / "sorts.py").write_text(SORTS, "utf-8")
    names = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)}
        subprocess.run([sys.executable, tmp_path / "sorts.py"], env=environment, check=True, timeout=200)
        (code,) = (path.read_bytes() for path in folder.rglob("*.nbc"))
        names.append(set(re.findall(rb"run_quicksort1B\d+v\d+", code)))
    assert all(names)
    assert not names[0] & names[1]


def test_machine_code_of_an_older_source_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from tailorbird.plumbing.compiled import compiled\n@compiled\ndef at(x):\n    return x[{place}]\n"
    )
    path, x = tmp_path / "kernel.py", np.array([[1.0, 2.0], [3.0, 4.0]])

    def at(place: str) -> float:
        path.write_text(source.format(place=place), encoding="utf-8")
        names: dict[str, Any] = {"__name__": "kernel"}
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
        return float(names["at"](x))

    def killed(self: object, name: str, data: object) -> None:
        raise KeyboardInterrupt

    assert at("0, 1") == 2.0
    with monkeypatch.context() as patched:
        patched.setattr(IndexDataCacheFile, "_save_data", killed)  # the index is written, the code is not
        with pytest.raises(KeyboardInterrupt):
            at("1, 0")
    assert at("1, 0") == 3.0
    assert len(list(tmp_path.rglob("*.nbc"))) == 2

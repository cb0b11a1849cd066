"""How tests run two at a time: a file stays together, and files that start a cluster or a server come one after the other."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@cache
def starts_something(path: str) -> bool:
    """Whether a test file starts Ray or a server."""
    source = (ROOT / path).read_text(encoding="utf-8")
    return "mark.ray" in source or "mark.server" in source


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files to processes; those that start something to one process, first, for they take longest."""
    from xdist.scheduler import LoadScopeScheduling

    class SideBySide(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "clusters" if starts_something(path) else path

    return SideBySide(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the processes of a run side by side, what starts something goes first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not starts_something(item.nodeid.partition("::")[0]))

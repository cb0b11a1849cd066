"""The contexts that a bandit tells apart, each a cell with a number: the same in every process."""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from tailorbird.experiments.design.bandit import HOUR, SCENARIO, SEGMENT, Bandit, Said

OTHER = "(other)"
_HOUR_SECONDS, _DAY_HOURS = 3_600, 24


class Asks(Protocol):
    """What is known of a request."""

    @property
    def scenario(self) -> str:
        """Where the slate stands."""

    @property
    def context(self) -> Mapping[str, Any]:
        """What the request says of itself."""

    @property
    def segments(self) -> Collection[str]:
        """Where the person belongs."""

    @property
    def at(self) -> float:
        """When it came, epoch seconds."""


class Cells:
    """All combinations of the attributes' values, where any other value is one of its own; without attributes a single cell."""

    def __init__(self, bandit: Bandit) -> None:
        self._attributes = list(bandit.context.items())
        self.count = bandit.cells

    def cell(self, asker: Asks) -> int:
        """The number of a request's cell: 0 to ``count`` - 1."""
        found = 0
        for name, values in self._attributes:
            size = len(values) + (name != HOUR)
            found = found * size + _level(name, values, asker)
        return found

    def label(self, cell: int) -> str:
        """What a cell is called: ``device = mobile, hour = 8``; "" where there is one alone."""
        said = []
        for name, values in reversed(self._attributes):
            size = len(values) + (name != HOUR)
            cell, level = divmod(cell, size)
            said.append(f"{name} = {values[level] if level < len(values) else OTHER}")
        return ", ".join(reversed(said))

    @property
    def features(self) -> np.ndarray:
        """(cells, features): a constant, then for each attribute which of its values but the last one it is."""
        columns = [np.ones(self.count)]
        repeat = self.count
        for name, values in self._attributes:
            size = len(values) + (name != HOUR)
            repeat //= size
            level = np.arange(self.count) // repeat % size
            columns += [(level == each).astype(float) for each in range(size - 1)]
        return np.stack(columns, axis=1)


def _level(name: str, values: tuple[Said, ...], asker: Asks) -> int:
    if name == HOUR:
        return bisect_right(values, asker.at // _HOUR_SECONDS % _DAY_HOURS) - 1
    if name == SEGMENT:
        return next((at for at, value in enumerate(values) if value in asker.segments), len(values))
    said = asker.scenario if name == SCENARIO else asker.context.get(name)
    return next((at for at, value in enumerate(values) if is_same(said, value)), len(values))


def is_same(said: object, value: Said) -> bool:
    """Whether a request says a value; true is not 1."""
    return said == value and isinstance(said, bool) == isinstance(value, bool)

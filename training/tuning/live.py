"""What a person sees of a running study: one line a trial, live on a terminal, line by line elsewhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from tailorbird.plumbing.terminal import say, stderr
from training.tuning.search import Outcome, TrialReport
from training.tuning.space import Value

_ROWS = 20


class LiveTable:
    """A :class:`~training.tuning.search.Watcher` on the screen. ``best`` is the value to beat so far, None if there is none."""

    def __init__(self, *, trials: int, done: int, metric: str, best: float | None) -> None:
        self._trials, self._done, self._metric, self._best = trials, done, metric, best
        self._rows: dict[int, dict[str, str]] = {}
        self._live = Live(self._table(), console=stderr, refresh_per_second=4) if stderr.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self._table())
            self._live.stop()

    def started(self, number: int, params: Mapping[str, Value]) -> None:
        """Add a line."""
        words = ", ".join(f"{key.split('.')[-1]}={_short(value)}" for key, value in params.items())
        self._rows[number] = {"state": "running", "step": "", "now": "", "value": "", "values": words}
        self._show()

    def reported(self, report: TrialReport) -> None:
        """Show how far a trial is."""
        self._rows[report.number] |= {"step": str(report.step), "now": f"{report.value:.4f}"}
        self._show()

    def ended(self, number: int, outcome: Outcome) -> None:
        """Show how a trial ended."""
        if outcome.state in ("COMPLETE", "PRUNED"):
            self._done += 1
        row = self._rows[number]
        row["state"] = outcome.state.lower() if outcome.state != "FAIL" else f"failed: {outcome.reason[:60]}"
        if outcome.value is not None:
            row["value"] = f"{outcome.value:.4f}"
            if self._best is None or outcome.value > self._best:
                self._best = outcome.value
        if self._live is None:
            say(f"trial {number}: {row['state']} {row['value']} ({self._done} of {self._trials} done)")
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table())

    def _table(self) -> Table:
        best = "none yet" if self._best is None else f"{self._best:.4f}"
        grid = Table(
            title=f"{self._done}/{self._trials} trials, best {self._metric} {best}",
            title_justify="left",
            box=None,
            header_style="bold",
            pad_edge=False,
        )
        grid.add_column("trial", justify="right")
        for column in ("state", "step", "now", self._metric, "values"):
            grid.add_column(column, no_wrap=column == "values", overflow="ellipsis")
        for number, row in list(self._rows.items())[-_ROWS:]:
            grid.add_row(str(number), row["state"], row["step"], row["now"], row["value"], row["values"])
        return grid


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""What a command shows a person: progress and tables on stderr, results on stdout, JSON on request."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

stderr = Console(stderr=True, highlight=False, markup=False)
"""Without markup: `[basis]` is a table of a file, and a title may have any brackets."""


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator["Step"]:
    """Show a progress bar on stderr while the block runs; ``step.advance(n)`` moves it. A log file gets a line a stage."""
    if not stderr.is_terminal:
        yield LoggedStep(description)
        return
    with Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", style="dim"),
        console=stderr,
    ) as bar:
        yield Step(bar, bar.add_task(description, total=total, figures=""))


class Step:
    """One bar on the screen."""

    def __init__(self, bar: Progress, task: object) -> None:
        self._bar, self._task = bar, task

    def advance(self, amount: float = 1) -> None:
        """Move the bar by ``amount``."""
        self._bar.advance(self._task, amount)  # type: ignore[arg-type]

    def restart(self, *, description: str, total: float | None = None) -> None:
        """Set the bar back to zero for another stage of the same work."""
        self._bar.reset(self._task, description=description, total=total, figures="")  # type: ignore[arg-type]

    def update(
        self, *, total: float | None = None, description: str | None = None, figures: str = ""
    ) -> None:
        """Change the bar's total, its words, or the ``figures`` of the work so far, which stand behind it."""
        self._bar.update(self._task, total=total, description=description, figures=figures)  # type: ignore[arg-type]


class LoggedStep(Step):
    """The same where nobody watches: one line when a stage begins."""

    def __init__(self, description: str) -> None:
        self._said = ""
        self._say(description)

    def advance(self, amount: float = 1) -> None:
        """Say nothing: a log needs no percentages."""

    def restart(self, *, description: str, total: float | None = None) -> None:
        """Name the next stage."""
        self._say(description)

    def update(
        self, *, total: float | None = None, description: str | None = None, figures: str = ""
    ) -> None:
        """Name the stage if it changed."""
        self._say(description)

    def _say(self, description: str | None) -> None:
        if description and description != self._said:
            self._said = description
            say(f"{description} ...")


def say(message: str) -> None:
    """One line for the person, on stderr."""
    stderr.print(message)


def table(rows: Sequence[Mapping[str, object]], *, title: str = "") -> None:
    """Print rows with equal keys as a table on stderr."""
    if not rows:
        return
    grid = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        grid.add_column(
            column, justify="left" if isinstance(rows[0][column], str) else "right", overflow="fold"
        )
    for row in rows:
        grid.add_row(*(_cell(value) for value in row.values()))
    stderr.print(grid)


def emit(result: Mapping[str, object], *, as_json: bool) -> None:
    """Write the command's result to stdout: one JSON object, or ``key: value`` lines."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    else:
        for key, value in result.items():
            sys.stdout.write(f"{key}: {_cell(value)}\n")
    sys.stdout.flush()


def _cell(value: object) -> str:
    """A value as a person reads it: a dash for nothing, ``key = value`` for what has names."""
    if value is None or (isinstance(value, (Mapping, list, tuple)) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_cell(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ("; " if isinstance(value[0], Mapping) else ", ").join(map(_cell, value))
    return (
        f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )

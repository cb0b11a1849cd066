"""What a command shows a person: progress and tables on stderr, results on stdout, JSON on request."""

import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_GAP = 2
"""Blanks between columns."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")
_SHORT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""What would break a row, or tell the terminal what to do."""
stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Without markup and emoji: `[basis]` is a table of a file, `user:star:7` an id, and a title may have any brackets."""


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
    """Print rows with equal keys as a table on stderr; columns in which no row says a word are left out.

    Where the terminal is too narrow sentences fold, the widest first, and ids, paths and instants never; where even that is too wide,
    each row is a block of lines. Into a file goes every row on one line.
    """
    if not rows:
        return
    columns = [name for name in rows[0] if any(row[name] != "" for row in rows)]
    cells = [[_shown(row[name]) for name in columns] for row in rows]
    widest = [_width(each, cell_len) for each in zip(columns, *cells, strict=True)]
    least = [_width(each, _unbroken) for each in zip(columns, *cells, strict=True)]
    limited = stderr.is_terminal or "COLUMNS" in os.environ
    widths = _fitted(widest, least, width=stderr.width) if limited else widest
    if title:
        stderr.print(title, style="italic", soft_wrap=True)
    if widths is None:
        _print_blocks(columns, cells)
        return
    numbers = [not isinstance(rows[0][name], str) for name in columns]
    stderr.print(_folded(columns, widths, numbers), style="bold", soft_wrap=True)
    for each in cells:
        stderr.print(_folded(each, widths, numbers), soft_wrap=True)


def _fitted(widest: Sequence[int], least: Sequence[int], *, width: int) -> list[int] | None:
    """How wide columns may be: the widest gives way first, none below its least; None where that is too wide."""
    room = width - _GAP * (len(widest) - 1)
    found = [max(least[at], min(own, room)) for at, own in enumerate(widest)]
    while sum(found) > room:
        folding = [at for at, own in enumerate(found) if own > least[at]]
        if not folding:
            return None
        found[max(folding, key=found.__getitem__)] -= 1
    return found


def _folded(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    """A row, on as many lines as its longest cell asks for; numbers stand at the right."""
    parts = [_lines(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for some in zip_longest(*parts, fillvalue=""):
        padded = []
        for text, width, is_number in zip(some, widths, numbers, strict=True):
            blanks = " " * (width - cell_len(text))
            padded.append(blanks + text if is_number else text + blanks)
        lines.append((" " * _GAP).join(padded).rstrip())
    return "\n".join(lines)


def _lines(text: str, width: int) -> list[str]:
    """Broken between words, where it is wider."""
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _print_blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Rows one below the other, a line for each column; the terminal alone breaks what is too long for it."""
    names = [f"{name:<{max(map(len, columns))}}  " for name in columns]
    blocks = ["\n".join(map("".join, zip(names, row, strict=True))) for row in cells]
    stderr.print("\n\n".join(blocks), soft_wrap=True)


def _width(column: Sequence[str], of: Callable[[str], int]) -> int:
    return max(map(of, column))


def _unbroken(text: str) -> int:
    """The width below which a cell would break what is no sentence."""
    return cell_len(text) if _SHORT.fullmatch(text) else max(map(cell_len, text.split()), default=0)


def _shown(value: object) -> str:
    """A cell; instants are short, in UTC."""
    text = _CONTROLS.sub(" ", _cell(value))
    if not _INSTANT.fullmatch(text):
        return text
    try:
        at = dt.datetime.fromisoformat(text)
        return (at.astimezone(dt.UTC) if at.tzinfo else at).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # 30 February is whatever somebody called it
        return text


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

"""Which lines of a separated text each row takes; a quote that opens and does not close breaks its own line alone."""

import re
from dataclasses import dataclass

import numpy as np

MOST_LINES = 1_000
"""Lines of one row, at most: a longer one is a quote that was never closed."""
_ROWS_WITHIN = 3
"""Lines within a cell that all have a row's number of columns: from so many on, they are rows and no text."""
_ROW_COLUMNS = 4
"""From so many columns on a line with a row's number of delimiters is a row: prose has one or two commas in a line."""
OPEN_QUOTE = "open quote: it closes neither on its line nor where a row could end"


@dataclass(frozen=True)
class Broken:
    """A line that could not become a row: its number (from 1, header included), why, and its text."""

    line: int
    reason: str
    raw: str


@dataclass(frozen=True)
class PartedLines:
    """A text without its broken lines. ``first`` (rows,) is the number of the line on which each row begins, header included."""

    content: bytes
    broken: list[Broken]
    first: np.ndarray

    def line_of(self, row: int) -> int:
        """The line on which a row begins, both counted from 1, header included."""
        return int(self.first[min(row, len(self.first)) - 1])  # a lone carriage return ends a row and no line


def part_lines(content: bytes, *, delimiter: str, columns: int) -> PartedLines:
    """Take out each line whose quote stays open; reading goes on at the line after it.

    A row may take several lines, as a cell may hold line breaks: where its last quote closes before a delimiter or the
    line's end, where it has all ``columns``, and where its lines are no rows by themselves.
    """
    one_line, several = one_line_pattern(delimiter), _several_lines_pattern(delimiter, columns)
    letters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    starts = np.concatenate([[0], ends + 1])
    starts = starts[starts < len(content)]
    stops = np.append(ends, len(content))[: len(starts)]
    begins_row = stops - starts > (letters[starts] == ord("\r"))  # an empty line is no row
    broken: list[Broken] = []
    kept: list[bytes] = []
    at = kept_to = counted_to = line = 0
    while (quote := content.find(b'"', at)) >= 0:
        start = content.rfind(b"\n", 0, quote) + 1
        if whole := one_line.match(content, start):
            at = whole.end()
            continue
        line += content.count(b"\n", counted_to, start)
        counted_to = start
        if whole := several.match(content, start):
            taken = whole.group().split(b"\n")
            if _is_one_row(taken, delimiter=delimiter.encode(), columns=columns):
                begins_row[line + 1 : line + len(taken)] = False
                at = whole.end()
                continue
        begins_row[line] = False
        raw = content[start : stops[line]].decode(errors="replace").rstrip("\r")
        broken.append(Broken(line + 1, OPEN_QUOTE, raw))
        kept.append(content[kept_to:start])
        at = kept_to = min(int(stops[line]) + 1, len(content))
    kept.append(content[kept_to:])
    return PartedLines(b"".join(kept), broken, np.flatnonzero(begins_row) + 1)


def one_line_pattern(delimiter: str) -> re.Pattern[bytes]:
    """A line on which every quote that opens a cell also closes; what stands behind it belongs to the cell."""
    d = re.escape(delimiter)
    cell = rf'(?:"[^"\n]*+(?:""[^"\n]*+)*+"[^{d}\n]*+|[^"{d}\n][^{d}\n]*+|)'
    return re.compile(rf"{cell}(?:{d}{cell})*+(?=\n|\Z)".encode())


def _several_lines_pattern(delimiter: str, columns: int) -> re.Pattern[bytes]:
    """A whole row, line breaks in its cells: each quote that closes stands before a delimiter or the end of a line."""
    d = re.escape(delimiter)
    cell = rf'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{d}\r\n][^{d}\r\n]*+|)'
    return re.compile(rf"{cell}(?:{d}{cell}){{{max(columns - 1, 0)}}}(?=\r?\n|\r?\Z)".encode())


def _is_one_row(lines: list[bytes], *, delimiter: bytes, columns: int) -> bool:
    within = lines[1:-1]
    swallowed = len(within) >= _ROWS_WITHIN and all(line.count(delimiter) == columns - 1 for line in within)
    return len(lines) <= MOST_LINES and not (swallowed and columns >= _ROW_COLUMNS)

"""Reads one table from Parquet, CSV or JSONL; a line that is no row is kept aside, a half-written file is an error."""

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.ingest.lines import Broken, one_line_pattern, part_lines

NULLS = ["", "NULL", "null", "None", "NaN", "nan"]
"""What stands for nothing in a CSV."""
OTHER_DELIMITERS = (";", "\t", "|")
"""What parts cells where no comma does."""


@dataclass(frozen=True)
class Source:
    """A table as it was found: ``frame`` with a RangeIndex, and the lines that are no rows.

    ``lines`` (rows,) is the number of the line on which each row begins, from 1; empty where rows are no lines.
    """

    frame: pd.DataFrame
    broken: list[Broken] = field(default_factory=list)
    path: Path | None = None
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def row_count(self) -> int:
        """Rows in the file, broken lines included."""
        return len(self.frame) + len(self.broken)


def read_source(path: Path, *, delimiter: str = "") -> Source:
    """Read a table; the format follows from the suffix (``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``; ``.gz`` too).

    ``delimiter`` is what parts the cells of a CSV, where it is not what the suffix says.

    Raises:
        UsageError: No such file, an unknown suffix, or two columns of one name.
        TailorbirdError: The file is empty, half written or damaged.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}", remedy="check the path; --path wants the folder, --events a file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    suffix = (suffixes[:-1] if packed else suffixes)[-1:] or [""]
    reader = READERS.get(suffix[0])
    if reader is None:
        raise UsageError(
            f"{path.name} has an unknown suffix",
            remedy=f"use one of {', '.join(READERS)}, CSV and JSONL also with .gz",
        )
    try:
        content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _half_written(path, str(error)) from error
    except OSError as error:
        raise TailorbirdError(
            f"cannot read {path}: {error}", remedy="check the file's permissions"
        ) from error
    if not content.strip():
        raise TailorbirdError(f"{path} is empty", remedy="write the file again")
    if delimiter and suffix[0] in SEPARATED:
        reader = _separated(delimiter)
    source = reader(content, path)
    _require_one_of_each_name(source.frame, path)
    return replace(source, frame=source.frame.reset_index(drop=True))


def _require_one_of_each_name(frame: pd.DataFrame, path: Path) -> None:
    for name in frame.columns[frame.columns.duplicated()]:
        if name:  # cells without a name, as spreadsheets leave them at the end, are nobody's column
            raise UsageError(
                f"{path} has the column {name!r} more than once",
                remedy="rename or remove one of them in the file's header",
            )


def remedy_of_absent(columns: Iterable[object], *, otherwise: str) -> str:
    """What to do where a file lacks a column: one that was read as a single column has another delimiter."""
    only, *others = [str(name) for name in columns] or [""]
    found = next((each for each in OTHER_DELIMITERS if each in only), "")
    if others or not found:
        return otherwise
    said = json.dumps(found)
    return (
        f"its cells are parted by {said}: write delimiter = {said} into the mapping (--mapping FILE), under that of [events], "
        "[items] and [users] which reads the file"
    )


def _parquet(content: bytes, path: Path) -> Source:
    try:
        table = pq.read_table(BytesIO(content))
    except (pa.ArrowInvalid, OSError) as error:
        raise _half_written(path, str(error)) from error
    plain = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    # Long whole numbers with gaps stay exact, and a column that pandas had made the index stays a column.
    options = {"integer_object_nulls": True, "ignore_metadata": True}
    return Source(pa.Table.from_arrays(plain, names=table.column_names).to_pandas(**options), [], path)


def _separated(delimiter: str) -> Callable[[bytes, Path], Source]:
    def read(content: bytes, path: Path) -> Source:
        content = content.removeprefix(codecs.BOM_UTF8)
        if b"\n" not in content:
            content = content.replace(b"\r", b"\n")
        if content.endswith((b"\n\n", b"\n\r\n")):
            content = content.rstrip(b"\r\n") + b"\n"
        try:
            first = content.decode().lstrip("\r\n").partition("\n")[0].partition("\r")[0]
        except UnicodeDecodeError as error:
            raise TailorbirdError(f"{path} is not UTF-8: {error}", remedy="save the file as UTF-8") from error
        names = next(csv.reader([first], delimiter=delimiter), [])
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        rows = _rows(content, delimiter=delimiter, names=names)
        # A row for each line is the rule; else a cell holds a line break, or a quote stays open and swallows rows.
        if rows.damage or 1 + rows.table.num_rows + len(rows.broken) < lines:
            rows = _rows_but_open_quotes(rows, content, delimiter=delimiter, names=names, path=path)
        if rows.damage:
            raise _half_written(path, str(rows.damage)) from rows.damage
        if not content.endswith(b"\n"):
            ends_open = not one_line_pattern(delimiter).match(content, content.rfind(b"\n") + 1)
            if ends_open or (rows.broken and rows.broken[-1].line == lines):
                raise _half_written(path, f"line {lines} ends in its middle")
        of_rows = np.arange(1, lines + 1) if rows.first is None else rows.first
        aside = [
            place for place in rows.aside if place < len(of_rows)
        ]  # a lone carriage return ends a row and no line
        return Source(rows.table.to_pandas(), rows.broken, path, np.delete(of_rows, aside)[1:])

    return read


class _Rows(NamedTuple):
    """A table, and the rows that do not fit into it; their ``line`` counts rows, header included. Or what is damaged.

    ``first`` are the lines on which rows begin, None where each line is a row; ``aside`` the places in it of those that do not fit.
    """

    table: pa.Table
    broken: list[Broken]
    damage: pa.ArrowInvalid | None = None
    first: np.ndarray | None = None
    aside: tuple[int, ...] = ()


def _rows(content: bytes, *, delimiter: str, names: list[str]) -> _Rows:
    broken: list[Broken] = []

    def keep_aside(row: Any) -> str:
        reason = f"wrong number of columns: {row.actual_columns}, not {row.expected_columns}"
        broken.append(Broken(row.number, reason, row.text))
        return "skip"

    try:
        table = pa.csv.read_csv(
            BytesIO(content),
            # One thread: only then does Arrow know the number of a bad row.
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=keep_aside, newlines_in_values=True
            ),
            # All as text: an id like 007 must not become a number.
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=NULLS
            ),
        )
    except pa.ArrowInvalid as error:
        return _Rows(pa.table({}), [], error)
    return _Rows(table, broken, aside=tuple(each.line - 1 for each in broken))


def _rows_but_open_quotes(
    rows: _Rows, content: bytes, *, delimiter: str, names: list[str], path: Path
) -> _Rows:
    """The rows, read again where there are lines whose quote stays open; broken ones are numbered by the file's lines."""
    parted = part_lines(content, delimiter=delimiter, columns=len(names))
    if parted.broken and (not len(parted.first) or parted.broken[0].line < parted.first[0]):
        raise TailorbirdError(
            f"{path}, line {parted.broken[0].line}: a quote opens in the header and does not close: "
            f"{parted.broken[0].raw[:80]}",
            remedy="close or remove the quote; the header is one line",
        )
    if parted.broken:
        rows = _rows(parted.content, delimiter=delimiter, names=names)
    found = [replace(each, line=parted.line_of(each.line)) for each in rows.broken]
    ordered = sorted([*parted.broken, *found], key=lambda each: each.line)
    return rows._replace(broken=ordered, first=parted.first)


def _json_lines(content: bytes, path: Path) -> Source:
    rows: list[dict[str, object]] = []
    of_rows: list[int] = []
    broken: list[Broken] = []
    lines = content.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if number == len(lines) and not content.endswith(b"\n"):
                raise _half_written(path, f"line {number} ends in its middle") from error
            broken.append(Broken(number, f"not JSON: {error}", line.decode(errors="replace")))
            continue
        if isinstance(row, dict):
            rows.append(row)
            of_rows.append(number)
        else:
            broken.append(Broken(number, "not a JSON object", line.decode(errors="replace")))
    return Source(pd.DataFrame.from_records(rows), broken, path, np.array(of_rows, np.int64))


def _half_written(path: Path, detail: str) -> TailorbirdError:
    return TailorbirdError(
        f"{path} is half written or damaged: {detail.splitlines()[0] if detail else 'cut off'}",
        remedy="write the file again; nothing of it was stored",
    )


SEPARATED = (".csv", ".tsv")
READERS: dict[str, Callable[[bytes, Path], Source]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}

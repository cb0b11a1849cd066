"""Reads one table from Parquet, CSV or JSONL; a line that is no row is kept aside, a half-written file is an error."""

import csv
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tailorbird.errors import TailorbirdError, UsageError

NULLS = ["", "NULL", "null", "None", "NaN", "nan"]
"""What stands for nothing in a CSV."""


@dataclass(frozen=True)
class Broken:
    """A line that could not become a row: its number (from 1, header included), why, and its text."""

    line: int
    reason: str
    raw: str


@dataclass(frozen=True)
class Source:
    """A table as it was found: ``frame`` with a RangeIndex, and the lines that are no rows."""

    frame: pd.DataFrame
    broken: list[Broken] = field(default_factory=list)
    path: Path | None = None

    @property
    def row_count(self) -> int:
        """Rows in the file, broken lines included."""
        return len(self.frame) + len(self.broken)


def read_source(path: Path) -> Source:
    """Read a table; the format follows from the suffix (``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``; ``.gz`` too).

    Raises:
        UsageError: No such file, or an unknown suffix.
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
    frame, broken = reader(content, path)
    return Source(frame.reset_index(drop=True), broken, path)


def _parquet(content: bytes, path: Path) -> tuple[pd.DataFrame, list[Broken]]:
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
    return pa.Table.from_arrays(plain, names=table.column_names).to_pandas(**options), []


def _separated(delimiter: str) -> Callable[[bytes, Path], tuple[pd.DataFrame, list[Broken]]]:
    def read(content: bytes, path: Path) -> tuple[pd.DataFrame, list[Broken]]:
        broken: list[Broken] = []

        def keep_aside(row: Any) -> str:
            reason = f"wrong number of columns: {row.actual_columns}, not {row.expected_columns}"
            broken.append(Broken(row.number or 0, reason, row.text))
            return "skip"

        try:
            header = next(
                csv.reader([content.decode("utf-8-sig").partition("\n")[0]], delimiter=delimiter), []
            )
            table = pa.csv.read_csv(
                BytesIO(content),
                # One thread: only then does Arrow know the number of a bad line.
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=1 << 24),
                parse_options=pa.csv.ParseOptions(
                    delimiter=delimiter, invalid_row_handler=keep_aside, newlines_in_values=True
                ),
                # All as text: an id like 007 must not become a number.
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()),
                    strings_can_be_null=True,
                    null_values=NULLS,
                ),
            )
        except UnicodeDecodeError as error:
            raise TailorbirdError(f"{path} is not UTF-8: {error}", remedy="save the file as UTF-8") from error
        except pa.ArrowInvalid as error:
            raise _half_written(path, str(error)) from error
        lines = content.count(b"\n")
        if broken and not content.endswith(b"\n") and broken[-1].line in (0, lines + 1):
            raise _half_written(path, f"line {broken[-1].line or lines + 1} ends in its middle")
        return table.to_pandas(), broken

    return read


def _json_lines(content: bytes, path: Path) -> tuple[pd.DataFrame, list[Broken]]:
    rows: list[dict[str, object]] = []
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
        else:
            broken.append(Broken(number, "not a JSON object", line.decode(errors="replace")))
    return pd.DataFrame.from_records(rows), broken


def _half_written(path: Path, detail: str) -> TailorbirdError:
    return TailorbirdError(
        f"{path} is half written or damaged: {detail.splitlines()[0] if detail else 'cut off'}",
        remedy="write the file again; nothing of it was stored",
    )


READERS: dict[str, Callable[[bytes, Path], tuple[pd.DataFrame, list[Broken]]]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}

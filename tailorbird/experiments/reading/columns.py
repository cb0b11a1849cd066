"""Columns of anybody's table: CSV, TSV or Parquet, read by name; what is no number where numbers are wanted is refused in words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tailorbird.errors import UsageError

NULLS = ["", "NULL", "null", "None", "NaN", "nan", "NA"]
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_columns(path: Path, wanted: Sequence[str], *, texts: Sequence[str]) -> pa.Table:
    """Read the columns ``wanted``; those of ``texts`` as they are written, where the file does not say their type.

    Raises:
        UsageError: no such file or column, a damaged file, an unknown suffix.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}", remedy="a table is a CSV or Parquet file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:] or [""]
    try:
        if suffix[0] == ".parquet":
            schema = pq.read_schema(path)
            _refuse_unknown(wanted, schema.names, path=path)
            _refuse_nested(texts, schema, path=path)
            return pq.read_table(path, columns=list(wanted))
        if suffix[0] in SEPARATORS:
            return _read_csv(path, wanted, texts=texts, separator=SEPARATORS[suffix[0]])
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"{path} cannot be read: {error}", remedy="mend the file or write it again"
        ) from error
    raise UsageError(
        f"{path.name} has an unknown suffix", remedy="use .parquet, .csv or .tsv, the last two also with .gz"
    )


def numbers(values: pa.ChunkedArray, *, name: str) -> np.ndarray:
    """The column as numbers, NaN where missing. Raises UsageError: it holds something else, or an infinite value."""
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    if not (
        pa.types.is_floating(values.type)
        or pa.types.is_integer(values.type)
        or pa.types.is_boolean(values.type)
        or pa.types.is_decimal(values.type)
    ):
        shown = next((str(each) for each in values.slice(0, 1_000).to_pylist() if each is not None), "")
        raise UsageError(
            f"{name} holds {values.type} such as {shown!r}, where numbers are wanted",
            remedy="check the column",
        )
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    if np.isinf(numbers).any():
        raise UsageError(f"{name} holds infinite values", remedy="leave them empty or mend them")
    return np.asarray(numbers, float)


def _read_csv(path: Path, wanted: Sequence[str], *, texts: Sequence[str], separator: str) -> pa.Table:
    parse = pyarrow.csv.ParseOptions(delimiter=separator)
    with pa.input_stream(str(path)) as stream:
        header = stream.read(1 << 20).split(b"\n", 1)[0].rstrip(b"\r\n")
    names = pyarrow.csv.read_csv(pa.BufferReader(header + b"\n"), parse_options=parse).column_names
    _refuse_unknown(wanted, names, path=path)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(wanted),
        column_types=dict.fromkeys(texts, pa.string()),
        null_values=NULLS,
        strings_can_be_null=True,
    )
    return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)


def _refuse_unknown(wanted: Sequence[str], names: Sequence[str], *, path: Path) -> None:
    for name in wanted:
        if names.count(name) != 1:
            raise UsageError(
                f"{path} has {names.count(name)} columns {name!r}",
                remedy=f"its columns are {', '.join(names)}",
            )


def _refuse_nested(texts: Sequence[str], schema: pa.Schema, *, path: Path) -> None:
    for name in texts:
        if pa.types.is_nested(schema.field(name).type):
            raise UsageError(
                f"{name} of {path} holds {schema.field(name).type}, where names are wanted",
                remedy="use a column of texts or numbers",
            )

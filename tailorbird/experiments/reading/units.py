"""The table of a finished test, one row a unit: read by column from CSV or Parquet, checked, variants as codes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tailorbird.errors import UsageError

MOST_VARIANTS = 50
NULLS = ["", "NULL", "null", "None", "NaN", "nan", "NA"]
SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Units:
    """The rows that have a unit and a variant: ``codes`` (n,) into ``variants``, numbers by column (n,), NaN where missing."""

    variants: tuple[str, ...]
    codes: np.ndarray
    columns: dict[str, np.ndarray]
    left_out: int = 0
    """Rows without a unit or a variant."""

    @property
    def counts(self) -> dict[str, int]:
        """Units of each variant."""
        return dict(
            zip(self.variants, np.bincount(self.codes, minlength=len(self.variants)).tolist(), strict=True)
        )


def read_units(path: Path, *, unit: str, variant: str, columns: Collection[str]) -> Units:
    """Read the columns that are asked for.

    Raises:
        UsageError: no such file or column, a value that is no number, a unit twice, more than ``MOST_VARIANTS`` variants.
    """
    wanted = list(dict.fromkeys([unit, variant, *columns]))
    rows = _read(path, wanted)
    there = pc.and_(pc.is_valid(rows[unit]), pc.is_valid(rows[variant]))
    kept = rows.filter(there)
    if not len(kept):
        raise UsageError(
            f"{path} has no row with {unit} and {variant}", remedy="check the names of the columns"
        )
    _refuse_repeats(kept[unit], name=unit)
    names = kept[variant]
    if not pa.types.is_string(names.type):
        names = pc.cast(names, pa.string())
    encoded = names.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    if len(found) > MOST_VARIANTS:
        raise UsageError(
            f"{variant} has {len(found):,} values, a test has {MOST_VARIANTS} variants at most",
            remedy="--variant wants the column that says which variant a unit got",
        )
    order = sorted(range(len(found)), key=found.__getitem__)
    place = np.empty(len(found), np.int32)
    place[order] = np.arange(len(found), dtype=np.int32)
    return Units(
        variants=tuple(found[at] for at in order),
        codes=place[encoded.indices.to_numpy(zero_copy_only=False)],
        columns={name: _numbers(kept[name], name=name) for name in dict.fromkeys(columns)},
        left_out=len(rows) - len(kept),
    )


def _read(path: Path, wanted: Sequence[str]) -> pa.Table:
    if not path.is_file():
        raise UsageError(f"no file {path}", remedy="the table is a CSV or Parquet file, one row a unit")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:] or [""]
    try:
        if suffix[0] == ".parquet":
            _refuse_unknown(wanted, pq.read_schema(path).names, path=path)
            return pq.read_table(path, columns=list(wanted))
        if suffix[0] in SEPARATORS:
            return _read_csv(path, wanted, separator=SEPARATORS[suffix[0]])
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"{path} cannot be read: {error}", remedy="mend the file or write it again"
        ) from error
    raise UsageError(
        f"{path.name} has an unknown suffix", remedy="use .parquet, .csv or .tsv, the last two also with .gz"
    )


def _read_csv(path: Path, wanted: Sequence[str], *, separator: str) -> pa.Table:
    parse = pyarrow.csv.ParseOptions(delimiter=separator)
    with pa.input_stream(str(path)) as stream:
        header = stream.read(1 << 20).split(b"\n", 1)[0].rstrip(b"\r\n")
    names = pyarrow.csv.read_csv(pa.BufferReader(header + b"\n"), parse_options=parse).column_names
    _refuse_unknown(wanted, names, path=path)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(wanted),
        column_types={name: pa.string() for name in wanted[:2]},
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


def _refuse_repeats(ids: pa.ChunkedArray, *, name: str) -> None:
    repeated = len(ids) - pc.count_distinct(ids).as_py()
    if repeated:
        counts = pc.value_counts(ids)
        first = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0]
        raise UsageError(
            f"{repeated:,} rows repeat a unit of {name}, such as {first}: comparisons would take them for others",
            remedy="make one row of each unit first, and leave out units that got more than one variant",
        )


def _numbers(values: pa.ChunkedArray, *, name: str) -> np.ndarray:
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
            f"{name} holds {values.type} such as {shown!r}, a metric wants numbers", remedy="check the column"
        )
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    if np.isinf(numbers).any():
        raise UsageError(f"{name} holds infinite values", remedy="leave them empty or mend them")
    return np.asarray(numbers, float)

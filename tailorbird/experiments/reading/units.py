"""The table of a finished test, one row a unit: read by column from CSV or Parquet, checked, variants as codes."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.errors import UsageError
from tailorbird.experiments.reading.columns import numbers, read_columns

MOST_VARIANTS = 50


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
    rows = read_columns(path, wanted, texts=[unit, variant])
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
        columns={name: numbers(kept[name], name=name) for name in dict.fromkeys(columns)},
        left_out=len(rows) - len(kept),
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

"""The quarantine: every row that was not accepted, with its table, its place, the reason and the raw row."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd

from tailorbird.ingest.files import Source

COLUMNS = ("table", "row", "reason", "raw")


def parted_table(rows: pd.DataFrame, *, key: str, table: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part item or user rows into kept and quarantined: a row needs an id, and of equal ids the last one counts."""
    if key not in rows:
        return rows, pd.DataFrame(columns=list(COLUMNS))
    missing = rows[key].isna()
    again = rows[key].duplicated(keep="last") & ~missing
    bad = rows[missing | again]
    reasons = [
        f"missing {key}" if lost else f"duplicate {key}: {name!r}, a later row replaces it"
        for lost, name in zip(missing[bad.index], bad[key], strict=True)
    ]
    raw = [
        orjson.dumps(row, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
        for row in bad.to_dict("records")
    ]
    quarantined = pd.DataFrame(
        {"table": table, "row": bad.index.to_numpy(), "reason": reasons, "raw": raw}, columns=list(COLUMNS)
    )
    return rows[~(missing | again)], quarantined


def source_quarantine(source: Source, *, table: str) -> pd.DataFrame:
    """The lines of a file that are no rows, as quarantine rows; ``row`` is the line's number."""
    return pd.DataFrame(
        [(table, line.line, line.reason, line.raw) for line in source.broken], columns=list(COLUMNS)
    )


def write_quarantine(tables: Sequence[pd.DataFrame], *, folder: Path, now: float) -> list[Path]:
    """Write one Parquet file a table that has rows; the same rows give the same file, so repeating adds nothing."""
    written = []
    for frame in tables:
        if frame.empty:
            continue
        rows = frame[list(COLUMNS)].astype({"row": "int64"})
        digest = hashlib.sha256(
            pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
        ).hexdigest()
        path = folder / f"{rows['table'].iloc[0]}-{digest[:16]}.parquet"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(".tmp")
            rows.assign(quarantined_at=datetime.fromtimestamp(now, UTC)).to_parquet(staged, index=False)
            staged.replace(path)
        written.append(path)
    return written

"""A file of items or users as patches: read through a mapping, what says nothing quarantined, the rest told to the catalogue."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tailorbird.catalog.log.schemas import ItemPatch, UserPatch, parted
from tailorbird.catalog.log.told import DELETED, Patch
from tailorbird.catalog.store import CatalogStore
from tailorbird.catalog.values import strings_of
from tailorbird.errors import UsageError
from tailorbird.ingest.descriptions import KEYS, cleaned, described_rows
from tailorbird.ingest.files import read_source
from tailorbird.ingest.mapping import Mapping, identity_mapping
from tailorbird.ingest.quarantine import (
    COLUMNS,
    parted_table,
    quarantine_lock,
    source_quarantine,
    without_erased,
    write_quarantine,
)
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings

PUT_ROWS = 5_000
"""Patches of one transaction."""
MOST_ROWS = 1_000_000
"""Rows of an upload."""
SHOWN = 20
"""Refused rows that a report shows; the quarantine holds all."""
What = Literal["items", "users"]


@dataclass(frozen=True)
class UploadReport:
    """What happened to every row of a file; ``rows_in`` = ``accepted`` + ``quarantined`` + ``suppressed``: of erased people."""

    rows_in: int
    accepted: int
    quarantined: int
    reasons: dict[str, int]
    rejected: list[dict[str, Any]]
    lost_values: dict[str, int]
    quarantine_files: list[str]
    sequence: int
    suppressed: int = 0

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return asdict(self)


def upload(
    path: Path,
    what: What,
    *,
    store: CatalogStore,
    settings: Settings,
    door: Door,
    now: float,
    mapping: Mapping | None = None,
) -> UploadReport:
    """Tell the catalogue what a file says; a value that is missing in a row leaves what is known.

    Raises:
        UsageError: the mapping does not fit the file, or the file has an unknown suffix.
        TailorbirdError: the file is half written or damaged.
        StreamAwayError: the catalogue cannot be written; rows told before stay told, and telling them again changes nothing.
    """
    chosen = mapping or identity_mapping()
    table = chosen.items if what == "items" else chosen.users
    if table is None:
        raise UsageError(f"mapping {chosen.name!r} has no [{what}]", remedy=f"say in it how {what} are made")
    _require_few_rows(path)
    source = read_source(path, delimiter=table.delimiter)
    rows, lost = cleaned(described_rows(what, table, source), what=what)
    kept, bad = parted_table(rows, key=KEYS[what], table=what)
    patches, refused = _patches(kept, what)
    quarantined = pd.concat([source_quarantine(source, table=what), bad, refused], ignore_index=True)
    with quarantine_lock(settings.quarantine_folder):
        erased = Suppressions.of(settings).everybody()
        kept_rows = without_erased(quarantined, erased=erased, keys_of_id=door.keys_of_id)
        files = write_quarantine(
            [kept_rows], folder=settings.quarantine_folder, now=now, keyring=door.keyring
        )
    if what == "users":
        patches = [door.user(each) for each in patches]
    sequence, fallen = store.log.end(), 0
    for start in range(0, len(patches), PUT_ROWS):
        stored = store.put(patches[start : start + PUT_ROWS], now=now)
        sequence, fallen = stored.sequence, fallen + stored.refused
    reasons = Counter(str(reason).split(":", 1)[0] for reason in quarantined["reason"])
    shown = quarantined.head(SHOWN)[["row", "reason"]].to_dict("records")
    return UploadReport(
        rows_in=source.row_count,
        accepted=len(patches) - fallen,
        quarantined=len(quarantined),
        suppressed=fallen,
        reasons=dict(reasons),
        rejected=[{"row": int(each["row"]), "reason": str(each["reason"])} for each in shown],
        lost_values=lost,
        quarantine_files=[file.name for file in files],
        sequence=sequence,
    )


def _require_few_rows(path: Path) -> None:
    """A small Parquet file can unfold to any size: it says how many rows it has."""
    if path.suffix not in (".parquet", ".pq"):
        return
    try:
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError):
        return  # reading says what is wrong
    if rows > MOST_ROWS:
        raise UsageError(
            f"{path.name} has {rows:,} rows, an upload may have {MOST_ROWS:,}",
            remedy="send it in parts, or use `tailorbird ingest`",
        )


def _patches(rows: pd.DataFrame, what: What) -> tuple[list[Patch], pd.DataFrame]:
    told = list(_told(rows))
    patches, refused = parted([each for _, each in told], of=ItemPatch if what == "items" else UserPatch)
    lines = [
        (what, told[each.index][0], each.reason, orjson.dumps(told[each.index][1], default=str).decode())
        for each in refused
    ]
    return patches, pd.DataFrame(lines, columns=list(COLUMNS))


def _told(rows: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, and what it says by the names of the columns."""
    columns = {name: rows[name].tolist() for name in rows.columns if name != DELETED}
    for place, row in enumerate(rows.index.tolist()):
        said = {}
        for name, values in columns.items():
            value = values[place]
            if name == "categories":
                value = strings_of(value) or None
            elif name == "attributes" and isinstance(value, str):
                value = orjson.loads(value)
            if value is None or (isinstance(value, float) and value != value):
                continue
            said[name] = value if isinstance(value, str | float | int | list | dict) else str(value)
        yield int(row), said

"""The quarantine: every row that was not accepted, with its table, its place, the reason and the raw row.

A row of events or users may hold anything of a person: it is sealed, and its reason is kept without the value.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd

from tailorbird.errors import TailorbirdError
from tailorbird.ingest.files import Source
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.erasure.mentions import KeysOfId, mentioned
from tailorbird.privacy.keys.keyring import Keyring
from tailorbird.privacy.keys.sealing import SealError, seal, unseal

COLUMNS = ("table", "row", "reason", "raw")
_OPEN = "items"
"""The table whose rows say nothing of a person."""
_PURPOSE = "quarantine"


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


def without_erased(rows: pd.DataFrame, *, erased: AbstractSet[str], keys_of_id: KeysOfId) -> pd.DataFrame:
    """The rows that mention nobody who was erased (person keys): of them nothing is kept, refused rows neither."""
    if not erased or rows.empty:
        return rows
    whose = mentioned(rows["raw"].tolist(), people=erased, keys_of_id=keys_of_id)
    return rows[[not each for each in whose]]


def write_quarantine(
    tables: Sequence[pd.DataFrame], *, folder: Path, now: float, keyring: Keyring
) -> list[Path]:
    """Write one Parquet file a table that has rows; the same rows give the same file, so repeating adds nothing."""
    written = []
    for frame in tables:
        if frame.empty:
            continue
        rows = frame[list(COLUMNS)].astype({"row": "int64"})
        content = pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
        # Keyed: who has the folder alone cannot try whether a guessed row is among the refused.
        digest = hmac.new(keyring.pseudonyms, b"quarantine\0" + content, hashlib.sha256).hexdigest()
        path = folder / f"{rows['table'].iloc[0]}-{digest[:16]}.parquet"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(".tmp")
            _sealed(rows, keyring).assign(quarantined_at=datetime.fromtimestamp(now, UTC)).to_parquet(
                staged, index=False
            )
            staged.replace(path)
        written.append(path)
    return written


@contextmanager
def quarantine_lock(folder: Path) -> Iterator[None]:
    """Held by who writes to the quarantine, from the look at who was erased on, and by who erases there."""
    with alone(folder / ".lock"):
        yield


def read_quarantine(path: Path, *, keyring: Keyring) -> pd.DataFrame:
    """The rows of a file as they came, with their whole reasons. Raises TailorbirdError where another key sealed them."""
    rows = pd.read_parquet(path)
    sealed = rows["table"] != _OPEN
    try:
        opened = [
            orjson.loads(unseal(keyring.quarantine, b64decode(raw), purpose=_PURPOSE))
            for raw in rows.loc[sealed, "raw"]
        ]
    except SealError as error:
        raise TailorbirdError(
            f"{path} was sealed by another workspace, or under another master key",
            remedy="name the workspace that wrote it: --workspace NAME; where it is that one, give its master key",
        ) from error
    rows.loc[sealed, "reason"] = [each["reason"] for each in opened]
    rows.loc[sealed, "raw"] = [each["raw"] for each in opened]
    return rows


def _sealed(rows: pd.DataFrame, keyring: Keyring) -> pd.DataFrame:
    """Rows as they are kept: items as they came, others sealed with the kind of their first reason beside them."""
    personal = rows["table"] != _OPEN
    raw = [
        b64encode(
            seal(keyring.quarantine, orjson.dumps({"reason": reason, "raw": text}), purpose=_PURPOSE)
        ).decode()
        for reason, text in zip(rows.loc[personal, "reason"], rows.loc[personal, "raw"], strict=True)
    ]
    kept = rows.copy()
    kept.loc[personal, "raw"] = raw
    kept.loc[personal, "reason"] = rows.loc[personal, "reason"].str.split(":").str[0]
    return kept

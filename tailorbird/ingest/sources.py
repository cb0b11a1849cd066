"""Reads a data set through its mapping: events with SCHEMA's columns, the catalogue and the users."""

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import UsageError
from tailorbird.events.rows import user_keys
from tailorbird.events.schema import SCHEMA
from tailorbird.ingest.descriptions import cleaned, derived_rows, described_rows, evaluated
from tailorbird.ingest.files import Source, read_source, remedy_of_absent
from tailorbird.ingest.mapping import Mapping, TableMapping
from tailorbird.ingest.records import unfolded
from tailorbird.ingest.values import json_texts, numbers, texts, times

ORDER_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Where the synthetic clock of data without times starts: one second per position."""

_TEXT_COLUMNS = (
    "message_id",
    "type",
    "user_id",
    "anonymous_id",
    "session_id",
    "item_id",
    "recommendation_id",
)
_IDENTITY = ("type", "user_id", "anonymous_id", "session_id", "item_id", "value", "event_time", "properties")


@dataclass(frozen=True)
class Tables:
    """A data set as it was read, before validation.

    ``events`` has SCHEMA's columns, one row for each row of its source and in its order. A column of clean data has its
    schema type; one that holds a value that does not fit keeps all values as found, for validation to name them.
    ``ordered_only`` says that times are synthetic. ``sources`` are the raw tables by ``events``, ``items``, ``users``; ``lost_values`` counts, by table and column, the values of items
    and users that said nothing (a price that is no number). ``repeated`` are the rows of events without ids of their own that are
    equal to one before them in every column.
    """

    events: pd.DataFrame
    items: Catalog
    users: Users
    ordered_only: bool
    has_item_table: bool = False
    items_read: pd.DataFrame = field(default_factory=pd.DataFrame)
    users_read: pd.DataFrame = field(default_factory=pd.DataFrame)
    sources: MappingType[str, Source] = field(default_factory=dict)
    lost_values: MappingType[str, MappingType[str, int]] = field(default_factory=dict)
    repeated: pd.Index = field(default_factory=lambda: pd.Index([]))


def read_tables(
    mapping: Mapping,
    *,
    path: Path | None = None,
    events: Path | None = None,
    items: Path | None = None,
    users: Path | None = None,
    tie_seed: int | None = None,
) -> Tables:
    """Read the files given, or those that ``mapping`` names: in the folder ``path``, else in the mapping's own.

    Events of one user at one instant keep the order of the file; with ``tie_seed`` their order is drawn. Files are often
    sorted by item id, and a model that sees the order of equal instants then learns to count upwards.

    Raises:
        UsageError: A file or a column that the mapping needs is not there.
        TailorbirdError: A file is half written or damaged.
    """
    if path is not None and not path.is_dir():
        raise UsageError(
            f"no folder {path}", remedy="--path wants the folder that holds the data set's files"
        )
    path = path or mapping.folder
    source = read_source(
        _file(mapping.events, given=events, path=path, what="events"), delimiter=mapping.events.delimiter
    )
    if tie_seed is not None:
        mixed = source.frame.sample(frac=1.0, random_state=tie_seed)
        lines = source.lines[mixed.index] if len(source.lines) == len(mixed) else source.lines[:0]
        source = replace(source, frame=mixed.reset_index(drop=True), lines=lines)
    places = None
    if mapping.events.each:
        rows, places = unfolded(source.frame, mapping.events.each)
        source = replace(source, frame=rows, lines=source.lines[np.cumsum(places == 0) - 1])
    sources = {"events": source}
    frame, repeated = _events(source, mapping, places=places)
    lost, described = {}, {}
    for what, table, given in (("items", mapping.items, items), ("users", mapping.users, users)):
        if table is not None and table.from_events and given is None:
            rows = derived_rows(what, table, raw=source.frame, types=frame["type"])
        elif file := _optional_file(table, given=given, path=path):
            sources[what] = read_source(file, delimiter=table.delimiter if table else "")
            rows = described_rows(what, table, sources[what])
        else:
            rows = pd.DataFrame()
        described[what], lost[what] = cleaned(rows, what=what)
    item_rows, user_rows = described["items"], described["users"]
    if item_rows.empty and "item_id" not in item_rows:
        item_rows = pd.DataFrame({"item_id": frame["item_id"].dropna().unique()}, dtype=object)
    if "user_id" not in user_rows:
        user_rows = pd.DataFrame({"user_id": []}, dtype=object)
    return Tables(
        events=frame,
        items=Catalog.from_frame(item_rows.dropna(subset=["item_id"])),
        users=Users.from_frame(user_rows.dropna(subset=["user_id"])),
        ordered_only=mapping.ordered_only,
        has_item_table="items" in sources,
        items_read=item_rows,
        users_read=user_rows,
        sources=sources,
        lost_values=lost,
        repeated=repeated,
    )


def file_paths(
    mapping: Mapping, *, path: Path | None, events: Path | None, items: Path | None, users: Path | None
) -> list[Path]:
    """The files that :func:`read_tables` would read."""
    path = path or mapping.folder
    wanted = [(mapping.events, events), (mapping.items, items), (mapping.users, users)]
    found = [_optional_file(table, given=given, path=path) for table, given in wanted]
    return [file for file in found if file is not None]


def _events(
    source: Source, mapping: Mapping, *, places: np.ndarray | None = None
) -> tuple[pd.DataFrame, pd.Index]:
    """The events, and which rows of them are equal to one before, where no id tells them apart."""
    raw = source.frame
    columns = evaluated(raw, mapping.events, allowed=SCHEMA.names)
    for needed in (("type",), ("event_time",), ("user_id", "anonymous_id")):
        if not any(name in columns for name in needed):
            raise UsageError(
                f"{source.path.name if source.path else 'the source'} has no column {' or '.join(needed)}; "
                f"it has {', '.join(map(str, raw.columns))}",
                remedy=remedy_of_absent(
                    raw.columns, otherwise="say in a mapping file how it is made: --mapping FILE"
                ),
            )
    events = pd.DataFrame(
        {name: columns.get(name, pd.Series(None, index=raw.index, dtype=object)) for name in SCHEMA.names}
    )
    for name in _TEXT_COLUMNS:
        events[name] = texts(events[name])
    for name in ("position", "value"):
        events[name] = numbers(events[name])
    for name in ("context", "properties"):
        events[name] = json_texts(events[name])
    if mapping.ordered_only:
        events["event_time"] = _clock(events["event_time"], events, by_row=_by_row(mapping))
    else:
        events["event_time"] = times(events["event_time"])
    repeated = pd.Index([])
    if "message_id" not in columns:
        hashes = _content_hashes(events)
        repeated = _repeated(events, hashes)
        events["message_id"] = _content_ids(hashes, name=mapping.name)
    elif places is not None:
        events["message_id"] = _numbered(events["message_id"], places)
    events["event_time"] = without_ties(events["event_time"], user_keys(events))
    received = times(events["received_time"]) if "received_time" in columns else events["event_time"]
    events["received_time"] = received.where(received.notna(), events["event_time"])
    return events, repeated


def without_ties(instants: pd.Series, keys: pd.Series) -> pd.Series:
    """Move equal instants of one user apart by 1 µs each, in the order of the rows, so that "before" has one meaning."""
    if not isinstance(instants.dtype, pd.DatetimeTZDtype):
        fit = _fitting(instants)
        moved = without_ties(fit, keys)
        return moved.astype(object).where(fit.notna(), instants)
    valid = instants.notna()
    micro = instants[valid].dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    codes = pd.factorize(keys[valid])[0]
    order = np.lexsort((micro, codes))  # stable: equal instants keep the order of the rows
    sorted_codes = codes[order]
    place = np.arange(len(order))
    # t'_i = max over j <= i of t_j + (i - j): the least times that increase strictly and keep the order.
    lifted = pd.Series(micro[order] - place).groupby(sorted_codes).cummax().to_numpy() + place
    result = np.empty_like(micro)
    result[order] = lifted
    instants = instants.copy()
    instants[valid] = pd.to_datetime(result, unit="us", utc=True).astype("datetime64[us, UTC]")
    return instants


def _clock(positions: pd.Series, events: pd.DataFrame, *, by_row: bool) -> pd.Series:
    if by_row:
        positions = events.groupby(user_keys(events), sort=False).cumcount().astype(float)
    seconds = pd.to_numeric(positions, errors="coerce")
    clock = times(seconds + ORDER_EPOCH.timestamp(), unit="s")
    lost = seconds.isna() & positions.notna()
    return clock.astype(object).where(~lost, positions) if lost.any() else clock


def _by_row(mapping: Mapping) -> bool:
    return mapping.events.columns["event_time"].value == "row"


def _content_hashes(events: pd.DataFrame) -> pd.Series:
    """A number that follows from the row's content; what other rows hold does not change it."""
    content, hashes_of_unfit = {}, pd.Series(np.uint64(0), index=events.index)
    for column in _IDENTITY:
        values = events[column]
        if column not in ("value", "event_time"):
            content[column] = values.fillna("").astype(str)
            continue
        # One value that is no number or no time leaves a whole column as found; the ids of its good rows stay the same.
        fit = _fitting(values)
        unfit = values.notna() & fit.isna()
        content[column] = fit
        if unfit.any():
            hashes_of_unfit[unfit] ^= pd.util.hash_pandas_object(values[unfit].astype(str), index=False)
    return pd.util.hash_pandas_object(pd.DataFrame(content), index=False) ^ hashes_of_unfit


def _content_ids(hashes: pd.Series, *, name: str) -> pd.Series:
    """An id that follows from the row's content, so that ingesting a file again, or a longer one, repeats the ids.

    Equal rows are told apart by their number of occurrence.
    """
    nth = hashes.groupby(hashes).cumcount()
    ids = [f"{name}-{code:016x}" + (f"-{n}" if n else "") for code, n in zip(hashes, nth, strict=True)]
    return pd.Series(ids, index=hashes.index, dtype=object)


def _repeated(events: pd.DataFrame, hashes: pd.Series) -> pd.Index:
    alike = events[hashes.duplicated(keep=False)]  # few: the others are not looked at again
    return alike.index[alike.astype(str).duplicated()]


def _numbered(ids: pd.Series, places: np.ndarray) -> pd.Series:
    """The elements of one record's list have its id and their number: ``m1``, ``m1/2``, ``m1/3``."""
    further = pd.Series(
        [f"{name}/{place + 1}" for name, place in zip(ids, places, strict=True)], index=ids.index
    )
    return ids.where((places == 0) | ids.isna(), further)


def _fitting(values: pd.Series) -> pd.Series:
    """The values of ``value`` or ``event_time`` in their schema's type; missing where one does not fit."""
    if values.dtype != object:
        return values
    if values.name == "value":
        return pd.to_numeric(values, errors="coerce").astype(float)
    return pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce").astype("datetime64[us, UTC]")


def _file(table: TableMapping, *, given: Path | None, path: Path | None, what: str) -> Path:
    file = _optional_file(table, given=given, path=path)
    if file is None:
        raise UsageError(
            f"no {what} given",
            remedy=f"give --{what} FILE, or --path with the folder of the data set; a mapping may name them: file = …",
        )
    return file


def _optional_file(table: TableMapping | None, *, given: Path | None, path: Path | None) -> Path | None:
    if given is not None:
        return given
    if table is None or not table.file:
        return None
    if path is None and not Path(table.file).is_absolute():
        return None
    file = (path or Path()) / table.file
    # The same table in another format is as good: events.csv for events.parquet.
    if not file.exists():
        others = [other for other in sorted(file.parent.glob(f"{file.stem}.*")) if other.is_file()]
        file = others[0] if others else file
    return file

"""Offline rows: profiles at the instants that training asked for, made once and kept as Parquet that Feast joins.

A row of the past holds what had been received by its instant. What is stored later cannot change it, unless it says that
it was received earlier (an import): then the rows that it concerns are made anew.
"""

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feature_repo.definitions import USER_KEY
from feature_repo.layout import USER_VIEW, layout_digest, offline_folder
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import CONSENT, MOVE
from tailorbird.events.valence import RatingScale
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.purposes import bounds_in, scan_for
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.features.profile.replay import ReplayProfiles, Timelines
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import STORED_USER, Dtype
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.people.person import keys_of
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.scan import scan

ROWS_AT_ONCE = 16_384
MOST_PARTS = 16
"""More files than this are joined into one."""

_CLOCK = pa.timestamp("us", tz="UTC")
_TYPES: dict[Dtype, pa.DataType] = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "float64s": pa.list_(pa.float64()),
    "int64s": pa.list_(pa.int64()),
}
SCHEMA = pa.schema(
    [
        (USER_KEY, pa.string()),
        ("event_timestamp", _CLOCK),  # the instant that the row stands for
        ("created_timestamp", _CLOCK),
        *((feature.name, _TYPES[feature.dtype]) for feature in STORED_USER),
    ]
)


class OfflineRows:
    """The rows of one workspace. Two processes that make rows take turns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = offline_folder(settings.feature_folder, USER_VIEW)
        self._mark = self.folder / "mark.json"

    def __len__(self) -> int:
        return sum(pq.read_metadata(part).num_rows for part in self._parts())

    def ensure(self, user_keys: Sequence[str], micros: np.ndarray) -> int:
        """Make the rows that are missing of users at instants (epoch microseconds); how many were made.

        One pass over the stream makes all of them: ask for many at once.
        """
        with alone(self.folder / ".lock"):
            self._refresh()
            asked = pd.MultiIndex.from_arrays([np.asarray(user_keys, object), np.asarray(micros, np.int64)])
            missing = asked.unique().difference(self._index(), sort=True)
            if not len(missing):
                return 0
            names = missing.get_level_values(0).astype(str).to_numpy(object)
            instants = missing.get_level_values(1).to_numpy(np.int64)
            profiles = self._replay(np.unique(names).tolist(), until=int(instants.max()))
            self._write(_tables(profiles, names, instants))
            return len(missing)

    def refresh(self) -> int:
        """Drop the rows that newly stored events would have changed; how many they were."""
        with alone(self.folder / ".lock"):
            return self._refresh()

    def forget(self, user_key: str) -> bool:
        """Drop the rows of one person; whether there were any."""
        return self.forget_all([user_key]) > 0

    def forget_all(self, user_keys: Collection[str]) -> int:
        """Drop the rows of people; how many they were."""
        theirs = pa.array(list(user_keys), pa.string())
        with alone(self.folder / ".lock"):
            for left in self.folder.glob(".*.tmp"):  # of one that was killed: nobody else is at work
                left.unlink()
            return self._keep(lambda table: pc.invert(pc.is_in(table[USER_KEY], theirs)))

    def count_of(self, user_keys: Collection[str]) -> Counter[str]:
        """How many rows there are of each of some people."""
        theirs = ds.field(USER_KEY).isin(pa.array(list(user_keys), pa.string()))
        found: Counter[str] = Counter()
        for part in self._parts():
            found.update(pq.read_table(part, columns=[USER_KEY], filters=theirs)[USER_KEY].to_pylist())
        return found

    def instants_of(self, user_keys: Collection[str]) -> Iterator[tuple[str, float]]:
        """Of which people at which instants (epoch seconds) there are rows."""
        theirs = ds.field(USER_KEY).isin(pa.array(list(user_keys), pa.string()))
        for part in self._parts():
            table = pq.read_table(part, columns=[USER_KEY, "event_timestamp"], filters=theirs)
            micros = table["event_timestamp"].cast(pa.int64()).to_pylist()
            yield from zip(table[USER_KEY].to_pylist(), (each / 1e6 for each in micros), strict=True)

    def count_before(self, micros: float) -> int:
        """How many rows stand for instants before this one (epoch microseconds)."""
        columns = ["event_timestamp"]
        return sum(
            int((pq.read_table(part, columns=columns)[columns[0]].cast(pa.int64()).to_numpy() < micros).sum())
            for part in self._parts()
        )

    def drop_before(self, micros: float) -> int:
        """Drop the rows that stand for instants before this one (epoch microseconds); how many they were."""
        with alone(self.folder / ".lock"):
            return self._keep(lambda table: table["event_timestamp"].cast(pa.int64()).to_numpy() >= micros)

    def clear(self) -> None:
        """Drop every row."""
        with alone(self.folder / ".lock"):
            self._clear()

    def _refresh(self) -> int:
        with open_events(self._settings) as events:
            end = events.end()
        layout, position = self._read_mark()
        # Other meaning, age or basis, or another log than before.
        if layout != self._made_by() or not end.reaches(position):
            count = len(self)
            self._clear()
            self._write_mark(end)
            return count
        if position == end:
            return 0
        dropped = self._drop_changed(position, end) if self._parts() else 0
        self._write_mark(end)
        return dropped

    def _drop_changed(self, after: Position, end: Position) -> int:
        """Of people of whom events were stored past ``after``, drop the rows from the earliest reception on.

        Whoever said something on a purpose lost or got the past with it: all rows of theirs go.
        """
        earliest: dict[str, int] = dict.fromkeys(self._heard(after, end), np.iinfo(np.int64).min)
        for batch in scan(
            self._settings, columns=["user_key", "received_time", "type"], after=after, through=end
        ):
            batch = batch.filter(pc.not_equal(batch["type"], MOVE))
            received = batch["received_time"].cast(pa.int64()).to_numpy()
            first = pd.Series(received).groupby(batch["user_key"].to_numpy(zero_copy_only=False)).min()
            for name, instant in first.items():
                earliest[str(name)] = min(int(instant), earliest.get(str(name), int(instant)))

        def kept(table: pa.Table) -> np.ndarray:
            since = table[USER_KEY].to_pandas().map(earliest).fillna(np.inf).to_numpy(float)
            return table["event_timestamp"].cast(pa.int64()).to_numpy() < since

        return self._keep(kept)

    def _heard(self, after: Position, end: Position) -> set[str]:
        """The keys of everybody who consented or refused past ``after``."""
        said: set[str] = set()
        for batch in scan(self._settings, columns=["user_key"], types=[CONSENT], after=after, through=end):
            said.update(batch["user_key"].to_pylist())
        if not said:
            return said
        with open_events(self._settings) as events:
            return {key for keys in keys_of(events, said).values() for key in keys}

    def _replay(self, user_keys: list[str], *, until: int) -> ReplayProfiles:
        settings = self._settings
        catalog = Catalog.read_with_history(settings.catalog_folder)
        facts = ItemFacts.of(catalog, scale=RatingScale.parse(settings.rating_scale))
        batches = scan_for(
            settings,
            PERSONALIZATION,
            columns=EVENT_COLUMNS,
            users=user_keys,
            received_before=until / 1e6 + 1e-6,
        )
        timelines = Timelines.of((batch.to_pandas() for batch in batches), facts)
        return ReplayProfiles(timelines, facts, length=settings.history_length)

    def _index(self) -> pd.MultiIndex:
        parts = [pq.read_table(part, columns=[USER_KEY, "event_timestamp"]) for part in self._parts()]
        table = pa.concat_tables([SCHEMA.empty_table().select([USER_KEY, "event_timestamp"]), *parts])
        instants = table["event_timestamp"].cast(pa.int64()).to_numpy()
        return pd.MultiIndex.from_arrays([table[USER_KEY].to_pandas().to_numpy(object), instants])

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _write(self, tables: Iterable[pa.Table]) -> None:
        parts = self._parts()
        _write_part(self.folder, tables)
        if len(parts) >= MOST_PARTS:
            files = ds.dataset([str(part) for part in [*parts]], format="parquet", schema=SCHEMA)
            _write_part(self.folder, (pa.Table.from_batches([batch]) for batch in files.to_batches()))
            for part in parts:
                part.unlink()

    def _keep(self, kept) -> int:  # type: ignore[no-untyped-def]
        """Rewrite the parts without the rows that ``kept`` (of a table) says no to; how many went."""
        dropped = 0
        for part in self._parts():
            mask = np.asarray(kept(pq.read_table(part, columns=[USER_KEY, "event_timestamp"])), bool)
            if mask.all():
                continue
            dropped += int((~mask).sum())
            if mask.any():
                _write_part(self.folder, [pq.read_table(part).filter(pa.array(mask))])
            part.unlink()
        return dropped

    def _clear(self) -> None:
        for part in self._parts():
            part.unlink()
        self._mark.unlink(missing_ok=True)

    def _made_by(self) -> str:
        """Changes when rows would be others of the same log: what they mean, what is too old for them, a basis that is taken back."""
        layout, bounds = layout_digest(self._settings), bounds_in(self._settings, PERSONALIZATION)
        return layout if bounds == (ALWAYS[0], ALWAYS[0]) else f"{layout}/{bounds[0]}/{bounds[1]}"

    def _read_mark(self) -> tuple[str, Position]:
        if not self._mark.exists():
            return "", BEGINNING
        mark = json.loads(self._mark.read_text(encoding="utf-8"))
        return mark["layout"], Position.from_text(mark["position"])

    def _write_mark(self, position: Position) -> None:
        staged = self._mark.with_suffix(".tmp")
        staged.write_text(
            json.dumps({"layout": self._made_by(), "position": position.to_text()}),
            encoding="utf-8",
        )
        staged.replace(self._mark)


def _tables(profiles: ReplayProfiles, names: np.ndarray, instants: np.ndarray) -> Iterable[pa.Table]:
    for start in range(0, len(names), ROWS_AT_ONCE):
        which = slice(start, start + ROWS_AT_ONCE)
        # In doubles a microsecond of today is exact.
        yield _table(profiles.parts_at(names[which].tolist(), instants[which] / 1e6), instants[which])


def _table(states: Sequence[UserState], instants: np.ndarray) -> pa.Table:
    rows = [state.to_row() for state in states]
    columns = [
        pa.array([state.user_key for state in states], pa.string()),
        pa.array(instants).cast(_CLOCK),
        pa.array([state.total for state in states], pa.int64()).cast(_CLOCK),  # as online: the revision
        *(pa.array([row[kind.name] for row in rows], kind.type) for kind in list(SCHEMA)[3:]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _write_part(folder: Path, tables: Iterable[pa.Table]) -> None:
    """One more file, whole or not at all."""
    name = f"{uuid.uuid4().hex}.parquet"
    staged = folder / f".{name}.tmp"
    # Neighbouring histories are nearly equal: zstd's window turns a gigabyte of them into a few dozen megabytes.
    try:
        with pq.ParquetWriter(
            staged, SCHEMA, compression="zstd", compression_level=1, use_dictionary=[USER_KEY]
        ) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=ROWS_AT_ONCE)
        staged.replace(folder / name)
    finally:
        staged.unlink(missing_ok=True)

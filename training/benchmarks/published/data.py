"""The benchmark's data sets: read through their mappings, put on one clock, cut by their protocols."""

import datetime as dt
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import UsageError
from tailorbird.evaluation.protocols import (
    Protocol,
    Split,
    global_time_split,
    leave_one_out,
    newest_sessions,
    retail,
    sessions,
)
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.rows import user_keys
from tailorbird.events.valence import presences
from tailorbird.events.validation import validate
from tailorbird.ingest.mapping import load_mapping
from tailorbird.ingest.sources import Tables, read_tables
from tailorbird.plumbing.terminal import say
from training.benchmarks.published.clock import ending_together, one_after_another
from training.benchmarks.published.prefixes import parts_of_sessions, with_test_sessions
from training.data.dataset import epoch_seconds, interactions_of

PROTOCOLS = ("gts", "loo", "retail", "sessions")
PUBLISHED: Mapping[str, str] = {
    "movielens-1m": "gts",
    "amazon-beauty": "loo",
    "diginetica": "sessions",
    "online-retail": "retail",
}
"""Data sets that come with a mapping, and the protocol each is usually measured by."""

RETAIL_VALIDATE_FROM = dt.datetime(2011, 10, 9, tzinfo=dt.UTC)
RETAIL_TEST_FROM = dt.datetime(2011, 11, 9, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Question:
    """What to measure: ``protocol`` with its ``targets``, on ``cold`` items only or not, which the model may hear of later."""

    protocol: str
    targets: str = "successive"
    cold: bool = False
    tie_seed: int | None = None  # draws the order of one user's events at one instant; None keeps the file's
    told_later: bool = False


@dataclass(frozen=True)
class BenchmarkData:
    """A data set ready to be measured.

    ``events`` (columns of the event schema and ``user_key``) are sorted by (user, time); ``rows`` (n,) is
    the row of ``events`` that each of ``interactions`` came from. ``parts`` holds what the publisher fixed:
    ``rows`` (n,) or ``users`` (n_users,), 0 train, 1 validation, 2 test, and ``asked`` (n,) bool.
    """

    name: str
    catalog: Catalog
    users: Users
    events: pd.DataFrame
    interactions: Interactions
    rows: np.ndarray
    ordered_only: bool
    parts: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        name: str,
        tables: Tables,
        *,
        published: str = "",
        asked: pd.Series | None = None,
    ) -> "BenchmarkData":
        """Sort events by (user, time) and number what speaks for an item.

        ``published`` is an event property that holds train, valid or test; ``asked`` (per event) names the
        events that are targets.
        """
        events = tables.events.assign(user_key=user_keys(tables.events))
        if asked is not None:
            events = events.assign(asked=asked.to_numpy())
        events = events.sort_values(["user_key", "event_time"], kind="stable", ignore_index=True)
        speaks = (presences(events["type"]) > 0) & events["item_id"].isin(tables.items.item_ids)
        rows = np.flatnonzero(speaks)
        parts: dict[str, np.ndarray] = {}
        if published:
            parts["rows"] = _published_parts(events["properties"][rows], key=published)
        if asked is not None:
            parts["asked"] = events.pop("asked").to_numpy(bool)[rows]
        return cls(
            name=name,
            catalog=tables.items,
            users=tables.users,
            events=events,
            interactions=interactions_of(
                EventColumns.of_frame(events.iloc[rows]), tables.items, taste="presence"
            ),
            rows=rows,
            ordered_only=tables.ordered_only,
            parts=parts,
        )

    def known_events(self, split: Split) -> pd.DataFrame:
        """All events that exist in ``split``: what live profiles are made of."""
        return self._events(split.visible, until=float(split.cases.known.times.max(initial=0.0)))

    def fit_events(self, split: Split) -> pd.DataFrame:
        """The events that a model may learn from, those that speak for no item included."""
        mask = np.zeros(len(split.visible), bool)
        mask[np.flatnonzero(split.visible)[split.fit_mask]] = True
        return self._events(mask, until=float(split.fit.times.max(initial=0.0)))

    def _events(self, mask: np.ndarray, *, until: float) -> pd.DataFrame:
        keep = epoch_seconds(self.events["event_time"]) <= until
        keep[self.rows] = mask
        return self.events[keep].reset_index(drop=True)


def read_published(name: str, question: Question, *, path: Path) -> BenchmarkData:
    """Read one of the published data sets in the form that ``question`` needs.

    Raises:
        UsageError: the data set has no mapping, or the folder or a file is absent.
    """
    if name not in PUBLISHED:
        raise UsageError(
            f"unknown data set {name!r}", remedy=f"choose shop, {', '.join(PUBLISHED)}, or give --events FILE"
        )
    if name == "movielens-1m" and question.protocol == "loo":
        tables = read_tables(load_mapping("movielens-1m-sequences"), path=path)
        return BenchmarkData.of(name, ending_together(tables), published="split")
    tables = read_tables(load_mapping(name), path=path, tie_seed=question.tie_seed)
    if name == "diginetica":
        tables, asked = with_test_sessions(one_after_another(tables), path=path / "test.parquet")
        data = BenchmarkData.of(name, tables, asked=asked)
        return replace(data, parts={**data.parts, "users": parts_of_sessions(data.interactions)})
    return BenchmarkData.of(name, ending_together(tables) if tables.ordered_only else tables)


def read_own(
    name: str,
    *,
    mapping: str,
    path: Path | None = None,
    events: Path | None = None,
    items: Path | None = None,
    users: Path | None = None,
    now: float,
) -> BenchmarkData:
    """Read anybody's files through a mapping; rows that ingest would quarantine at ``now`` are left out, and said so."""
    chosen = load_mapping(mapping)
    tables = read_tables(chosen, path=path, events=events, items=items, users=users)
    checked = validate(
        tables.events,
        catalog_ids=set(tables.items.item_ids),
        now=now,
        max_events_per_minute=chosen.max_events_per_minute,
    )
    if len(checked.quarantined):
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in checked.reasons.items())
        say(f"left out {len(checked.quarantined):,} of {len(tables.events):,} rows: {reasons}")
    tables = replace(tables, events=checked.accepted.reset_index(drop=True))
    return BenchmarkData.of(name, ending_together(tables) if tables.ordered_only else tables)


def cut(data: BenchmarkData, question: Question) -> Protocol:
    """Apply the protocol of ``question``.

    Raises:
        UsageError: the protocol does not fit the data.
    """
    world = data.interactions
    if data.ordered_only and question.protocol in ("gts", "retail"):
        raise UsageError(
            f"{data.name} has an order but no times, so protocol {question.protocol} has no meaning",
            remedy="choose --protocol loo or sessions",
        )
    if question.protocol == "gts":
        cold = cold_items(data.catalog) if question.cold else None
        return global_time_split(world, targets=question.targets, cold=cold, asked=data.parts.get("asked"))
    if question.protocol == "loo":
        return leave_one_out(world, part=data.parts.get("rows"))
    if question.protocol == "retail":
        return retail(
            world, validate_from=RETAIL_VALIDATE_FROM.timestamp(), test_from=RETAIL_TEST_FROM.timestamp()
        )
    if question.protocol == "sessions":
        part = data.parts.get("users")
        return sessions(
            world, part=newest_sessions(world) if part is None else part, asked=data.parts.get("asked")
        )
    raise UsageError(
        f"unknown protocol {question.protocol!r}", remedy=f"choose one of {', '.join(PROTOCOLS)}"
    )


def cold_items(catalog: Catalog) -> np.ndarray:
    """(n_items,) bool: a fixed tenth of the catalogue, the ids that end in 3 (or whose checksum does)."""
    numbers = [int(i) if i.isdecimal() else zlib.crc32(i.encode()) for i in catalog.item_ids]
    return np.array([number % 10 == 3 for number in numbers])


def _published_parts(properties: pd.Series, *, key: str) -> np.ndarray:
    names = {"train": 0, "valid": 1, "test": 2}
    codes, distinct = pd.factorize(properties)
    return np.array([names[json.loads(text)[key]] for text in distinct], np.int8)[codes]

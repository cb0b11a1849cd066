"""Brings a data set into the workspace: validate, quarantine, catalogue, event log, compaction. Safe to repeat."""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.patches import patched_items, patched_users, write_patched, write_patched_users
from tailorbird.catalog.store import writing_tables
from tailorbird.errors import UsageError
from tailorbird.events.anomalies import Anomaly, find_anomalies
from tailorbird.events.devices import device_words
from tailorbird.events.rows import EVENTS, table_of_frame
from tailorbird.events.schema import IDENTIFY, LOGOUT, Event
from tailorbird.events.validation import Validated, validate
from tailorbird.features.demographics import NOBODY, demographics_of
from tailorbird.ingest.mapping import Mapping
from tailorbird.ingest.quarantine import (
    parted_table,
    quarantine_lock,
    source_quarantine,
    without_erased,
    write_quarantine,
)
from tailorbird.ingest.refusals import hints
from tailorbird.ingest.sources import Tables
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.privacy.policy.policy import POLICY_FILE, Policy, read_policy
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream, open_events
from tailorbird.streams.position import BEGINNING, Position


@dataclass(frozen=True)
class IngestReport:
    """What happened to every row; ``rows_in`` = ``accepted`` + ``quarantined``, of each table."""

    mapping: str
    workspace: str
    rows_in: int
    accepted: int
    quarantined: int
    stored: int
    already_stored: int
    reasons: dict[str, int]
    items_in: int
    items_quarantined: int
    items: int
    users_in: int
    users_quarantined: int
    users: int
    first_event: str
    last_event: str
    ordered_only: bool
    anomalies: list[Anomaly] = field(default_factory=list)
    quarantine_files: list[str] = field(default_factory=list)
    position: str = BEGINNING.to_text()
    skipped: bool = False
    suppressed: int = 0
    """Accepted events of people who were erased: not stored."""
    hints: dict[str, str] = field(default_factory=dict)
    """By reason, what such values look like and what was expected."""

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return asdict(self)


def ingest_tables(
    tables: Tables,
    mapping: Mapping,
    *,
    settings: Settings,
    now: float,
    on_stage: Callable[[str, int], object] = lambda name, rows: None,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> IngestReport:
    """Store a data set in the workspace of ``settings``.

    The catalogue is written first, then the quarantine, then the log: events in the log always have their items, and an
    interrupted run is finished by running it again. Two runs at once take turns.
    """
    _require_basis(mapping, read_policy(settings))
    with (
        alone(settings.folder / ".ingest.lock"),
        writing_tables(settings) as publish,
        closing(Door.of(settings)) as door,
    ):
        return _ingest(
            tables,
            mapping,
            settings=settings,
            door=door,
            now=now,
            publish=publish,
            on_stage=on_stage,
            on_rows=on_rows,
        )


def _require_basis(mapping: Mapping, policy: Policy) -> None:
    unknown = sorted(set(mapping.basis_purposes) - policy.purposes)
    if unknown:
        raise UsageError(
            f"mapping {mapping.name!r}: privacy.purposes: {unknown[0]!r} is no purpose",
            remedy=f"name some of {', '.join(sorted(policy.purposes))}, or declare it in {POLICY_FILE}, [purposes]",
        )
    if not (mapping.basis or policy.basis):
        raise UsageError(
            f"by which right these data are used is not said: neither by mapping {mapping.name!r} nor by the workspace",
            remedy=f"write [basis] with name and purposes into the workspace's {POLICY_FILE}, or basis and purposes under "
            "[privacy] of the mapping (docs/privacy.md)",
        )


def _ingest(
    tables: Tables,
    mapping: Mapping,
    *,
    settings: Settings,
    door: Door,
    now: float,
    publish: Callable[[], None],
    on_stage: Callable[[str, int], object],
    on_rows: Callable[[int], object],
) -> IngestReport:
    items_read, bad_items = parted_table(tables.items_read, key="item_id", table="items")
    users_read, bad_users = parted_table(tables.users_read, key="user_id", table="users")
    known = _known_catalog(settings)
    catalog = _patched_catalog(known, tables)
    known_users = Users.read_stored(settings.catalog_folder)
    told = tables.users_read.dropna(subset=["user_id"])
    users = patched_users(known_users, door.users(told, declared=mapping.declared))
    on_stage("validate", len(tables.events))
    source = tables.sources["events"]
    validated = validate(
        tables.events,
        catalog_ids=set(catalog.item_ids),
        now=now,
        max_events_per_minute=mapping.max_events_per_minute,
        raw=source.frame,
    )
    broken = {name: source_quarantine(found, table=name) for name, found in tables.sources.items()}
    events_out = pd.concat(
        [validated.quarantined.assign(table="events"), broken["events"]], ignore_index=True
    )
    bad_items = pd.concat([bad_items, broken.get("items", bad_items.head(0))], ignore_index=True)
    bad_users = pd.concat([bad_users, broken.get("users", bad_users.head(0))], ignore_index=True)
    write_patched(known or catalog, catalog, settings.catalog_folder, now=now)
    suppressions = Suppressions.of(settings)
    refuses = suppressions.refused
    write_patched_users(known_users, users, settings.catalog_folder, refuses=refuses)
    publish()
    with quarantine_lock(settings.quarantine_folder):
        erased = suppressions.everybody()
        files = write_quarantine(
            [
                without_erased(each, erased=erased, keys_of_id=door.keys_of_id)
                for each in (events_out, bad_items, bad_users)
            ],
            folder=settings.quarantine_folder,
            now=now,
            keyring=door.keyring,
        )
    on_stage("store", len(validated.accepted))
    basis = mapping.basis_purposes if mapping.basis else None
    people = demographics_of(users) if door.policy.rules else {}
    stored = door.frame(
        validated.accepted,
        declared=mapping.declared,
        basis=basis,
        told=lambda person: people.get(person, NOBODY),
    )
    # Under the names that are stored: a report may name a person.
    anomalies = find_anomalies(stored, catalog_ids=set(catalog.item_ids))
    with open_events(settings) as stream:
        table = table_of_frame(stored)
        appended = stream.append_table(table, on_rows=on_rows)
        logins = _of_devices(table)
        fallen = refuses({event.user_key for event in logins})
        stream.append(device_words([event for event in logins if event.user_key not in fallen]))
        on_stage("compact", 0)
        compact_stream(stream)
        position = stream.end()
    times = validated.accepted["event_time"]
    return IngestReport(
        mapping=mapping.name,
        workspace=settings.workspace,
        rows_in=source.row_count,
        accepted=len(validated.accepted),
        quarantined=len(events_out),
        stored=appended.stored,
        already_stored=appended.duplicates,
        suppressed=appended.refused,
        reasons=_reasons(validated, events_out),
        hints=hints(validated),
        items_in=len(items_read) + len(bad_items),
        items_quarantined=len(bad_items),
        items=len(catalog),
        users_in=len(users_read) + len(bad_users),
        users_quarantined=len(bad_users),
        users=len(users.users),
        first_event="" if times.empty else times.min().isoformat(),
        last_event="" if times.empty else times.max().isoformat(),
        ordered_only=tables.ordered_only,
        anomalies=[*anomalies, *_lost_values(tables), *_repeated_rows(tables, validated.accepted)],
        quarantine_files=[str(file) for file in files],
        position=position.to_text(),
    )


def _of_devices(table: pa.Table) -> list[Event]:
    said = table.filter(pc.is_in(table["type"], pa.array([IDENTIFY, LOGOUT])))
    return [EVENTS.from_row(row) for row in EVENTS.rows_of_table(said)]


def fingerprint(files: list[Path], mapping: Mapping) -> str:
    """Identity of what would be ingested: the mapping and the bytes of the files."""
    digest = hashlib.sha256(repr(mapping).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def earlier_report(settings: Settings, *, identity: str) -> IngestReport | None:
    """What ingesting exactly this again does, from the report of the run that did: nothing is stored.

    None where no run did, or where the workspace does not hold its outcome any more.
    """
    path = _report_path(settings, identity)
    if not path.exists() or not (settings.catalog_folder / "items.parquet").exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    values["anomalies"] = [Anomaly(**anomaly) for anomaly in values["anomalies"]]
    report = IngestReport(**{**values, "stored": 0, "already_stored": values["accepted"], "skipped": True})
    with open_events(settings) as stream:
        whole = stream.end().reaches(Position.from_text(report.position))
    return report if whole and "future time" not in report.reasons else None


def keep_report(report: IngestReport, settings: Settings, *, identity: str) -> None:
    """Remember that exactly this was ingested."""
    path = _report_path(settings, identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".tmp")
    staged.write_text(json.dumps(report.to_json(), indent=2), encoding="utf-8")
    staged.replace(path)


def _report_path(settings: Settings, identity: str) -> Path:
    return settings.folder / "ingested" / f"{identity[:32]}.json"


def _known_catalog(settings: Settings) -> Catalog | None:
    file = settings.catalog_folder / "items.parquet"
    return Catalog.read_stored(settings.catalog_folder) if file.exists() else None


def _patched_catalog(known: Catalog | None, tables: Tables) -> Catalog:
    """The workspace's items after the newly read ones; a row or a column that is absent changes nothing."""
    if known is None:
        return tables.items
    described = bool((known.items["title"] != "").any()) or bool(known.items["categories"].map(len).any())
    if not tables.has_item_table and tables.items_read.columns.tolist() == ["item_id"] and described:
        # Events alone do not add to a catalogue that came with its own table: an id it lacks is unknown.
        return known
    return patched_items(known, tables.items_read.dropna(subset=["item_id"]))


def _lost_values(tables: Tables) -> list[Anomaly]:
    return [
        Anomaly(
            "lost values",
            float(count),
            f"{count:,} {table} have a {column} that cannot be read; it counts as absent",
        )
        for table, columns in tables.lost_values.items()
        for column, count in columns.items()
    ]


def _repeated_rows(tables: Tables, accepted: pd.DataFrame) -> list[Anomaly]:
    rows = tables.repeated.intersection(accepted.index)
    if rows.empty:
        return []
    lines, row = tables.sources["events"].lines, int(rows[0])
    place = f"line {lines[row]}" if row < len(lines) else f"row {row + 1}"
    return [
        Anomaly(
            "repeated rows",
            float(len(rows)),
            f"rows equal to one before them in all that is mapped, time included: {len(rows):,}, such as {place} of the file; each "
            "counts as an event of its own: remove them, or map a message_id",
        )
    ]


def _reasons(validated: Validated, events_out: pd.DataFrame) -> dict[str, int]:
    reasons = dict(validated.reasons)
    extra = len(events_out) - len(validated.quarantined)
    return {**reasons, "broken line": extra} if extra else reasons

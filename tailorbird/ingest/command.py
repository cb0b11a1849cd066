"""``tailorbird ingest``: validate a data set and bring it into the workspace."""

import time
from pathlib import Path

import click

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.ingest.mapping import Mapping, builtin_mappings, identity_mapping, load_mapping
from tailorbird.ingest.sources import file_paths, read_tables
from tailorbird.ingest.workspace import (
    IngestReport,
    earlier_report,
    fingerprint,
    ingest_tables,
    keep_report,
)
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.settings import load_settings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--data", "name", help="A data set with a built-in mapping: " + ", ".join(builtin_mappings()) + "."
)
@click.option(
    "--path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the data set's files.  [default: the folder of --mapping]",
)
@click.option("--events", type=_FILE, help="Events as Parquet, CSV or JSONL.")
@click.option("--items", type=_FILE, help="Items, in the same formats.")
@click.option("--users", type=_FILE, help="Users, in the same formats.")
@click.option(
    "--mapping",
    "mapping_file",
    help="TOML file that says which columns make an event, item or user, and which files hold them; or a built-in name.",
)
@click.option("--workspace", help="Workspace to fill (default: TAILORBIRD_WORKSPACE or shop).")
@click.option(
    "--again", is_flag=True, help="Read and validate even if exactly these files were ingested before."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def ingest(
    name: str | None,
    path: Path | None,
    events: Path | None,
    items: Path | None,
    users: Path | None,
    mapping_file: str | None,
    workspace: str | None,
    again: bool,
    as_json: bool,
) -> None:
    r"""Validate events, items and users into the workspace.

    Every row is either accepted or written to the quarantine with its reason; ingesting the same files again stores
    nothing twice. Without a mapping, columns must already have the schema's names. --events, --items and --users go
    before the files that a mapping names.

    \b
    Examples:
        tailorbird ingest --data shop --path ./my-shop
        tailorbird ingest --data movielens-1m --path ~/data/movielens-1m --workspace movies
        tailorbird ingest --events e.parquet --items i.parquet --users u.parquet --mapping m.toml
        tailorbird ingest --mapping my-shop/mapping.toml
        tailorbird ingest --events export.jsonl --mapping segment
        tailorbird ingest --events clicks.jsonl --mapping clicks.toml --json
    """
    settings = load_settings(workspace=workspace)
    mapping = _mapping(name, mapping_file=mapping_file, events=events, path=path)
    files = [
        file
        for file in file_paths(mapping, path=path, events=events, items=items, users=users)
        if file.is_file()
    ]
    identity = fingerprint(files, mapping)
    report = None if again else earlier_report(settings, identity=identity)
    if report is None:
        with progress("ingest: read", None) as step:
            tables = read_tables(mapping, path=path, events=events, items=items, users=users)
            report = ingest_tables(
                tables,
                mapping,
                settings=settings,
                now=time.time(),
                on_stage=lambda stage, rows: step.update(description=f"ingest: {stage}", total=rows or None),
                on_rows=step.advance,
            )
        keep_report(report, settings, identity=identity)
    else:
        open_keyring(settings)  # another master key is said now, not by the next command
        say(f"already in workspace {settings.workspace}: the same files with the same mapping")
    _show(report)
    if mapping.basis and not read_policy(settings).basis:
        say(
            f"these data are used by the mapping's own basis, {mapping.basis}; what people do live has none until the "
            f"workspace's {POLICY_FILE} declares [basis] (docs/privacy.md)"
        )
    emit(report.to_json() if as_json else _summary(report), as_json=as_json)
    if report.rows_in and not report.accepted:
        raise TailorbirdError(
            f"none of the {report.rows_in:,} events was accepted: {next(iter(report.reasons))}",
            remedy="look into the quarantine, then correct the mapping or the files",
        )


def _mapping(
    name: str | None, *, mapping_file: str | None, events: Path | None, path: Path | None
) -> Mapping:
    if name and mapping_file:
        raise UsageError(f"both --data {name} and --mapping {mapping_file}", remedy="give one of the two")
    if name:
        if path is None and events is None:
            raise UsageError(f"--data {name} without --path", remedy="say where its files are: --path FOLDER")
        return load_mapping(name)
    if mapping_file:
        return load_mapping(mapping_file)
    if events is None:
        raise UsageError("nothing to ingest", remedy="give --data NAME --path FOLDER, or --events FILE")
    return identity_mapping()


def _show(report: IngestReport) -> None:
    table(
        [
            {
                "table": "events",
                "rows in": report.rows_in,
                "accepted": report.accepted,
                "quarantined": report.quarantined,
            },
            {
                "table": "items",
                "rows in": report.items_in,
                "accepted": report.items_in - report.items_quarantined,
                "quarantined": report.items_quarantined,
            },
            {
                "table": "users",
                "rows in": report.users_in,
                "accepted": report.users_in - report.users_quarantined,
                "quarantined": report.users_quarantined,
            },
        ],
        title=f"ingested {report.mapping} into workspace {report.workspace}",
    )
    if report.reasons:
        table([{"quarantined because": reason, "events": count} for reason, count in report.reasons.items()])
    for reason, hint in report.hints.items():
        say(f"{reason}: {hint}")
    for file in report.quarantine_files:
        say(f"quarantine: {file}")
    for anomaly in report.anomalies:
        say(f"anomaly, {anomaly.kind}: {anomaly.message}")
    if report.ordered_only:
        say(
            "this data has an order and no times: times are synthetic, one second per position from 2000-01-01"
        )


def _summary(report: IngestReport) -> dict[str, object]:
    return {
        "rows in": report.rows_in,
        "accepted": report.accepted,
        "quarantined": report.quarantined,
        "stored": report.stored,
        "already stored": report.already_stored,
        "of erased people": report.suppressed,
        "items": report.items,
        "users": report.users,
        "from": report.first_event,
        "to": report.last_event,
    }

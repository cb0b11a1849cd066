"""``tailorbird quarantine``: the rows that were not accepted, as they came."""

import json
from pathlib import Path

import click

from tailorbird.audit.record import READ_QUARANTINE, at_this_terminal, record
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, table
from tailorbird.settings import load_settings


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Rows to show at most.")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON.")
def quarantine(file: Path | None, workspace: str | None, limit: int, as_json: bool) -> None:
    r"""Show rows that `ingest` refused, with their reasons; without FILE, the files that there are.

    Rows of events and users are kept sealed, as they may hold anything of a person; this opens them with the workspace's keys.

    \b
    Examples:
        tailorbird quarantine
        tailorbird quarantine events-0123456789abcdef.parquet
        tailorbird quarantine events-0123456789abcdef.parquet --json
    """
    settings = load_settings(workspace=workspace)
    if file is None:
        found = sorted(each.name for each in settings.quarantine_folder.glob("*.parquet"))
        emit({"folder": str(settings.quarantine_folder), "files": found}, as_json=as_json)
        return
    from tailorbird.ingest.quarantine import read_quarantine
    from tailorbird.privacy.keys.keyring import open_keyring

    path = file if file.is_file() else settings.quarantine_folder / file.name
    if not path.is_file():
        raise UsageError(
            f"no quarantine file {file}", remedy="`tailorbird quarantine` lists those that there are"
        )
    record(settings, who=at_this_terminal(), what=READ_QUARANTINE, whom=path.name)
    rows = read_quarantine(path, keyring=open_keyring(settings)).head(limit)
    shown = [
        {name: each[name] for name in ("table", "row", "reason", "raw")} for each in rows.to_dict("records")
    ]
    if as_json:
        emit({"rows": shown}, as_json=True)
    else:
        table(_one_field_a_column(shown), title=path.name)


def _one_field_a_column(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows with a column for each field of their raw rows: where they are too wide, a line each."""
    parted = [{**row, **_fields(str(row["raw"]))} for row in rows]
    names = dict.fromkeys(name for row in parted for name in row)
    return [{name: row.get(name, "") for name in names} for row in parted]


def _fields(raw: str) -> dict[str, object]:
    try:
        told = json.loads(raw)
    except json.JSONDecodeError:
        return {}
    if not isinstance(told, dict):
        return {}
    fields = {f"raw.{name}": "-" if value is None else _text(value) for name, value in told.items()}
    return {"raw": "", **fields}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

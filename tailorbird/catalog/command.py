"""``tailorbird items``: what is known of an item, and telling the catalogue more, without a running platform."""

import time
from contextlib import closing
from pathlib import Path

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit

_WORKSPACE = click.option("--workspace", help="Workspace; by default TAILORBIRD_WORKSPACE.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group()
def items() -> None:
    r"""Show, tell and delete items of the catalogue; a running platform knows within seconds.

    \b
    Examples:
        tailorbird items put prices.jsonl
        tailorbird items put stock.csv --mapping stock-list.toml
        tailorbird items delete cup-7
        tailorbird items show cup-7 --json
    """


@items.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mapping", help="A built-in mapping or a TOML file; without one, columns have our names.")
@_WORKSPACE
@_JSON
def put(file: Path, mapping: str | None, workspace: str | None, as_json: bool) -> None:
    r"""Tell what FILE (Parquet, CSV or JSONL) says of items; what a row does not say stays as it is.

    \b
    Examples:
        tailorbird items put prices.jsonl
        tailorbird items put stock.csv --mapping stock-list.toml
    """
    from tailorbird.catalog.store import open_catalog
    from tailorbird.ingest.mapping import load_mapping
    from tailorbird.ingest.upload import upload
    from tailorbird.privacy.door.door import Door
    from tailorbird.settings import load_settings

    settings = load_settings(workspace=workspace)
    chosen = load_mapping(mapping) if mapping else None
    with closing(open_catalog(settings)) as store:
        report = upload(
            file,
            "items",
            store=store,
            settings=settings,
            door=Door.of(settings),
            now=time.time(),
            mapping=chosen,
        )
    emit(report.to_json(), as_json=as_json)


@items.command()
@click.argument("item_id")
@_WORKSPACE
@_JSON
def delete(item_id: str, workspace: str | None, as_json: bool) -> None:
    r"""Show ITEM_ID no more; told again, it is there again.

    \b
    Examples:
        tailorbird items delete cup-7
    """
    from tailorbird.catalog.log.told import Patch
    from tailorbird.catalog.store import open_catalog
    from tailorbird.settings import load_settings

    with closing(open_catalog(load_settings(workspace=workspace))) as store:
        _require(store.find(item_id), item_id)
        now = time.time()
        stored = store.put([Patch.deletion(item_id, now=now)], now=now)
    emit({"item_id": item_id, "deleted": True, "sequence": stored.sequence}, as_json=as_json)


@items.command()
@click.argument("item_id")
@_WORKSPACE
@_JSON
def show(item_id: str, workspace: str | None, as_json: bool) -> None:
    r"""Say what is known of ITEM_ID now.

    \b
    Examples:
        tailorbird items show cup-7 --json
    """
    from tailorbird.catalog.store import open_catalog
    from tailorbird.settings import load_settings

    with closing(open_catalog(load_settings(workspace=workspace))) as store:
        found = _require(store.find(item_id), item_id)
    emit({name: None if value != value else value for name, value in found.items()}, as_json=as_json)


def _require(found: dict[str, object] | None, item_id: str) -> dict[str, object]:
    if found is None:
        raise UsageError(f"no item {item_id!r}", remedy="check the id and the workspace")
    return found

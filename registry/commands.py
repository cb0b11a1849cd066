"""The commands of this room: promote, rollback, decisions, mlflow."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings

_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_alias = click.option(
    "--alias", default="champion", show_default=True, help="Alias: champion, challenger, shadow, ..."
)
_expected = click.option(
    "--expected",
    type=click.IntRange(0),
    help="Version the alias is believed to point at, 0 for none; elsewhere nothing moves.",
)


@click.command()
@_workspace
@click.option("--version", default="latest", show_default=True, help="Number, alias or `latest`.")
@_alias
@click.option("--force", is_flag=True, help="Promote against the gates; needs --reason.")
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_expected
@_json
def promote(
    workspace: str | None,
    version: str,
    alias: str,
    force: bool,
    reason: str,
    expected: int | None,
    as_json: bool,
) -> None:
    r"""Move an alias to a version that passes the gates.

    The gates: its bundle verifies, made-up requests get sound answers, and on the cases that both were asked it is shown
    to be better or not worse than the present version, by the figures that were stored with the two. What they demand is
    in the workspace's gates.toml. Exit code 3 when a gate refuses, 4 when somebody else moved the alias meanwhile.

    \b
    Examples:
        tailorbird promote
        tailorbird promote --version 7 --alias challenger
        tailorbird promote --version 7 --force --reason "the champion's items are gone"
    """
    from registry.promote import Order, whoami
    from registry.promote import promote as move
    from registry.versions import Registry

    settings = load_settings(workspace=workspace)
    order = Order(alias, whoami(), _now(), reason=reason, force=force, expected=expected)
    done = move(Registry(settings), version, order=order)
    result = {"model": settings.model_name, **done.to_dict()}
    _show(result, title=f"version {done.version} ▸ {alias}", as_json=as_json)
    if not done.moved and done.before == done.version:
        say(f"{alias} is version {done.version} already")
    done.require_moved()


@click.command()
@_workspace
@_alias
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_expected
@_json
def rollback(workspace: str | None, alias: str, reason: str, expected: int | None, as_json: bool) -> None:
    r"""Return an alias to the version it pointed at before.

    That version is opened, verified and asked first; one that is deleted, damaged or does not answer is passed over, by
    name, for the one before it.

    \b
    Examples:
        tailorbird rollback --reason "click rate fell"
        tailorbird rollback --alias challenger
    """
    from registry.promote import Order, roll_back, whoami
    from registry.versions import Registry

    settings = load_settings(workspace=workspace)
    order = Order(alias, whoami(), _now(), reason=reason, expected=expected)
    done = roll_back(Registry(settings), order=order)
    for skipped, why in done.skipped.items():
        say(f"version {skipped} is passed over: {why}")
    result = {"model": settings.model_name, **done.to_dict()}
    _show(result, title=f"version {done.version} ▸ {alias}", as_json=as_json)


@click.command()
@_workspace
@click.option("--alias", help="Only the decisions about this alias.")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@_json
def decisions(workspace: str | None, alias: str | None, last: int, as_json: bool) -> None:
    r"""List who moved which alias, when, why, from where and on which verdict; newest first.

    \b
    Examples:
        tailorbird decisions
        tailorbird decisions --alias champion --last 5 --json
    """
    from registry.aliases import Aliases, check_alias
    from registry.versions import Registry

    settings = load_settings(workspace=workspace)
    if alias:
        check_alias(alias)
    found = [each.to_dict() for each in Aliases(Registry(settings)).history(alias)[:last]]
    table([_line(decision) for decision in found])
    if as_json:
        emit({"model": settings.model_name, "decisions": found}, as_json=True)
    elif not found:
        say(f"no alias of {settings.model_name} was moved yet; `tailorbird promote` moves one")


@click.command("mlflow")
@_workspace
@click.option("--port", type=click.IntRange(1, 65535), help="Port; default TAILORBIRD_MLFLOW_PORT.")
def mlflow_pages(workspace: str | None, port: int | None) -> None:
    r"""Open the MLflow pages of this workspace, until Ctrl-C.

    \b
    Examples:
        tailorbird mlflow
        tailorbird mlflow --port 5001
    """
    from registry.tracking.pages import serve_pages

    settings: Settings = load_settings(workspace=workspace, mlflow_port=port)
    if settings.tracking_uri:
        raise UsageError(
            f"an MLflow server keeps the runs already: {settings.tracking_uri}", remedy="open that address"
        )
    serve_pages(settings)


def _show(result: Mapping[str, Any], *, title: str, as_json: bool) -> None:
    table([_gate(finding) for finding in result["gates"]], title=title)
    plain = {key: value for key, value in result.items() if key not in ("gates", "skipped")}
    emit(result if as_json else plain, as_json=as_json)


def _gate(finding: Mapping[str, Any]) -> dict[str, object]:
    return {
        "gate": finding["gate"],
        "passed": "yes" if finding["passed"] else "NO",
        "verdict": finding["verdict"] or "not judged",
        "found": finding["found"],
    }


def _line(decision: Mapping[str, Any]) -> dict[str, object]:
    before = decision["before"]
    return {
        "no": str(decision["number"]),
        "when": str(decision["when"])[:19].replace("T", " "),
        "who": decision["who"],
        "what": decision["kind"],
        "alias": decision["alias"],
        "from ▸ to": f"{'none' if before is None else before} ▸ {decision['version']}",
        "verdict": (decision["verdict"] or "not judged") + (" (forced)" if decision["forced"] else ""),
        "why": decision["why"],
    }


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)

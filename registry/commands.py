"""The commands of this room: promote, rollback, decisions, mlflow."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from registry.platform import Platform, PlatformError, running_platform
from registry.who import whoami
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings

if TYPE_CHECKING:
    from registry.promotion.promote import Order
    from registry.versions.versions import Registered

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
    in the workspace's gates.toml. Where a platform serves the workspace on this machine, it does all this, and the command
    ends once every replica follows. Exit code 3 when a gate refuses, 4 when somebody else moved the alias meanwhile.

    \b
    Examples:
        tailorbird promote
        tailorbird promote --version 7 --alias challenger
        tailorbird promote --version 7 --force --reason "the champion's items are gone"
    """
    settings = load_settings(workspace=workspace)
    order = {"alias": alias, "reason": reason, "force": force, "expectedBefore": expected}
    platform = running_platform(settings)
    if platform is None:
        _promote_alone(settings, version, order, as_json=as_json)
        return
    try:
        answer = platform.promote(version, order)
    except PlatformError as refused:
        table([_gate(finding) for finding in refused.findings], title=f"version {version} ▸ {alias}")
        raise
    if not answer["moved"]:
        say(f"{alias} is version {answer['version']} already")
    _show_followed(settings, platform, {**answer, "promoted": answer["moved"]}, as_json=as_json)


@click.command()
@_workspace
@_alias
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_expected
@_json
def rollback(workspace: str | None, alias: str, reason: str, expected: int | None, as_json: bool) -> None:
    r"""Return an alias to the version it pointed at before.

    That version is opened, verified and asked first; one that is deleted, damaged or does not answer is passed over, by
    name, for the one before it. Where a platform serves the workspace, the command ends once every replica follows.

    \b
    Examples:
        tailorbird rollback --reason "click rate fell"
        tailorbird rollback --alias challenger
    """
    settings = load_settings(workspace=workspace)
    order = {"alias": alias, "reason": reason, "expectedBefore": expected}
    platform = running_platform(settings)
    if platform is None:
        _roll_back_alone(settings, order, as_json=as_json)
        return
    answer = platform.roll_back(order)
    _say_skipped(answer["skipped"])
    _show_followed(settings, platform, answer, as_json=as_json)


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
    from registry.promotion.aliases import Aliases, check_alias
    from registry.versions.versions import Registry

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
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; the pages ask for no password.",
)
def mlflow_pages(workspace: str | None, port: int | None, host: str) -> None:
    r"""Open the MLflow pages of this workspace, until Ctrl-C; to this machine alone unless --host says otherwise.

    \b
    Examples:
        tailorbird mlflow
        tailorbird mlflow --port 5001
    """
    from registry.tracking.pages import serve_pages

    settings: Settings = load_settings(workspace=workspace, mlflow_port=port)
    if settings.tracking == "server":
        raise UsageError(
            f"an MLflow server keeps the runs already: {settings.tracking_uri}", remedy="open that address"
        )
    serve_pages(settings, host=host)


def moved_to(settings: Settings, version: "Registered", *, alias: str, expected: int, reason: str) -> None:
    """Promote a version through its gates, by the platform where one serves the workspace. Raises where it is not."""
    order = {"alias": alias, "reason": reason, "force": False, "expectedBefore": expected}
    platform = running_platform(settings)
    if platform is not None:
        platform.promote(str(version.version), order)
        return
    from registry.promotion.promote import promote as move
    from registry.versions.versions import Registry

    move(Registry(settings), str(version.version), order=_order(order)).require_moved()


def _promote_alone(settings: Settings, version: str, order: Mapping[str, Any], *, as_json: bool) -> None:
    from registry.promotion.promote import promote as move
    from registry.versions.versions import Registry

    done = move(Registry(settings), version, order=_order(order))
    result = {"model": settings.model_name, **done.to_dict()}
    _show(result, title=f"version {done.version} ▸ {done.alias}", as_json=as_json)
    if not done.moved and done.before == done.version:
        say(f"{done.alias} is version {done.version} already")
    done.require_moved()


def _roll_back_alone(settings: Settings, order: Mapping[str, Any], *, as_json: bool) -> None:
    from registry.promotion.promote import roll_back
    from registry.versions.versions import Registry

    done = roll_back(Registry(settings), order=_order(order))
    _say_skipped(done.skipped)
    result = {"model": settings.model_name, **done.to_dict()}
    _show(result, title=f"version {done.version} ▸ {done.alias}", as_json=as_json)


def _order(asked: Mapping[str, Any]) -> "Order":
    from registry.promotion.promote import Order

    return Order(
        asked["alias"],
        whoami(),
        _now(),
        reason=asked["reason"],
        force=asked.get("force", False),
        expected=asked["expectedBefore"],
    )


def _show_followed(
    settings: Settings, platform: Platform, answer: Mapping[str, Any], *, as_json: bool
) -> None:
    """Show what the platform did, once its replicas follow; an error names those that do not."""
    alias, version = answer["alias"], str(answer["version"])
    replicas = platform.followed(alias, version)
    kept = ("alias", "version", "before", "promoted", "forced", "verdict", "decision", "gates", "skipped")
    result = {"model": settings.model_name, **{key: answer[key] for key in kept if key in answer}}
    followers = sum(each.version == version for each in replicas)
    result["followers"] = f"{followers} of {len(replicas)}"
    if as_json:
        result["replicas"] = [each.to_dict() for each in replicas]
    table([each.to_dict() for each in replicas], title="what each replica serves")
    _show(result, title=f"version {version} ▸ {alias}", as_json=as_json)
    if not replicas:
        say(f"no replica serves an arm of {alias}: see docs/arms.md")
    elif followers < len(replicas):
        stuck = next(each for each in replicas if each.version != version)
        raise TailorbirdError(
            f"{len(replicas) - followers} of {len(replicas)} replicas do not follow version {version}: "
            + (stuck.trouble or "they have not said why"),
            remedy="GET /v1/arms tells more; `tailorbird rollback` returns",
        )


def _say_skipped(skipped: Mapping[Any, str]) -> None:
    for version, why in skipped.items():
        say(f"version {version} is passed over: {why}")


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

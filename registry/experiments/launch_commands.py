"""``tailorbird experiment new | check | start | ramp | stop | list``: launching experiments."""

import datetime as dt
from collections.abc import Mapping

import click

from registry.who import whoami
from tailorbird.experiments.running.checking import Finding
from tailorbird.experiments.running.launching import Launcher, Standing
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings

_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_reason = click.option("--reason", default="", help="Why; recorded with who and when.")
_revision = click.option(
    "--revision",
    type=click.IntRange(1),
    help="The state that was seen (`list` shows it); after another move nothing happens.",
)
_key = click.argument("key")


@click.command()
@_key
@_workspace
def new(key: str, workspace: str | None) -> None:
    r"""Write experiments/KEY.toml to fill in, every key with what it means.

    \b
    Examples:
        tailorbird experiment new more-variety
    """
    from tailorbird.experiments.design.files import file_of
    from tailorbird.experiments.design.template import TEMPLATE

    settings = load_settings(workspace=workspace)
    _launcher(workspace).declare(key, TEMPLATE.format(key=key), who=_me())
    say(f"wrote {file_of(settings.folder, key)}: fill it in, then `tailorbird experiment check {key}`")


@click.command()
@_key
@_workspace
@_json
def check(key: str, workspace: str | None, as_json: bool) -> None:
    r"""Say what an experiment is worth before it starts: its audience, its length, what it changes and what stands against it.

    Exit code 3 where something refuses it.

    \b
    Examples:
        tailorbird experiment check more-variety
    """
    experiment, findings = _launcher(workspace).check(key)
    refused = any(each.level == "refused" for each in findings)
    table(
        [{"": each.level, "about": each.about, "found": each.words, "do": each.remedy} for each in findings]
    )
    emit(
        {"key": key, "digest": experiment.digest, "startable": not refused}
        | ({"findings": [_plain(each) for each in findings]} if as_json else {}),
        as_json=as_json,
    )
    if refused:
        raise click.exceptions.Exit(3)


@click.command()
@_key
@_workspace
@_reason
@_json
def start(key: str, workspace: str | None, reason: str, as_json: bool) -> None:
    r"""Start an experiment: from now on what its file says is frozen. Replicas follow within seconds.

    \b
    Examples:
        tailorbird experiment start more-variety --reason "checked with the shop team"
    """
    entry = _launcher(workspace).start(key, who=_me(), reason=reason)
    emit(
        {"key": key, "state": entry.state, "share": entry.share, "revision": entry.revision}, as_json=as_json
    )


@click.command()
@_key
@click.argument("share", type=click.FloatRange(0, 1, min_open=True))
@_workspace
@_reason
@_revision
@_json
def ramp(
    key: str, share: float, workspace: str | None, reason: str, revision: int | None, as_json: bool
) -> None:
    r"""Give a running experiment another share of its layer. Nobody moves who is in before and after.

    \b
    Examples:
        tailorbird experiment ramp more-variety 0.5
    """
    entry = _launcher(workspace).ramp(key, share, who=_me(), revision=revision, reason=reason)
    emit(
        {"key": key, "state": entry.state, "share": entry.share, "revision": entry.revision}, as_json=as_json
    )


@click.command()
@_key
@_workspace
@_reason
@_revision
@_json
def stop(key: str, workspace: str | None, reason: str, revision: int | None, as_json: bool) -> None:
    r"""Stop a running experiment: the champion answers everybody. It is not started again.

    \b
    Examples:
        tailorbird experiment stop more-variety --reason "fourteen days are over"
    """
    entry = _launcher(workspace).stop(key, who=_me(), revision=revision, reason=reason)
    emit({"key": key, "state": entry.state, "revision": entry.revision}, as_json=as_json)


@click.command("list")
@_workspace
@_json
def list_all(workspace: str | None, as_json: bool) -> None:
    r"""List the experiments of a workspace: what runs, what was stopped or decided, and drafts.

    \b
    Examples:
        tailorbird experiment list
    """
    rows = [_row(each) for each in _launcher(workspace).standings()]
    if as_json:
        emit({"experiments": rows}, as_json=True)
    else:
        table([_brief(each) for each in rows])


def _launcher(workspace: str | None) -> Launcher:
    from registry.experiments.launching import launcher_of

    return launcher_of(load_settings(workspace=workspace))


def _me() -> str:
    return f"login:{whoami()}"


def _row(standing: Standing) -> dict[str, object]:
    entry, experiment = standing.entry, standing.experiment
    return {
        "key": standing.key,
        "state": standing.state,
        "kind": experiment.kind if experiment else "",
        "layer": experiment.layer if experiment else "",
        "share": entry.share if entry else experiment.share if experiment else None,
        "variants": ", ".join(each.name for each in experiment.variants) if experiment else "",
        "started": dt.datetime.fromtimestamp(entry.started, dt.UTC).isoformat(timespec="seconds")
        if entry
        else None,
        "revision": entry.revision if entry else None,
        "trouble": standing.trouble,
    }


def _brief(row: Mapping[str, object]) -> dict[str, object]:
    """For a narrow terminal: a layer is told where it is not the experiment's own."""
    share = row["share"]
    return {
        **row,
        "layer": "" if row["layer"] == row["key"] else row["layer"],
        "share": f"{share:.4g}" if isinstance(share, float) else None,
    }


def _plain(finding: Finding) -> dict[str, str]:
    return {"level": finding.level, "about": finding.about, "words": finding.words, "remedy": finding.remedy}

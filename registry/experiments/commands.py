"""``tailorbird experiment readout`` and ``decide``: what our own tests say, kept in MLflow, and what is done about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from registry.who import whoami
from tailorbird.audit.record import at_this_terminal
from tailorbird.errors import UsageError
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings

_workspace = click.option("--workspace", help="Workspace.  [default: TAILORBIRD_WORKSPACE or shop]")


@click.command("readout")
@click.argument("key")
@_workspace
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a page that needs nothing else.",
)
@click.option(
    "--mlflow/--no-mlflow",
    "keep",
    default=True,
    show_default=True,
    help="Keep it in the experiment's run in MLflow.",
)
@click.option(
    "--adjust",
    default="holm",
    show_default=True,
    type=click.Choice(["holm", "bh", "none"]),
    help="How p-values of several metrics and variants are adjusted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def readout(
    key: str, workspace: str | None, html: Path | None, keep: bool, adjust: str, as_json: bool
) -> None:
    r"""Say what an experiment that runs or was stopped has found: is B better, for whom, and how sure one may be.

    Before the planned end only what holds however often one looks decides, so it may be read every hour. docs/experiments-readout.md
    says what each figure is.

    \b
    Examples:
        tailorbird experiment readout more-variety
        tailorbird experiment readout more-variety --html readout.html --json
    """
    from tailorbird.experiments.deciding.told import told_of

    settings = load_settings(workspace=workspace)
    told = told_of(settings, key, adjustment=adjust)
    shown = dict(told.shown)
    table(told.rows)
    _tables(shown)
    for note in told.notes:
        say(f"note: {note}")
    if html is not None:
        html.write_text(told.page(), encoding="utf-8")
    if keep:
        from registry.experiments.readouts import keep_readout

        shown["run"] = keep_readout(settings, told)
    if as_json:
        emit(shown, as_json=True)
        return
    units = "units" if "units" in shown else "asked"
    check = next((name for name in ("srmAlwaysValidPValue", "draftPValue") if name in shown), None)
    emit(
        {
            "verdict": shown["verdict"],
            units: shown[units],
            "days": f"{shown['days']:g} of {shown['plannedDays']:g}",
            **({check: f"{shown[check]:.2g}"} if check else {}),
        },
        as_json=False,
    )


@click.command("decide")
@click.argument("key")
@_workspace
@click.option("--winner", metavar="VARIANT", help="The variant that won.")
@click.option("--none", "nobody", is_flag=True, help="No variant won.")
@click.option("--reason", required=True, help="Why; recorded with who and when.")
@click.option(
    "--promote/--no-promote",
    "promoting",
    default=True,
    show_default=True,
    help="Make the winner's version the champion.",
)
@click.option(
    "--revision",
    type=click.IntRange(0),
    help="The experiment as it was seen; where it has changed, nothing is done.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def decide(
    key: str,
    workspace: str | None,
    winner: str | None,
    nobody: bool,
    reason: str,
    promoting: bool,
    revision: int | None,
    as_json: bool,
) -> None:
    r"""Decide an experiment: stop it, and promote the winner's version through the gates with the readout as the reason.

    What a winner changes beside the version (slates, scenarios, the page) is named, to be written where it lasts. Exit code 3 when a
    gate refuses: the experiment stays undecided then.

    \b
    Examples:
        tailorbird experiment decide more-variety --winner varied --reason "2 to 5 % more clicks"
        tailorbird experiment decide more-variety --none --reason "no difference worth having"
    """
    from registry.experiments.deciding import Wish
    from registry.experiments.deciding import decide as put_down
    from tailorbird.experiments.deciding.told import told_of

    if (winner is None) == (not nobody):
        raise UsageError("say who won", remedy="--winner VARIANT, or --none")
    settings = load_settings(workspace=workspace)
    entry = Ledger(settings.folder).get(key)
    said = None
    if entry is not None and entry.state != "decided":
        try:
            said = told_of(settings, key).shown
            say(f"the readout says: {said['verdict']}")
        except UsageError as error:
            say(f"it cannot be read: {error.what}")
    wish = Wish(winner, reason, who=whoami(), by=at_this_terminal(), revision=revision, promote=promoting)
    done = put_down(settings, key, wish, readout=said).to_dict()
    if done["todo"]:
        say(done["todo"])
    emit(
        done if as_json else {name: value for name, value in done.items() if name != "promotion"},
        as_json=as_json,
    )


def _tables(shown: Mapping[str, Any]) -> None:
    if shown.get("segments"):
        table(
            [
                {
                    "variant": each["variant"],
                    "by": each["attribute"],
                    "segment": one["segment"],
                    "units": f"{one['units']:,}",
                    "lift": f"{100 * one['lift']:+.1f} %",
                    "shrunk": f"{100 * one['shrunkLift']:+.1f} %",
                    "interval": f"{100 * one['interval'][0]:+.1f}..{100 * one['interval'][1]:+.1f}",
                }
                for each in shown["segments"]
                for one in each["lifts"]
            ],
            title="for whom",
        )
    if shown.get("renewals"):
        last = shown["renewals"][-1]
        table(
            [
                {"context": each["context"], **{name: f"{p:.1%}" for name, p in each["variants"].items()}}
                for each in last["parts"]
            ],
            title=f"allocation since {last['at'][:16]} (renewal {last['number']}, from {last['units']:,} units)",
        )
    if shown.get("factors"):
        table(
            [
                {
                    "factor": " with ".join(f"{name} = {level}" for name, level in each["levels"].items()),
                    "effect": f"{each['effect']:+.4g}",
                    "interval": f"{each['interval'][0]:+.4g}..{each['interval'][1]:+.4g}",
                    "adjusted": f"{each['adjustedPValue']:.2g}",
                }
                for each in shown["factors"]["effects"]
            ],
            title="factors",
        )

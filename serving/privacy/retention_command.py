"""``tailorbird retention``: what a workspace keeps for how long, and letting go of what is older."""

import click

from tailorbird.audit.record import at_this_terminal
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, table
from tailorbird.privacy.policy.policy import POLICY_FILE
from tailorbird.settings import load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)


@click.group()
def retention() -> None:
    r"""Let go of events, exposures and refused rows that have reached their age.

    \b
    Examples:
        tailorbird retention run --dry-run
        tailorbird retention run
    """


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@_workspace
@click.option("--json", "as_json", is_flag=True, help="Print what went as JSON.")
def run(dry_run: bool, workspace: str | None, as_json: bool) -> None:
    r"""Delete what is older than the workspace's privacy.toml says, from every file; finish what an interrupted run left.

    A platform that serves the workspace does it once a day by itself, and may go on meanwhile.

    \b
    Examples:
        tailorbird retention run --dry-run --json
        tailorbird retention run --workspace shop
    """
    from serving.privacy.retention import Retaining

    settings = load_settings(workspace=workspace)
    retaining = Retaining(settings)
    ages, purposes = dict(retaining.retention.days), dict(retaining.retention.purposes)
    if not retaining.retention and purposes:
        raise UsageError(
            f"workspace {settings.workspace!r} keeps everything for good: what is too old for {', '.join(purposes)} serves other "
            "purposes still",
            remedy=f"give every purpose an age in {settings.folder / POLICY_FILE}, or event types (docs/privacy.md)",
        )
    if not ages and not purposes:
        raise UsageError(
            f"workspace {settings.workspace!r} keeps everything for good",
            remedy=f"write ages under [retention] in {settings.folder / POLICY_FILE} (docs/privacy.md)",
        )
    gone = retaining.due() if dry_run else retaining.run(who=at_this_terminal())
    if gone is None:
        raise TailorbirdError(
            "another process lets go of what is old in this workspace", remedy="try again in a minute"
        )
    table([{"what": what, "count": count} for what, count in gone.items()])
    emit(
        {"ages_days": ages, "purposes_days": purposes, "dry_run": dry_run, "gone": gone}
        if as_json
        else {"gone": sum(gone.values()), "dry_run": dry_run},
        as_json=as_json,
    )

"""``tailorbird doctor``: ask everything that the settings point at."""

import click

from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings


@click.command()
@click.option("--workspace", help="Workspace.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=600),
    default=10.0,
    show_default=True,
    help="How long to wait for answers; what is silent then is broken.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on stdout.")
def doctor(workspace: str | None, seconds: float, as_json: bool) -> int:
    r"""Say what each setting points at, whether it answers, and what to do where it does not.

    Nothing is changed. The exit code is 1 where something is broken.

    \b
    Examples:
        tailorbird doctor
        TAILORBIRD_TRACKING_URI=http://mlflow:5000 tailorbird doctor --json
    """
    from tailorbird.doctor.sections import examine

    settings = load_settings(workspace=workspace)
    found = examine(settings, seconds=seconds)
    broken = [finding for finding in found if finding.state == "broken"]
    if as_json:
        emit({"ok": not broken, "findings": [finding.to_dict() for finding in found]}, as_json=True)
        return int(bool(broken))
    table(
        [
            {
                "section": finding.section,
                "state": finding.state,
                "points at": finding.points_at or "-",
                "says": finding.says,
            }
            for finding in found
        ]
    )
    for finding in found:
        if finding.remedy:
            say(f"{finding.section}: {finding.remedy}")
    emit({"broken": len(broken), "sections": len({finding.section for finding in found})}, as_json=False)
    return int(bool(broken))

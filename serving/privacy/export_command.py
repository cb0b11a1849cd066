"""``tailorbird export``: everything of a person, in a file."""

import time
from pathlib import Path

import click

from tailorbird.audit.record import EXPORT, at_this_terminal, record
from tailorbird.plumbing.terminal import emit, table
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.export.export import Format
from tailorbird.settings import load_settings


@click.command()
@click.argument("user_id")
@click.option("--anonymous", is_flag=True, help="USER_ID is an anonymous id.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "parquet"]),
    default="json",
    show_default=True,
    help="One file in either form.",
)
@click.option("--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option("--json", "as_json", is_flag=True, help="Print how many rows each section has as JSON.")
def export(
    user_id: str, anonymous: bool, out: Path, form: Format, workspace: str | None, as_json: bool
) -> None:
    r"""Write everything that is kept of a person to a file, in words they understand.

    What is known of them, their moves, which variants and models answered them, and what lies in every place.

    \b
    Examples:
        tailorbird export u1 --out u1.json
        tailorbird export u1 --out u1.parquet --format parquet
        tailorbird export a-7f3e --anonymous --out visitor.json
    """
    from feature_repo.portraits import Portraits
    from serving.privacy.exports import Exports
    from serving.segments.live import LiveSegments
    from tailorbird.segments.rules.file import RulesFile

    settings = load_settings(workspace=workspace)
    segments = LiveSegments(settings)
    segments.check()
    rules = RulesFile(settings.folder, clock=time.monotonic)
    door = Door.of(settings)
    exports = Exports(settings, door=door, portraits=Portraits(settings, segments=segments, rules=rules))
    out.parent.mkdir(parents=True, exist_ok=True)
    person = door.person(user_id, anonymous=anonymous)
    record(settings, who=at_this_terminal(), what=EXPORT, person=person)
    counts = exports.write(person, out, form=form)
    table([{"section": name, "rows": count} for name, count in counts.items()])
    emit({"file": str(out), "bytes": out.stat().st_size, "rows": counts}, as_json=as_json)

"""``tailorbird audit``: what was done to people's data, keys and models, by whom, and whether that record is whole."""

import json
from collections import deque
from functools import partial

import click

from tailorbird.audit.entry import Head
from tailorbird.audit.record import hash_of, log_of
from tailorbird.audit.verify import Finding
from tailorbird.audit.verify import verify as check
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_json = partial(click.option, "--json", "as_json", is_flag=True)


@click.group()
def audit() -> None:
    r"""Show who did what to people's data, keys and models, and check that nobody changed that record.

    \b
    Examples:
        tailorbird audit show --what profile.read
        tailorbird audit head
        tailorbird audit verify
    """


@audit.command("show")
@click.option("--who", metavar="WHO", help="By whom, such as key:6f1d0c2b9a3e4f58 or login:ann.")
@click.option("--what", metavar="WHAT", help="What, such as profile.read or key.revoke.")
@click.option("--whom", metavar="WHOM", help="To what: the id of a key, an alias.")
@click.option("--person", metavar="KEY", help="To whom: user:u1, anon:a1, or the pseudonym.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="The newest so many."
)
@_workspace
@_json(help="Print them as JSON, with their details and hashes.")
def show(
    who: str | None,
    what: str | None,
    whom: str | None,
    person: str | None,
    limit: int,
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""List entries, the newest last. People are named by hashes that the workspace's secret alone connects to them.

    \b
    Examples:
        tailorbird audit show
        tailorbird audit show --person user:u1 --json
        tailorbird audit show --who login:ann --what key.new
    """
    settings = load_settings(workspace=workspace)
    to = hash_of(settings, person) if person else whom
    wanted = {"who": who, "what": what, "whom": to}
    found = deque(
        (
            entry
            for entry in log_of(settings).entries()
            if all(value is None or getattr(entry, name) == value for name, value in wanted.items())
        ),
        maxlen=limit,
    )
    if as_json:
        emit({"entries": [entry.plain() for entry in found]}, as_json=True)
        return
    table(
        [
            {
                "number": entry.number,
                "when": entry.at,
                "who": entry.who,
                "what": entry.what,
                "to": entry.whom or "-",
                "detail": json.loads(entry.detail),
            }
            for entry in found
        ]
    )
    emit({"entries": len(found)}, as_json=False)


@audit.command("head")
@_workspace
@_json(help="Print it as JSON.")
def head(workspace: str | None, as_json: bool) -> None:
    r"""Print the newest entry's number and hash, to be noted where nobody who can write the log can write.

    \b
    Examples:
        tailorbird audit head
        tailorbird audit head --workspace shop --json
    """
    newest = log_of(load_settings(workspace=workspace)).head()
    emit({"head": str(newest), "number": newest.number, "hash": newest.hash}, as_json=as_json)


@audit.command("verify")
@click.option(
    "--head",
    "anchor",
    metavar="HEAD",
    help="What `audit head` printed once; finds a log that was cut or rewritten.",
)
@click.option(
    "--registry", "with_registry", is_flag=True, help="Hold the registry's decisions against the log too."
)
@_workspace
@_json(help="Print the findings as JSON.")
def verify(anchor: str | None, with_registry: bool, workspace: str | None, as_json: bool) -> int:
    r"""Check every entry against its hash and the one before, and say which was altered, removed or moved.

    The exit code is 1 where something is wrong. Without --head, entries cut off at the end leave no trace, nor does a log whose
    hashes were all made anew.

    \b
    Examples:
        tailorbird audit verify
        tailorbird audit verify --registry
        tailorbird audit verify --head 12:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --json
    """
    try:
        noted = None if anchor is None else Head.parse(anchor)
    except ValueError as error:
        raise UsageError(
            str(error), remedy="give what `tailorbird audit head` printed: NUMBER:HASH"
        ) from error
    settings = load_settings(workspace=workspace)
    newest, found = check(log_of(settings).entries(), anchor=noted)
    findings = [*found, *(_of_registry(settings) if with_registry else ())]
    for finding in findings:
        say(f"{finding.kind}: {finding.says}")
    result: dict[str, object] = {
        "whole": not findings,
        "entries": newest.number,
        "head": str(newest),
        "anchored": noted is not None,
    }
    if as_json:
        result["findings"] = [
            {"number": each.number, "kind": each.kind, "says": each.says} for each in findings
        ]
    emit(result, as_json=as_json)
    return int(bool(findings))


def _of_registry(settings: Settings) -> list[Finding]:
    from registry.promotion.aliases import Aliases
    from registry.promotion.auditing import compare
    from registry.versions.versions import Registry

    registries = [Registry(settings, name=name) for name in (settings.model_name, settings.segments_name)]
    made = {registry.name: Aliases(registry).history() for registry in registries}
    return compare(log_of(settings).entries(), made)

"""``tailorbird exposures``: prove what the stream of exposures holds."""

import importlib
from functools import partial

import click

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.store import bring_catalog
from tailorbird.errors import TailorbirdError
from tailorbird.events.valence import RatingScale
from tailorbird.exposures.parity import COLUMNS, Parity, check_parity, read_sample
from tailorbird.exposures.past import events_of_person
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import exposures_for, taken_back_in
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events

SHOWN = 10
REGISTRY = "registry.following.pinned"
"""The room that knows what a version of the model pins; imported by name, as this one imports no other."""


@click.group()
def exposures() -> None:
    r"""Prove what was shown.

    \b
    Examples:
        tailorbird exposures parity
    """


@exposures.command("parity")
@click.option("--workspace", help="Workspace.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option(
    "--limit",
    default=1_000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Newest answers of the sample to check.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def parity(workspace: str | None, limit: int, as_json: bool) -> None:
    r"""Compute the features that answers used once more, from the stream of events, and compare to 1e-6.

    Takes the answers that store every ranker input (TAILORBIRD_EXPOSURE_SAMPLE). Ends with an error where one differs,
    or used a profile that its person's events do not lead to.

    \b
    Examples:
        tailorbird exposures parity
        tailorbird exposures parity --workspace shop --limit 200 --json
    """
    settings = load_settings(workspace=workspace)
    found = parity_of(settings, limit=limit)
    if found.differing:
        table(
            [
                {"recommendation": each.recommendation_id, "feature": each.feature, "off by": each.by}
                for each in found.differing[:SHOWN]
            ],
            title="Answers whose features differ",
        )
    for identity in found.unfounded[:SHOWN]:
        say(f"answer {identity} used a profile that the events do not lead to")
    emit(
        {
            "checked": found.checked,
            "worst": found.worst,
            "differing": len(found.differing),
            "unfounded": len(found.unfounded),
        },
        as_json=as_json,
    )
    if not found.holds:
        raise TailorbirdError(
            f"{len(found.differing) + len(found.unfounded)} of {found.checked} answers used other features than the events give",
            remedy="run `tailorbird features`; if it stays, the profiles and the stream have come apart: file an issue",
        )


def parity_of(settings: Settings, *, limit: int) -> Parity:
    """Check the newest ``limit`` answers of a workspace's sample."""
    if not settings.folder.is_dir():  # checking makes nothing
        return Parity(0, 0.0, (), ())
    bring_catalog(settings)
    happened = open_events(settings)
    try:
        return check_parity(
            # A profile of before a refusal can be made again by nobody, and need not be.
            read_sample(exposures_for(settings, PERSONALIZATION, columns=COLUMNS), limit=limit),
            events_of=lambda user_key: events_of_person(happened, user_key),
            facts=ItemFacts.of(
                Catalog.read_with_history(settings.catalog_folder),
                scale=RatingScale.parse(settings.rating_scale),
            ),
            people=demographics_of(Users.read(settings.catalog_folder)),
            history_length=settings.history_length,
            taken_back=taken_back_in(settings, PERSONALIZATION),
            pinned_by=partial(importlib.import_module(REGISTRY).segments_pinned_by, settings),
        )
    finally:
        happened.close()

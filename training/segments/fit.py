"""Fitting segments: the candidates as runs in MLflow, and the chosen one as a version of the segment model."""

import datetime as dt
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.tracking.runs import Run, Tracker, git_commit
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import Fallbacks, Origin, write_bundle
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.segments.finding.comparing import Candidate
from tailorbird.segments.finding.finding import Crowd, Found, find, model_of
from tailorbird.segments.model import SegmentModel
from tailorbird.settings import Settings
from training.segments.card import segments_card
from training.segments.people import People
from training.segments.plots import figures_by_size, heat_map, map_of, silhouettes, sizes
from training.segments.shown import FIGURES, TOLD

PLOTTED = 6
"""Candidates whose plots are drawn: the proposed or chosen one, and the most stable of the others."""
KIND, SEARCH = "tailorbird.kind", "segments"
"""The tag by which the search of a workspace is found again."""

_TOLD = ", with what people told"


@dataclass(frozen=True)
class Fitted:
    """What became of a search: its run, the candidates, and the version that was registered, if any."""

    run_id: str
    found: Found
    chosen: Candidate | None
    model: SegmentModel | None
    registered: Registered | None


@dataclass(frozen=True)
class Search:
    """What MLflow keeps of a search: its run, the candidates it proposed and registered, and all of them, the most stable first."""

    run_id: str
    proposed: str | None
    registered: str | None
    candidates: list[dict[str, Any]]


def latest_search(settings: Settings) -> Search:
    """The latest search of a workspace. Raises TailorbirdError where there was none."""
    tracker = Tracker.open(settings, name=settings.segments_name)
    latest = tracker.latest(tag=KIND, value=SEARCH)
    if latest is None:
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has no search for segments",
            remedy="run `tailorbird segments fit`",
        )
    candidates: list[dict[str, Any]] = [
        {
            "number": int(run.data.tags["candidate"]),
            "method": str(run.info.run_name).partition(": ")[2].replace(_TOLD, TOLD),
            **{name: run.data.metrics[name] for name in FIGURES},
            "sound": bool(run.data.metrics["sound"]),
            "run": run.info.run_id,
        }
        for run in tracker.children(Run(tracker.client, latest.info.run_id), status="FINISHED")
    ]
    candidates.sort(key=lambda each: (-each["stability"], each["number"]))
    tags = latest.data.tags
    return Search(latest.info.run_id, tags.get("proposed"), tags.get("registered"), candidates)


def fit_segments(
    people: People,
    *,
    settings: Settings,
    now: dt.datetime,
    sizes_tried: range = range(2, 13),
    choose: int | None = None,
    seed: int = 0,
    advance: Callable[[str], object] = lambda what: None,
) -> Fitted:
    """Find segments, track every candidate, and register the proposed one or the one ``choose`` numbers.

    Raises:
        UsageError: too few people did enough, or there is no candidate of that number.
    """
    crowd = Crowd.of(people.histories, people.told)
    tracker = Tracker.open(settings, name=settings.segments_name)
    with tracker.start("segments", tags={KIND: SEARCH}) as run:
        run.data(people.identity, context="training")
        run.params(
            {"seed": seed, "sizes": f"{sizes_tried.start} to {sizes_tried.stop - 1}", "people": len(crowd)}
        )
        found = find(crowd, sizes=sizes_tried, seed=seed, advance=advance)
        chosen = _chosen(found, choose)
        drawn = _drawn(found, chosen)
        for candidate in found.candidates:
            advance(f"candidate {candidate.number} in MLflow")
            _record(tracker, run, found, candidate, plotted=candidate in drawn, seed=seed)
        if found.candidates:
            run.figure(figures_by_size(found.candidates, chosen), "plots/figures_by_size.png")
        run.tags({"proposed": found.proposed.number if found.proposed else "none"})
        if chosen is None:
            return Fitted(run.run_id, found, None, None, None)
        model = model_of(found, chosen, seed=seed)
        registered = _publish(model, found, people, run=run, settings=settings, now=now)
        run.tags({"registered": registered.version, "candidate": chosen.number})
    return Fitted(run.run_id, found, chosen, model, registered)


def _chosen(found: Found, number: int | None) -> Candidate | None:
    if number is None:
        return found.proposed
    for candidate in found.candidates:
        if candidate.number == number:
            return candidate
    raise UsageError(
        f"there is no candidate {number}",
        remedy=f"`tailorbird segments compare` lists {len(found.candidates)} of them",
    )


def _drawn(found: Found, chosen: Candidate | None) -> list[Candidate]:
    others = sorted(
        (each for each in found.candidates if each is not chosen), key=lambda each: -each.stability
    )
    return [*([chosen] if chosen else []), *others][:PLOTTED]


def _record(
    tracker: Tracker, parent: Run, found: Found, candidate: Candidate, *, plotted: bool, seed: int
) -> None:
    told = candidate.number in found.with_told
    name = f"{candidate.number}: {candidate.method.words}" + (_TOLD if told else "")
    with tracker.start(name, parent=parent, tags={"candidate": str(candidate.number)}) as run:
        run.params({"method": candidate.method.name, "told": told, **candidate.method.parameters})
        run.metrics({**candidate.figures(), "sound": float(candidate.sound)})
        if plotted:
            model = model_of(found, candidate, seed=seed)
            run.figure(silhouettes(candidate, model), "plots/silhouettes.png")
            run.figure(map_of(found, candidate, model), "plots/map.png")
            run.figure(heat_map(model), "plots/profiles.png")
            run.figure(sizes(model), "plots/sizes.png")


def _publish(
    model: SegmentModel, found: Found, people: People, *, run: Run, settings: Settings, now: dt.datetime
) -> Registered:
    registry = Registry(settings, name=settings.segments_name)
    card = segments_card(model, found, data=people.identity, git_commit=git_commit())
    run.text(card, "card.md")
    run.tags({"mlflow.note.content": card[:5000]})
    run.figure(heat_map(model), "plots/profiles.png")
    run.figure(sizes(model), "plots/sizes.png")
    with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
        folder = Path(scratch) / "bundle"
        manifest = write_bundle(
            model,
            folder,
            origin=Origin(
                name=registry.name,
                data_digest=people.identity.digest,
                first_event=people.span[0],
                last_event=people.span[1],
                git_commit=git_commit(),
            ),
            metrics=dict(model.figures),
            fallbacks=Fallbacks(),
            now=now,
        )
        return registry.register(
            folder,
            run=run,
            manifest=manifest,
            description=card[:5000],
            tags={
                "method": model.method,
                "segments": str(len(model.segments)),
                "stability": f"{model.figures['stability']:.3f}",
            },
            kind="segments",
        )

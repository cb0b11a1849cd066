"""Making the version that has forgotten: the counts anew over the log without the erased, what was learned as it is."""

import datetime as dt
import tempfile
from dataclasses import asdict
from pathlib import Path

from registry.tracking.runs import Tracker, git_commit
from registry.versions.cases import CASES_FILE, NoCasesError, add_cases, cases_of
from registry.versions.forgetting import FORGET, LEARNED_AT, OF, reading_of
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import Bundle, Origin, write_bundle
from tailorbird.settings import Settings
from training.data.dataset import Dataset
from training.evaluation.evaluate import evaluate
from training.fit.counted import counted_anew, learned_parts, seen_by
from training.forget.due import Due, has_heard
from training.publish.publish import fallbacks_of

NEWER_CASES = 100
"""Fewest cases of newer events that both versions are asked before an alias moves."""
_KEPT_TAGS = ("recipe", "ndcg_at_10", "cases", "measured_before", "segments", "seed")


def without_erased(
    registry: Registry, each: Due, dataset: Dataset, *, settings: Settings, now: dt.datetime
) -> tuple[Registered, bool]:
    """The version that has forgotten, and whether it was made now: what an interrupted call registered is taken.

    ``now`` is an instant before ``dataset`` was read.
    """
    parent = each.version
    for made in registry.tagged({"kind": FORGET, OF: str(parent.version)}):
        if has_heard(reading_of(registry, made), each):
            return made, False
    bundle = parent.open()
    until = dt.datetime.fromisoformat(bundle.manifest.data_span[1]).timestamp()
    own = seen_by(bundle.model, dataset, until=until, settings=settings)
    model = counted_anew(bundle.model, own)
    learned = reading_of(registry, parent).learned if learned_parts(model) else now.timestamp()
    tags = {
        **{name: parent.tags[name] for name in _KEPT_TAGS if name in parent.tags},
        "kind": FORGET,
        OF: str(parent.version),
        LEARNED_AT: dt.datetime.fromtimestamp(learned, dt.UTC).isoformat(),
    }
    first, last = own.span
    with (
        Tracker.open(settings).start(f"forget {parent.version}", tags=tags) as run,
        tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch,
    ):
        folder, cases = Path(scratch) / "bundle", Path(scratch) / CASES_FILE
        manifest = write_bundle(
            model,
            folder,
            origin=Origin(
                name=registry.name,
                recipe=bundle.recipe,
                recipe_digest=bundle.manifest.recipe_digest,
                data_digest=own.identity.digest,
                first_event=first,
                last_event=last,
                measured_before=_instant(bundle.manifest.measured_before),
                git_commit=git_commit(),
                segments=asdict(model.pinned.pin) if model.pinned else {},
            ),
            metrics=bundle.metrics,
            fallbacks=fallbacks_of(model, own),
            now=now,
        )
        run.data(own.identity, context="training")
        try:
            cases_of(registry, parent).to_parquet(cases, index=False)
            run.file(cases)
        except NoCasesError:
            pass  # the gate says so
        made = registry.register(
            folder, run=run, manifest=manifest, description=_words(each, bundle), tags=tags
        )
    return made, True


def ask_newer(
    registry: Registry,
    versions: tuple[Registered, ...],
    dataset: Dataset,
    *,
    settings: Settings,
    now: dt.datetime,
) -> int:
    """Ask versions what people took since they learned, where enough did; how many cases are kept with the first."""
    kept = 0
    for place, version in enumerate(versions):
        found = evaluate(version.open(), dataset, settings=settings, least=NEWER_CASES)
        if found.measured is None:
            return 0
        added = add_cases(registry, version, found.measured.cases, now=now)
        kept = added if place == 0 else kept
    return kept


def _words(each: Due, bundle: Bundle) -> str:
    return (
        f"Version {each.version.version} after {each.counted:,} people were erased: its counts (popularity, co-occurrence, "
        "habit, what happened to the items) were made anew without them, its learned parts are as they were. "
        f"Figures are those of version {each.version.version}'s twin. Recipe `{bundle.model.recipe.name}`."
    )


def _instant(said: str) -> dt.datetime | None:
    return dt.datetime.fromisoformat(said) if said else None

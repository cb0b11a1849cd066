"""Tuning: a study over a recipe's space, its MLflow runs, and the best recipe fitted, measured and registered."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from registry.following.pointers import RegistryError
from registry.tracking.runs import Run, Tracker
from registry.versions.versions import Registered, Registry
from tailorbird.plumbing.terminal import say
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import PinnedSegments, pinned_version
from tailorbird.settings import Settings
from training.data.dataset import Dataset
from training.fit.plan import Plan, shown_to
from training.fit.product import make_product
from training.fit.steps import Steps
from training.publish.code import model_code
from training.publish.plots import importances, search_history
from training.publish.publish import publish
from training.tuning.live import LiveTable
from training.tuning.pool import RayPool, cluster
from training.tuning.search import search
from training.tuning.space import Space
from training.tuning.study import OwnedStudy
from training.tuning.trial import run_trial
from training.tuning.trial_runs import TrialRuns, close_lost_runs

METRIC = "ndcg@10"
TRIAL_CASES = 2000
"""Cases a trial is measured on: the same ones for all trials of a study, so the noise they share cancels."""


@dataclass(frozen=True)
class Job:
    """What to search, on what, and how much: trials in all, how many at once, which pruner, the seed."""

    dataset: Dataset
    recipe: Recipe
    space: Space
    trials: int
    parallel: int
    pruner: str
    seed: int
    pinned: PinnedSegments | None = None

    @property
    def study(self) -> str:
        """The study's name: the same for the same data, recipe, space, pruner, seed and pinned segments."""
        parts = (
            self.dataset.identity.digest,
            self.recipe.digest,
            self.space.digest,
            self.pruner,
            str(self.seed),
            *([self.pinned.pin.digest] if self.pinned else []),
        )
        return f"{self.recipe.name}-{self.space.name}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Tuned:
    """What a study ended with. ``fresh`` is False where an earlier call had finished it."""

    registered: Registered
    study: str
    trials: int
    pruned: int
    best_trial: int
    best_value: float
    fresh: bool


def tune(job: Job, *, settings: Settings, now: dt.datetime) -> Tuned:
    """Run or go on with the study of ``job``, then register the best recipe's bundle.

    The same call again continues after a kill, and returns at once when everything is done.
    """
    tracker, registry = Tracker.open(settings), Registry(settings)
    with OwnedStudy.open(
        settings.folder / "studies",
        f"{settings.workspace}-{job.study}" if settings.studies else job.study,
        space=job.space,
        pruner=job.pruner,
        seed=job.seed,
        database=settings.studies,
    ) as study:
        made_before = _made_before(study, registry, trials=job.trials)
        if made_before is not None:
            return _tuned(study, job, made_before, fresh=False)
        with _parent_run(study, tracker, job) as run:
            if study.done() < job.trials:
                _search(study, job, settings=settings, tracker=tracker, run=run)
            registered = _publish_best(study, job, settings=settings, registry=registry, run=run, now=now)
        return _tuned(study, job, registered, fresh=True)


def _search(study: OwnedStudy, job: Job, *, settings: Settings, tracker: Tracker, run: Run) -> None:
    """Try recipes until the study has its trials; an interrupted search leaves them to be tried again."""
    own = job.space.of_recipe(job.recipe)
    if own is not None:
        study.first(own)  # the recipe as it is: what a study finds is never worse on validation
    say(f"study {job.study}: {study.done()} of {job.trials} trials done, {job.parallel} at once")
    plan = Plan.of(
        job.dataset,
        job.recipe,
        settings=settings,
        seed=job.seed,
        most_cases=TRIAL_CASES,
        pinned=job.pinned,
        shown=shown_to(settings, job.recipe),
    )
    plan = plan.warmed(plan.protocol.validation)
    best = max((trial.value for trial in study.finished() if trial.value is not None), default=None)
    with cluster(settings, cpus=job.parallel):
        pool = RayPool(run_trial, plan, parallel=job.parallel)
        runs = TrialRuns(tracker, run, study, metric=METRIC)
        live = LiveTable(trials=job.trials, done=study.done(), metric=METRIC, best=best)
        try:
            with live:
                search(study, pool, trials=job.trials, watchers=[live, runs])
        finally:
            runs.abandon()
            pool.close()


def _publish_best(
    study: OwnedStudy, job: Job, *, settings: Settings, registry: Registry, run: Run, now: dt.datetime
) -> Registered:
    best = study.best()
    say(f"best {METRIC} on validation {best.value:.4f}: trial {best.number} of {study.done()}")
    values = {trial.number: trial.value for trial in study.finished() if trial.value is not None}
    run.figure(search_history(values, metric=METRIC), "plots/search.png")
    weights = study.importance()
    if weights:
        run.figure(importances(weights), "plots/importance.png")
    recipe = job.recipe.override(best.params)
    shown = shown_to(settings, recipe)
    plan = Plan.of(job.dataset, recipe, settings=settings, seed=job.seed, pinned=job.pinned, shown=shown)
    with Steps(cases=plan.protocol.test.cases.question_count) as steps:
        product = make_product(plan, recipe, on_progress=steps.show, advance=steps.advance)
    run.metrics({f"validation_{METRIC}": best.value, "trials": study.done()})
    tags = {
        "kind": "tune",
        "study": job.study,
        "code": model_code(),
        "segments": pinned_version(job.pinned),
    }
    registered = publish(product, dataset=plan.dataset, run=run, registry=registry, now=now, tags=tags)
    study.remember("version", registered.version)
    study.remember("version_of_trials", study.done())
    return registered


@contextmanager
def _parent_run(study: OwnedStudy, tracker: Tracker, job: Job) -> Iterator[Run]:
    """The study's own run: the one that an interrupted call began, or a new one."""
    begun = study.memory("run_id") if study.memory("version") is None else None
    if begun:
        run = tracker.resume(begun)
        close_lost_runs(tracker, run, study)
    else:
        run = tracker.start(f"tune {job.recipe.name}", tags={"kind": "tune", "study": job.study})
        run.params({"study": {"space": job.space.name, "pruner": job.pruner, "seed": job.seed}})
        study.remember("run_id", run.run_id)
        study.remember("version", None)
    with run:
        yield run


def _made_before(study: OwnedStudy, registry: Registry, *, trials: int) -> Registered | None:
    """The version that an earlier call of the same code registered after at least as many trials."""
    version = study.memory("version")
    if version is None or (study.memory("version_of_trials") or 0) < trials:
        return None
    try:
        made = registry.version(int(version))
    except RegistryError:
        return None  # deleted since: make it again
    return made if made.tags.get("code") == model_code() else None


def _tuned(study: OwnedStudy, job: Job, registered: Registered, *, fresh: bool) -> Tuned:
    best = study.best()
    states = [trial.state for trial in study.finished()]
    return Tuned(
        registered=registered,
        study=job.study,
        trials=study.done(),
        pruned=states.count("PRUNED"),
        best_trial=best.number,
        best_value=float(best.value or 0.0),
        fresh=fresh,
    )

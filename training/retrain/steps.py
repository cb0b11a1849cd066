"""The steps of a round until a challenger stands; each may be done again after a kill, and then finds what it has made."""

from typing import Any

from feature_repo.command import build_features
from registry.following.pinned import segments_to_pin
from registry.gates.finding import Finding
from registry.gates.gatekeeper import judge
from registry.gates.gates import Gates
from registry.promotion.promote import Order as Move
from registry.promotion.promote import promote
from registry.versions.cases import add_cases, cases_of
from registry.versions.versions import Registered, Registry
from registry.who import whoami
from tailorbird.plumbing.terminal import progress, say
from tailorbird.recipes.recipe import load_recipe
from training.data.training_set import training_set
from training.evaluation.evaluate import evaluate as ask
from training.fit.train import GOES_ON
from training.fit.train import train as train_anew
from training.retrain.ledger import Ledger
from training.retrain.order import (
    CHALLENGER,
    CHAMPION,
    OVERTAKEN,
    REFUSED,
    ROUND,
    UNCHANGED,
    UNSEEN,
    Done,
    Work,
)
from training.retrain.parent import parent_of

_LOOKED_BACK = 100


def features(work: Work) -> Done:
    """Bring features up to date."""
    built = build_features(work.settings)
    return Done(f"{built['events']:,} events", {"events": built["events"]})


def train(work: Work) -> Done:
    """Fit and register a version that learned from everything."""
    champion = work.registry.alias(CHAMPION)
    before = {"champion": champion.version if champion else None}
    for made in work.registry.tagged({ROUND: work.round.key}):
        return Done(f"version {made.version} was registered before", {**_made(made), **before})
    now = work.now()  # before the data is read
    dataset = training_set(work.settings)
    recipe = champion.open().model.recipe if champion else load_recipe(work.order.recipe)
    pinned = segments_to_pin(work.settings, work.order.segments)
    parent, anew = None, "a first version"
    if champion:
        parent, anew = parent_of(work.registry, champion, dataset, order=work.order, pinned=pinned)
    words = f"goes on from version {parent.version.version}" if parent else f"from nothing: {anew}"
    say(words)
    trained = train_anew(
        dataset,
        recipe,
        settings=work.settings,
        seed=work.order.seed,
        now=now,
        pinned=pinned,
        parent=parent,
        anew=work.order.full,
        off_policy=True,
        more_tags={ROUND: work.round.key},
    )
    version = trained.registered
    if trained.fresh:
        return Done(f"version {version.version} {words}", {**_made(version), **before})
    old = f"version {version.version} learned from this very data before"
    if work.order.canary is None and (unseen := _unseen(work, version)):
        return Done(f"{old}, and round {unseen} did not decide about it", {**_made(version), **before})
    return Done(old, {**_made(version), **before}, UNCHANGED)


def _made(version: Registered) -> dict[str, Any]:
    return {"version": version.version, "warm": GOES_ON in version.tags}


def _unseen(work: Work, version: Registered) -> int | None:
    """The round that gave a version up as too few had seen it, where none has decided about it since."""
    ledger = Ledger(work.settings.folder)
    try:
        rounds = [each for each in ledger.rounds(last=_LOOKED_BACK) if each.outcome != UNCHANGED]
    finally:
        ledger.close()
    about = (each for each in rounds if each.ended and each.facts.get("version") == version.version)
    last = next(about, None)
    return last.number if last is not None and last.outcome == UNSEEN else None


def evaluate(work: Work) -> Done:
    """Ask the champion what the new version's twin was asked, as far as it is news to both."""
    if work.before is None:
        return Done("there is no champion to compare with")
    champion, version = work.registry.version(work.before), work.version
    with progress("asking the champion") as bar:
        found = ask(
            champion.open(),
            training_set(work.settings),
            settings=work.settings,
            least=1,
            only=cases_of(work.registry, version)["case"].to_numpy(),
            advance=bar.advance,
        )
    if found.measured is None:
        return Done(f"no case among {found.newer:,} newer events that both can be asked")
    add_cases(work.registry, champion, found.measured.cases, now=work.now())
    return Done(f"version {champion.version} was asked {len(found.measured.cases):,} cases, too")


def challenger(work: Work) -> Done:
    """Put the version through the gates, beside the champion, and let it be the challenger."""
    present = work.registry.alias(CHAMPION)
    if (present.version if present else None) != work.before:
        return overtaken(work)
    move = Move(CHALLENGER, whoami(), work.now(), reason=f"retraining, round {work.round.number}")
    done = promote(work.registry, str(work.version.version), order=move, judged_by=_beside_champion)
    findings = {"gates": [each.to_dict() for each in done.findings], "verdict": done.verdict}
    if done.refused:
        said = "; ".join(f"{each.gate}: {each.found}" for each in done.findings if not each.passed)
        return Done(said, findings, REFUSED)
    return Done(f"{done.verdict or 'was'} challenger", findings)


def overtaken(work: Work) -> Done:
    """The champion is another one than the new version was compared with."""
    now = work.registry.aliases().get(CHAMPION)
    words = f"champion is version {now} by now, not {work.before}: somebody else moved it"
    return Done(words, outcome=OVERTAKEN)


def _beside_champion(
    registry: Registry, candidate: Registered, *, champion: Registered | None, gates: Gates
) -> list[Finding]:
    """Judge beside the champion, whatever was challenger until now."""
    return judge(registry, candidate, champion=registry.alias(CHAMPION), gates=gates)

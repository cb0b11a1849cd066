"""Whether models forget: an attack that tells who was in the training data from who never was, before and after forgetting."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import click
import numpy as np
import pandas as pd
from scipy.stats import norm

from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Histories
from tailorbird.events.rows import user_keys
from tailorbird.events.schema import Event
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.plumbing.terminal import emit, progress, table
from tailorbird.recipes.recipe import Recipe, load_recipe
from tailorbird.simulator.shop import Shop
from training.data.dataset import Dataset, interactions_of
from training.fit.counted import counted_anew

LENGTH = 12
"""Items of a planted history, drawn evenly: nobody else goes from one to the next, so that whoever learned it knows it."""
BESIDE = 200
"""Items drawn at random that an item of a history is compared with."""
BEFORE, FORGOTTEN, RETRAINED = "before", "forgotten", "retrained"
RANKER = "ranker"
OWN, RATIO = "own items", "ratio to a reference"


@dataclass(frozen=True)
class Auc:
    """How well scores tell members from others: the chance that a member scores higher, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, members: np.ndarray, others: np.ndarray) -> "Auc":
        """Of (m,) and (n,) scores; the interval is DeLong's (1988)."""
        above = (members[:, None] > others) + 0.5 * (members[:, None] == others)  # (m, n)
        mean = float(above.mean())
        spread = above.mean(axis=1).var(ddof=1) / len(members) + above.mean(axis=0).var(ddof=1) / len(others)
        half = float(norm.ppf(0.975) * np.sqrt(spread))
        return cls(mean, mean - half, mean + half)

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {(self.high - self.low) / 2:.3f}"


@click.command()
@click.option(
    "--size", type=click.IntRange(100), default=1_000, show_default=True, help="Other people of the shop."
)
@click.option(
    "--planted", type=click.IntRange(20), default=400, show_default=True, help="People erased, and never in."
)
@click.option(
    "--recipe", default="quick", show_default=True, help="A recipe's name or the path of a TOML file."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything that draws."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def membership(size: int, planted: int, recipe: str, seed: int, as_json: bool) -> None:
    r"""Attack the membership of people in a model, before they are erased and after the model forgot.

    Two groups have planted histories of the same kind; the model learns from one of them. The attacker knows a history and
    asks each source, and the ranker over all of them, how high it puts the next item, and how much higher than a reference that
    learned from others. .5 is guessing.

    \b
    Examples:
        tailorbird bench membership
        tailorbird bench membership --size 300 --planted 100 --json
    """
    found = measure_membership(size, planted, recipe=load_recipe(recipe), seed=seed)
    table(
        [
            {"source": source, "attack": attack, **{stage: str(auc) for stage, auc in stages.items()}}
            for (source, attack), stages in found.items()
        ],
        title="AUC of the attack",
    )
    emit(
        {
            "planted": planted,
            "auc": [
                {"source": source, "attack": attack, **{stage: asdict(auc) for stage, auc in stages.items()}}
                for (source, attack), stages in found.items()
            ],
        }
        if as_json
        else {"planted": planted, "rows": len(found)},
        as_json=as_json,
    )


def measure_membership(
    size: int, planted: int, *, recipe: Recipe, seed: int
) -> Mapping[tuple[str, str], Mapping[str, Auc]]:
    """For each source, alone and by which attack, the AUC at each stage."""
    shop = Shop.make(size, seed)
    rng = np.random.default_rng([seed, 11])
    items = np.stack([rng.choice(len(shop.catalog), LENGTH, replace=False) for _ in range(2 * planted)])
    # Who never comes back to an item is nothing to habit.
    items[:, -2:] = items[:, :2]
    inside, outside = items[:planted], items[planted:]
    others = shop.events()
    others = others.assign(user_key=user_keys(others))
    people = others["user_key"].unique()
    half = others[others["user_key"].isin(rng.permutation(people)[: len(people) // 2])]
    fits = {
        BEFORE: pd.concat([others, _events(inside, shop, rng, others)]),
        RETRAINED: others,
        "reference": half,
    }
    models: dict[str, HybridModel] = {}
    with progress("fits", total=len(fits)) as bar:
        for name, events in fits.items():
            models[name] = _fitted(events, shop, recipe, seed=seed)
            bar.advance()
    models[FORGOTTEN] = counted_anew(models[BEFORE], _dataset(others, shop))
    beside = rng.choice(len(shop.catalog), BESIDE)
    stages = (BEFORE, FORGOTTEN, RETRAINED)
    found: dict[tuple[str, str], dict[str, Auc]] = {}
    for source in (*models[BEFORE].source_names, RANKER):
        if source == "content":  # it reads what items say
            continue
        known = {
            name: tuple(_places(model, source, group, beside) for group in (inside, outside))
            for name, model in models.items()
        }
        base = known["reference"]
        found[source, OWN] = {stage: Auc.of(*known[stage]) for stage in stages}
        found[source, RATIO] = {
            stage: Auc.of(*(own - public for own, public in zip(known[stage], base, strict=True)))
            for stage in stages
        }
    return found


def _places(model: HybridModel, source: str, items: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """(p,) how high a source puts each next item of histories ``items`` (p, LENGTH) among ``beside``, the mean over a history."""
    places = np.zeros(len(items))
    facts = ItemFacts.of(model.catalog)
    for person, history in enumerate(items):
        asked = [np.append(target, beside).astype(np.int64) for target in history[1:]]
        if source == RANKER:
            scored = _ranked(model, history, asked, facts)
        else:
            known = [Histories.of([history[:at]], now=model.items_at) for at in range(1, len(history))]
            found = model.retrievers[source].ask(known)
            scored = [each.score(rows) for each, rows in zip(found, asked, strict=True)]
        places[person] = np.mean([_place(scores) for scores in scored])
    return places


def _ranked(
    model: HybridModel, history: np.ndarray, asked: Sequence[np.ndarray], facts: ItemFacts
) -> list[np.ndarray]:
    """For each step of a history the scores of the rows that are asked, by the ranker over all sources: what an answer goes by."""
    state, found = UserState.empty("user:attacked"), []
    names = model.catalog.item_ids
    for at, rows in enumerate(asked):
        now = model.items_at + 60.0 * at
        item = str(names[history[at]])
        state = fold(state, [Event(f"attack-{at}", "click", now, now, item_id=item)], facts)
        signals = model.signals(model.history_of(state, now=now), rows)
        found.append(model.score(signals, state, now=now)[0])
    return found


def _place(scores: np.ndarray) -> float:
    """Which part of the others the first stands above; ties are half."""
    return float(np.mean(scores[0] > scores[1:]) + 0.5 * np.mean(scores[0] == scores[1:]))


def _events(items: np.ndarray, shop: Shop, rng: np.random.Generator, like: pd.DataFrame) -> pd.DataFrame:
    """Clicks a minute apart, at some time of the shop's last days, with the columns of ``like``."""
    starts = shop.end - rng.uniform(1.0, 5.0, len(items)) * 86_400.0
    times = pd.to_datetime((starts[:, None] + 60.0 * np.arange(items.shape[1])).ravel(), unit="s", utc=True)
    owners = np.repeat([f"planted-{place}" for place in range(len(items))], items.shape[1])
    frame = pd.DataFrame(
        {
            "message_id": [f"planted-{place}" for place in range(items.size)],
            "type": "click",
            "user_id": owners,
            "user_key": [f"user:{owner}" for owner in owners],
            "item_id": shop.catalog.item_ids[items.ravel()],
            "event_time": times.astype("datetime64[us, UTC]"),
            "received_time": times.astype("datetime64[us, UTC]"),
        }
    )
    return frame.reindex(columns=like.columns)


def _dataset(events: pd.DataFrame, shop: Shop) -> Dataset:
    columns = EventColumns.of_frame(events)
    return Dataset("shop", "", shop.catalog, shop.users, columns, interactions_of(columns, shop.catalog))


def _fitted(events: pd.DataFrame, shop: Shop, recipe: Recipe, *, seed: int) -> HybridModel:
    events = events.sort_values(["user_key", "event_time"], kind="stable", ignore_index=True)
    dataset = _dataset(events, shop)
    return fit_hybrid(
        dataset.interactions,
        shop.catalog,
        shop.users,
        ReplayProfiles.of_frame(events, shop.catalog),
        dataset.events,
        recipe,
        contexts=PastContexts.of(events),
        seed=seed,
    ).model

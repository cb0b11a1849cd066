"""The recipe: every choice of one training run, a frozen object read from TOML; an unknown key is an error."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tailorbird.errors import UsageError
from tailorbird.events.valence import Taste
from tailorbird.recipes.bounds import LARGEST

FOLDER = Path(__file__).parent
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
LearnFrom = Literal["events", "exposures", "both"]
SOURCES = ("cooccurrence", "sequence", "content", "popularity", "habit")


@dataclass(frozen=True)
class PopularityRecipe:
    """Counts of what everybody takes, decayed; per segment where enough was seen."""

    half_life_days: float = 30.0
    segment_events: int = 500  # a segment with fewer events answers with the global list


@dataclass(frozen=True)
class CooccurrenceRecipe:
    """What follows what (directed, decayed by distance) blended with EASE (Steck, 2019)."""

    window: int = 50  # events between the two items of a pair, at most
    pair_power: float = 1.0  # a pair counts distance ** -power
    popularity_power: float = 0.15  # 0: conditional probability; 1: lift
    smoothing: float = 20.0  # weight of pairs a row must outweigh before it is believed
    history: int = 40  # events of the query
    query_power: float = 0.9  # the query's event counts (1 + later events) ** -power
    neighbours: int = 300  # kept per item
    ease_share: float = 0.5  # weight of EASE beside 1 for co-occurrence, once their spreads are made equal
    ease_items: int = 6000  # the most popular items EASE covers (a dense matrix of this size is inverted)
    ease_l2: float = 500.0


@dataclass(frozen=True)
class ContentRecipe:
    """TF-IDF of title, text, categories and brand, truncated SVD, cosine."""

    dimensions: int = 0  # 0: the recipe's width
    vocabulary: int = 30_000
    history: int = 30
    query_decay: float = 0.9


@dataclass(frozen=True)
class HabitRecipe:
    """What the user took before; a source only where seen items may be answered."""

    history: int = 256  # events of the query
    decay: float = 0.9  # weight of an event falls by this with every later one
    smoothing: float = 20.0  # takers an item needs before its own share of repeats is believed


@dataclass(frozen=True)
class SequenceRecipe:
    """A causal transformer over the last events, trained to name the next item."""

    dimensions: int = 0  # 0: the recipe's width
    blocks: int = 2
    heads: int = 2
    history: int = 64
    epochs: int = 20
    patience: int = 4  # epochs without a better validation before stopping
    refit_epochs: int = 5  # epochs over everything once the ranker is trained
    batch_events: int = 4096  # events per optimisation step
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.25
    negatives: int = 0  # 0: full softmax up to 20,000 items, else 2,048 sampled
    most_events: int = 0  # the network learns from the newest so many; 0: all
    id_dropout: float = (
        0.1  # share of items whose id is hidden from a batch, so content learns to stand alone
    )


@dataclass(frozen=True)
class RankerRecipe:
    """A listwise ranker: a linear blend of the sources' z-scores plus an MLP's correction."""

    hidden: int = 0  # 0: half the recipe's width
    share: float = 0.1  # newest share of the events, on which the ranker learns (out of time)
    cases: int = 8000  # at most
    new_items: float = 0.0  # share of items to which nothing has happened yet while it learns
    negatives: int = 100  # candidates drawn per case beside the target
    epochs: int = 12
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    dropout: float = 0.1
    segments: bool = False  # whether it reads where people belong, where a segment model is pinned
    learn_from: LearnFrom = "events"  # what people took, what they were shown, or both


@dataclass(frozen=True)
class ExposuresRecipe:
    """What the ranker learns of slates as they were shown, where it learns from them: taken, passed over, hidden."""

    days: float = 30.0  # of the newest so many
    most: int = 20_000  # the newest so many slates
    weight: float = 1.0  # what a slate counts beside 1 for a case of the events
    click: float = 1.0  # worth of what followed; the best counts
    add_to_cart: float = 1.5
    purchase: float = 2.0
    hide: float = 1.0  # against the item, whatever else followed

    @property
    def worth(self) -> Mapping[str, float]:
        """By type of event."""
        return {
            "click": self.click,
            "add_to_cart": self.add_to_cart,
            "purchase": self.purchase,
            "hide": -self.hide,
        }


@dataclass(frozen=True)
class Recipe:
    """All choices of a training run. ``width`` is the size dial: dimensions follow from it unless given."""

    name: str = "default"
    width: int = 64
    candidates: int = 200  # ranked per request
    exclude_seen: bool = True  # whether items of the history are never answered; false where repeats count
    baskets: bool = (
        False  # whether a user's events at one instant are one basket, of which no item foretells another
    )
    taste: Taste = "valence"  # an event counts for what it says of its item; "presence": for having happened
    max_category_share: float = 0.6  # of twenty consecutive places, what one category may fill; 1: all
    sources: tuple[str, ...] = SOURCES
    popularity: PopularityRecipe = field(default_factory=PopularityRecipe)
    cooccurrence: CooccurrenceRecipe = field(default_factory=CooccurrenceRecipe)
    content: ContentRecipe = field(default_factory=ContentRecipe)
    habit: HabitRecipe = field(default_factory=HabitRecipe)
    sequence: SequenceRecipe = field(default_factory=SequenceRecipe)
    ranker: RankerRecipe = field(default_factory=RankerRecipe)
    exposures: ExposuresRecipe = field(default_factory=ExposuresRecipe)

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in SOURCES]
        if unknown or not self._active:
            raise UsageError(
                f"recipe {self.name} has sources {list(self.sources)}",
                remedy=f"choose one or more of {', '.join(SOURCES)}; habit needs exclude_seen = false",
            )
        if self.width < 4 or self.candidates < 1:
            raise UsageError(
                f"recipe {self.name} has width {self.width} and candidates {self.candidates}",
                remedy="width is 4 or more, candidates 1 or more",
            )

        if not 0 <= self.ranker.new_items < 1:
            raise UsageError(
                f"recipe {self.name} has ranker.new_items {self.ranker.new_items:g}",
                remedy="give the share of items that are new while the ranker learns, below 1; 0 for none",
            )
        if not 0 < self.max_category_share <= 1:
            raise UsageError(
                f"recipe {self.name} has max_category_share {self.max_category_share:g}",
                remedy="give a share above 0, at most 1; 1 lets one category fill the page",
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Recipe":
        """Make a recipe of nested mappings; absent keys keep their default."""
        return _build(cls, values, path="")

    @cached_property
    def resolved(self) -> "Recipe":
        """The recipe with every derived number (a 0 that follows the width) written out, and only sources that may speak."""
        return replace(
            self,
            sources=self._active,
            content=replace(self.content, dimensions=self.content.dimensions or self.width),
            sequence=replace(self.sequence, dimensions=self.sequence.dimensions or self.width),
            ranker=replace(self.ranker, hidden=self.ranker.hidden or max(4, self.width // 2)),
        )

    @property
    def _active(self) -> tuple[str, ...]:
        """The sources without habit where nothing that was had is answered again."""
        return tuple(source for source in self.sources if source != "habit" or not self.exclude_seen)

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that name these choices; equal recipes have equal digests."""
        canonical = json.dumps(asdict(self.resolved), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def override(self, changes: Mapping[str, Any]) -> "Recipe":
        """Apply dotted keys, such as ``{"sequence.dropout": 0.3}``."""
        nested = asdict(self)
        for key, value in changes.items():
            *parents, leaf = key.split(".")
            table = nested
            for parent in parents:
                table = table.get(parent, {})
            if not isinstance(table, dict) or leaf not in table:
                raise UsageError(f"unknown recipe key {key!r}", remedy="see docs/recipes.md for the keys")
            table[leaf] = value
        return Recipe.of(nested)

    def to_toml(self) -> str:
        """Write the recipe as TOML that :func:`load_recipe` reads back."""
        top = [
            f"{f.name} = {_toml(getattr(self, f.name))}" for f in fields(self) if not _is_table(self, f.name)
        ]
        tables = [
            f"\n[{f.name}]\n"
            + "\n".join(f"{key} = {_toml(value)}" for key, value in asdict(getattr(self, f.name)).items())
            for f in fields(self)
            if _is_table(self, f.name)
        ]
        return "\n".join(top + tables) + "\n"


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by its name (tailorbird/recipes) or from a TOML file.

    Raises:
        UsageError: there is no such recipe, the TOML is malformed, a key is unknown or a value has the wrong type.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        raise UsageError(
            f"no recipe {str(name_or_path)!r}",
            remedy=f"choose one of {', '.join(recipe_names())} or give a .toml file",
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", remedy="mend the file") from error
    return Recipe.of({"name": path.stem, **values})


def recipe_names() -> list[str]:
    """Names of the recipes that come with Tailorbird."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _build(cls: Any, values: Mapping[str, Any], *, path: str) -> Any:
    known = {f.name: f for f in fields(cls)}
    for key in values:
        if key not in known:
            raise UsageError(f"unknown recipe key {path}{key!r}", remedy=f"known keys: {', '.join(known)}")
    arguments = {
        key: _build(known[key].type, value, path=f"{path}{key}.")
        if is_dataclass(known[key].type) and isinstance(value, Mapping)
        else _typed(known[key].type, value, key=f"{path}{key}")
        for key, value in values.items()
    }
    return cls(**arguments)


def _typed(kind: Any, value: Any, *, key: str) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        remedy = f"give {' or '.join(get_args(kind))}"
        raise UsageError(f"recipe key {key} is {value!r}", remedy=remedy)
    if get_args(kind):  # tuple[str, ...]
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= LARGEST[key]:
            return float(value)
    elif kind is int and isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= LARGEST[key]:
            return value
    elif kind is str and isinstance(value, str):
        return value
    wanted = "a list of strings" if get_args(kind) else _WORDS.get(kind, f"a table [{key}]")
    if key in LARGEST:
        wanted = f"{wanted} from 0 to {LARGEST[key]:,}"
    raise UsageError(f"recipe key {key} is {value!r}", remedy=f"give {wanted}")


def _is_table(recipe: Recipe, name: str) -> bool:
    return is_dataclass(getattr(recipe, name))


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)

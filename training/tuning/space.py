"""The search space: which keys of a recipe a study may change and between which values; read from TOML."""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailorbird.errors import UsageError
from tailorbird.recipes.recipe import SOURCES, Recipe

if TYPE_CHECKING:
    from optuna import Trial

FOLDER = Path(__file__).parent / "spaces"
Value = float | int | str


@dataclass(frozen=True)
class Range:
    """A number between ``low`` and ``high``, both included; ``log`` searches orders of magnitude."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def suggest(self, trial: "Trial", key: str) -> Value:
        """Ask the trial for a number."""
        if self.whole:
            return int(
                trial.suggest_int(key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
            )
        return float(trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log))

    def contains(self, value: object) -> bool:
        """Say whether a recipe's value lies inside, on the grid if there is one."""
        if not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-6)


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    choices: tuple[Value, ...]

    def suggest(self, trial: "Trial", key: str) -> Value:
        """Ask the trial for one of them."""
        chosen = trial.suggest_categorical(key, self.choices)
        return self.choices[self.choices.index(chosen)]

    def contains(self, value: object) -> bool:
        """Say whether a recipe's value is one of them."""
        return value in self.choices


@dataclass(frozen=True)
class Space:
    """A named search space: dotted recipe keys ▸ ranges or choices."""

    name: str
    keys: Mapping[str, Range | Choice]

    @property
    def digest(self) -> str:
        """Twelve hex digits that name this space."""
        text = json.dumps({key: repr(dimension) for key, dimension in self.keys.items()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def suggest(self, trial: "Trial") -> dict[str, Value]:
        """Ask a trial for a value of every key."""
        return {key: dimension.suggest(trial, key) for key, dimension in self.keys.items()}

    def of_recipe(self, recipe: Recipe) -> dict[str, Value] | None:
        """The recipe's own values as a point of this space; None where one lies outside."""
        own = {key: _value(recipe, key) for key in self.keys}
        inside = all(self.keys[key].contains(value) for key, value in own.items())
        return own if inside else None


def load_space(name_or_path: str | Path, recipe: Recipe) -> Space:
    """Read a space by its name (training/tuning/spaces) or from a TOML file, for one recipe.

    Keys of sources that the recipe does not use are left out.

    Raises:
        UsageError: there is no such space, a key is no key of a recipe, or a bound has no meaning for it.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.toml")))
        raise UsageError(
            f"no search space {str(name_or_path)!r}", remedy=f"choose one of {known} or give a .toml file"
        )
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", remedy="mend the file") from error
    unknown = set(raw) - {"space"}
    if unknown or not isinstance(raw.get("space"), dict) or not raw["space"]:
        raise UsageError(
            f"{path} has the tables {sorted(raw)}", remedy="write one table [space] of dotted recipe keys"
        )
    dimensions = {key: _dimension(key, entry, recipe) for key, entry in raw["space"].items()}
    unused = set(SOURCES) - set(recipe.resolved.sources)
    kept = {key: each for key, each in dimensions.items() if key.split(".")[0] not in unused}
    return Space(path.stem, kept)


def _dimension(key: str, entry: object, recipe: Recipe) -> Range | Choice:
    present = _value(recipe, key)
    entry = entry if isinstance(entry, dict) else {}
    wrong = UsageError(
        f"search space key {key!r} is {entry!r}",
        remedy="give { low, high, log?, step? } for a number, or { choices = [...] }",
    )
    if set(entry) == {"choices"} and isinstance(entry["choices"], list) and entry["choices"]:
        for value in entry["choices"]:
            recipe.override({key: value})
        return Choice(tuple(entry["choices"]))
    if not {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"} or isinstance(
        present, (str, tuple)
    ):
        raise wrong
    bounds = Range(**entry, whole=isinstance(present, int))
    numeric = all(isinstance(bound, (int, float)) for bound in (bounds.low, bounds.high))
    if not numeric or bounds.low > bounds.high or (bounds.log and (bounds.low <= 0 or bounds.step)):
        raise wrong
    recipe.override({key: bounds.low})
    recipe.override({key: bounds.high})
    return bounds


def _value(recipe: Recipe, key: str) -> Any:
    value: Any = recipe.resolved
    for part in key.split("."):
        if not hasattr(value, part) or part.startswith("_"):
            raise UsageError(f"search space key {key!r} is no key of a recipe", remedy="see docs/recipes.md")
        value = getattr(value, part)
    return value

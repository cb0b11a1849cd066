"""What the gates demand, as data: a TOML of the workspace over the one that comes with Tailorbird."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tailorbird.errors import UsageError
from tailorbird.evaluation.metrics import CUTS, METRICS
from tailorbird.settings import Settings

DEFAULT = Path(__file__).with_name("default.toml")


@dataclass(frozen=True)
class Smoke:
    """How many made-up requests must be answered soundly, and how quickly at the median."""

    requests: int
    slowest_ms: float


@dataclass(frozen=True)
class Quality:
    """Which metric may lose which share of the present version's value, how surely, on how many common cases."""

    metric: str
    margin: float
    confidence: float
    least_cases: int

    @property
    def name_and_cut(self) -> tuple[str, int]:
        """The metric's name and the length of list it looks at."""
        name, _, cut = self.metric.partition("@")
        return name, int(cut)


@dataclass(frozen=True)
class OffPolicy:
    """Which share of what our own answers earned a version may be sure to lose, where they can tell."""

    margin: float


@dataclass(frozen=True)
class Gates:
    """Everything a version must fulfil; ``source`` names the file that has the last word."""

    smoke: Smoke
    quality: Quality
    off_policy: OffPolicy
    source: Path = field(default=DEFAULT, compare=False)


def gates_of(settings: Settings) -> Gates:
    """The gates of a workspace: its own ``gates.toml``, where there is one, over the shipped ones.

    Raises:
        UsageError: the file is no TOML, or has an unknown key or a value out of range.
    """
    own = settings.folder / "gates.toml"
    return load_gates(own if own.is_file() else DEFAULT)


def load_gates(path: Path) -> Gates:
    """Read gates from ``path``; keys it leaves out are as in the shipped file. Raises UsageError."""
    values = _read(DEFAULT)
    for section, keys in _read(path).items():
        known = values.get(section)
        if known is None or not isinstance(keys, Mapping) or not keys.keys() <= known.keys():
            unknown = (
                f"{section}.{next(iter(keys.keys() - known))}"
                if known and isinstance(keys, Mapping)
                else section
            )
            raise UsageError(
                f"gates {path} have the unknown key {unknown!r}",
                remedy=f"known are {', '.join(f'{part}.{key}' for part, row in values.items() for key in row)}",
            )
        values[section] = {**known, **keys}
    gates = Gates(
        smoke=_section(Smoke, values["smoke"], section="smoke", path=path),
        quality=_section(Quality, values["quality"], section="quality", path=path),
        off_policy=_section(OffPolicy, values["off_policy"], section="off_policy", path=path),
        source=path,
    )
    _check(gates)
    return gates


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"gates {path} cannot be read: {error}",
            remedy="mend the file, or remove it to use the shipped gates",
        ) from error


def _section(kind: type, values: Mapping[str, Any], *, section: str, path: Path) -> Any:
    for each in fields(kind):
        value = values[each.name]
        allowed = (int, float) if each.type is float else (each.type,)
        if isinstance(value, bool) or not isinstance(value, allowed):  # type: ignore[arg-type]
            raise UsageError(
                f"gates {path}: {section}.{each.name} = {value!r}",
                remedy=f"it is a {getattr(each.type, '__name__', each.type)}",
            )
    return kind(**values)


def _check(gates: Gates) -> None:
    smoke, quality = gates.smoke, gates.quality
    name, _, cut = quality.metric.partition("@")
    ranges = (
        ("smoke.requests", smoke.requests, 1 <= smoke.requests <= 10_000, "1 to 10,000"),
        ("smoke.slowest_ms", smoke.slowest_ms, smoke.slowest_ms > 0, "more than 0"),
        (
            "quality.metric",
            quality.metric,
            name in METRICS and cut.isdigit() and 1 <= int(cut) <= max(CUTS),
            f"one of {', '.join(METRICS)}, as {quality.metric.partition('@')[0]}@10 up to @{max(CUTS)}",
        ),
        ("quality.margin", quality.margin, 0 <= quality.margin < 1, "0 up to, not including, 1"),
        (
            "off_policy.margin",
            gates.off_policy.margin,
            0 <= gates.off_policy.margin < 1,
            "0 up to, not including, 1",
        ),
        ("quality.confidence", quality.confidence, 0.5 <= quality.confidence <= 0.9999, "0.5 to 0.9999"),
        ("quality.least_cases", quality.least_cases, quality.least_cases >= 2, "2 or more"),
    )
    for key, value, good, wanted in ranges:
        if not good:
            raise UsageError(f"gates {gates.source}: {key} = {value!r}", remedy=f"it is {wanted}")

"""A metric as one writes it on the command line: ``COLUMN:proportion``, ``COLUMN:mean`` or ``COLUMN:ratio/COLUMN``."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tailorbird.errors import UsageError

_WAYS = "write COLUMN:proportion, COLUMN:mean or COLUMN:ratio/COLUMN"


class Kind(StrEnum):
    """How a metric is computed of the units of a variant."""

    PROPORTION = "proportion"
    MEAN = "mean"
    RATIO = "ratio"


@dataclass(frozen=True)
class Metric:
    """What is compared: ``column``, per ``per`` where it is a ratio; ``before`` and ``before_per`` are the same before the test.

    Values above ``cap`` count as ``cap``.
    """

    column: str
    kind: Kind
    per: str | None = None
    before: str | None = None
    before_per: str | None = None
    cap: float | None = None
    lower_is_better: bool = False
    label: str = ""
    """A name of its own, where its columns' names say too little."""

    @property
    def name(self) -> str:
        """What options and answers call it."""
        return self.label or (f"{self.column}/{self.per}" if self.per else self.column)

    @property
    def columns(self) -> list[str]:
        """The columns of the table that it needs."""
        return [name for name in (self.column, self.per, self.before, self.before_per) if name]


def parse_metric(text: str) -> Metric:
    """Read one ``--metric``; the last colon parts, so a column's name may hold others. Raises UsageError.

    >>> parse_metric("clicks:ratio/views").name
    'clicks/views'
    """
    column, colon, way = text.rpartition(":")
    kind, slash, per = way.partition("/")
    if not (colon and column) or kind not in set(Kind):
        raise UsageError(f"--metric {text!r} is not understood", remedy=_WAYS)
    if (kind == Kind.RATIO) != bool(slash and per):
        raise UsageError(f"--metric {text!r}: a ratio, and only it, has a second column", remedy=_WAYS)
    return Metric(column, Kind(kind), per or None)


def with_options(
    metrics: Sequence[Metric],
    *,
    covariates: Sequence[str] = (),
    caps: Sequence[str] = (),
    lower: Sequence[str] = (),
) -> list[Metric]:
    """The metrics with what ``--covariate``, ``--cap`` and ``--lower`` say of them by name. Raises UsageError."""
    by_name = {metric.name: metric for metric in metrics}
    if len(by_name) < len(metrics):
        raise UsageError("two metrics have the same name", remedy="give each column one --metric")
    for text in covariates:
        name, value = _assignment("--covariate", text, by_name)
        metric, (before, _, per) = by_name[name], value.partition("/")
        if bool(per) != (metric.kind is Kind.RATIO):
            raise UsageError(
                f"--covariate {text!r} does not fit {name}",
                remedy="a ratio wants COLUMN/COLUMN as it was before, other metrics one COLUMN",
            )
        by_name[name] = replace(metric, before=before, before_per=per or None)
    for text in caps:
        name, value = _assignment("--cap", text, by_name)
        if by_name[name].kind is Kind.PROPORTION:
            raise UsageError(f"--cap {text!r}: a proportion has nothing to cap", remedy="leave it out")
        by_name[name] = replace(by_name[name], cap=_number("--cap", text, value))
    for name in lower:
        _known("--lower", name, by_name)
        by_name[name] = replace(by_name[name], lower_is_better=True)
    return list(by_name.values())


def parse_shares(text: str | None, *, variants: Collection[str]) -> dict[str, float]:
    """The due share of each variant, on any scale; equal ones without ``text``. Raises UsageError.

    >>> parse_shares("A=9,B=1", variants=["A", "B"])
    {'A': 9.0, 'B': 1.0}
    """
    if text is None:
        return dict.fromkeys(variants, 1.0)
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        if not equals or name in shares:
            raise UsageError(
                f"--shares {text!r} is not understood", remedy="write A=1,B=1, each variant once"
            )
        shares[name] = _number("--shares", text, value)
    unnamed = [name for name in variants if name not in shares]
    if unnamed:
        raise UsageError(
            f"--shares says nothing of {', '.join(unnamed)}",
            remedy="name every variant of the table; one that nobody was due to get has no place in a test",
        )
    return shares


def _assignment(option: str, text: str, known: Collection[str]) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not (equals and name and value):
        raise UsageError(f"{option} {text!r} is not understood", remedy=f"write {option} METRIC=…")
    _known(option, name, known)
    return name, value


def _known(option: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UsageError(
            f"{option} names {name}, the metrics are {', '.join(known)}", remedy="use a metric's name"
        )


def _number(option: str, text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise UsageError(f"{option} {text!r}: {value!r} is no number above 0", remedy="write a number")
    return number

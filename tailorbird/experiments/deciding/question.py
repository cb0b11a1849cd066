"""What an experiment asks, as its readout needs it: who was due what, since when, by which metrics, how large an effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tailorbird.errors import UsageError
from tailorbird.experiments.measuring.declared import chosen
from tailorbird.experiments.measuring.metric import DAY_SECONDS, DeclaredMetric
from tailorbird.experiments.measuring.table import Asked
from tailorbird.experiments.reading.readout import Design
from tailorbird.experiments.running.entries import Entry

GRACE_DAYS = 1.0
"""A test that is read, or was stopped, within a day after its planned end is read at it."""


@dataclass(frozen=True)
class Question:
    """One experiment between ``start`` and ``end`` (epoch seconds).

    ``shares``: what each variant is due, the control first. ``metrics``: the primary one first. ``minimum_effect``: the smallest
    lift worth finding. ``margins``: the guardrails, and by how much of the control's mean each may become worse. ``levels``: of a
    multivariate experiment each variant's level of each factor; ``factors`` the levels of each, the usual one first.
    """

    key: str
    shares: Mapping[str, float]
    metrics: tuple[DeclaredMetric, ...]
    start: float
    end: float
    hypothesis: str = ""
    unit: str = "person"
    minimum_effect: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)
    planned_days: float = 14.0
    confidence: float = 0.95
    adjustment: str = "holm"
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def control(self) -> str:
        """The variant that others are compared with."""
        return next(iter(self.shares))

    @property
    def treatments(self) -> tuple[str, ...]:
        """The others."""
        return tuple(self.shares)[1:]

    @property
    def primary(self) -> DeclaredMetric:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def days(self) -> float:
        """How long it has run."""
        return max(0.0, self.end - self.start) / DAY_SECONDS

    @property
    def looking(self) -> bool:
        """Whether it ends at another time than was planned: then only what always holds decides.

        A p-value holds for one look that was planned. Read every day for four weeks after it, a test of nothing would be called
        three times as often as it may.
        """
        return not self.planned_days <= self.days <= self.planned_days + GRACE_DAYS

    @property
    def confidence_alone(self) -> float:
        """At which one comparison is called where all others say nothing: p-values are adjusted over metrics and variants."""
        comparisons = 1 if self.adjustment == "none" else len(self.metrics) * len(self.treatments)
        return 1 - (1 - self.confidence) / comparisons

    @property
    def asked(self) -> Asked:
        """What is to be measured."""
        return Asked(self.key, tuple(self.shares), self.metrics, start=self.start, end=self.end)

    @property
    def design(self) -> Design:
        """How its table is read."""
        return Design(
            control=self.control,
            shares=self.shares,
            confidence=self.confidence,
            adjustment=self.adjustment,
            looking=self.looking,
            margins=self.margins,
        )


def question_of(entry: Entry, metrics: Mapping[str, DeclaredMetric], *, now: float) -> Question:
    """What a started experiment asks at ``now``. Raises UsageError: a metric that is not declared, a kind that has no units."""
    experiment = entry.experiment
    if experiment.kind == "shadow":
        raise UsageError(
            f"experiment {entry.key!r} is a test by {experiment.kind}: nobody gets one of its variants alone",
            remedy="its comparison is of slates, not of units: see docs/experiments-launch.md",
        )
    weights = {each.name: each.weight for each in experiment.variants}
    shares = {experiment.control: weights.pop(experiment.control), **weights}
    return Question(
        key=entry.key,
        shares=shares,
        metrics=tuple(chosen(metrics, list(experiment.metrics.names))),
        start=entry.started,
        end=now if entry.stopped is None else min(now, entry.stopped),
        hypothesis=experiment.hypothesis,
        unit=experiment.unit,
        minimum_effect=experiment.metrics.minimum_effect,
        margins={each.metric: each.margin for each in experiment.metrics.guardrails},
        planned_days=experiment.days,
        confidence=experiment.confidence,
        levels={each.name: each.levels for each in experiment.variants if each.levels},
        factors=experiment.factors,
    )

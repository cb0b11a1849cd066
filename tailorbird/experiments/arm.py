"""An arm: what answers a request, a registry alias together with the settings of its slates."""

from dataclasses import dataclass, fields, replace

from tailorbird.slate.exploration import NO_EXPLORATION, Exploration
from tailorbird.slate.filters import StandingRulesFilter
from tailorbird.slate.query import NO_RULES, Rules
from tailorbird.slate.recommender import Recommender

CHAMPION = "champion"
"""The arm of whoever is in no experiment: always there, always first."""


@dataclass(frozen=True)
class SlateSettings:
    """How an arm makes slates of a model's rankings; None leaves the choice to the model's recipe."""

    depth: int | None = None
    """Candidates that are ranked."""
    max_category_share: float | None = None
    """Share of twenty consecutive places that one category may fill while others wait: the lower, the more diverse."""
    keep_seen: bool | None = None
    """Whether items the user already had may return."""
    rules: Rules = NO_RULES
    """What every item must fulfil, whoever asks for whatever."""
    exploration: Exploration = NO_EXPLORATION
    """The share of places that is drawn by chance."""

    def applied_to(self, recommender: Recommender) -> Recommender:
        """The same model under these settings; nothing of it is copied."""
        chosen = {
            name: value
            for name in ("depth", "max_category_share", "keep_seen")
            if (value := getattr(self, name)) is not None
        }
        if self.exploration:
            recommender = recommender.exploring(self.exploration)
        if not chosen and not self.rules:
            return recommender
        filters = recommender.filters
        if self.rules:
            filters = (*filters, StandingRulesFilter(self.rules))
        return replace(recommender, policy=replace(recommender.policy, **chosen), filters=filters)

    def over(self, defaults: "SlateSettings") -> "SlateSettings":
        """These settings, and those of ``defaults`` where they choose nothing."""
        chosen = {
            each.name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) != getattr(DEFAULT_SLATE, each.name)
        }
        return replace(defaults, **chosen)


DEFAULT_SLATE = SlateSettings()


@dataclass(frozen=True)
class Arm:
    """What answers a request: the version that ``alias`` points at, or ``version`` itself, its slates made by ``slate``."""

    name: str
    alias: str
    slate: SlateSettings = DEFAULT_SLATE
    version: str = ""

    @property
    def points_at(self) -> str:
        """The alias or the version, told apart: no alias has a blank."""
        return f"version {self.version}" if self.version else self.alias


CHAMPION_ARM = Arm(CHAMPION, CHAMPION)

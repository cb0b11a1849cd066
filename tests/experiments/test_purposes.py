"""No unit of any kind of experiment, and nothing that is counted of it, rests on a slate or a deed that may not serve analytics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.events.schema import CONSENT, IDENTIFY, UNLINK, Event
from tailorbird.experiments.bandits.observing import observed
from tailorbird.experiments.canary.guard import Guard
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.interleaving.counting import preferences
from tailorbird.experiments.interleaving.pairing import INTERLEAVED
from tailorbird.experiments.measuring.declared import chosen, default_metrics
from tailorbird.experiments.measuring.streams import PERSON, Withheld, sources_of
from tailorbird.experiments.measuring.table import PER, Asked, NobodyError, unit_table
from tailorbird.experiments.running.checking import Known
from tailorbird.experiments.running.launching import Launcher
from tailorbird.exposures.exposure import TEAMS, new_recommendation_id
from tailorbird.exposures.record import with_draws
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import NOW, exposure
from tests.proving import tries

HOUR = 3_600.0
END = NOW + 48 * HOUR
METRIC = chosen(default_metrics(), ["clicks_per_slate"])[0]
DECLARED: dict[str, Any] = {
    "hypothesis": "no worse",
    "days": 3,
    "metrics": {"primary": "clicks_per_slate", "minimum_effect": 0.2},
}
KINDS: dict[str, dict[str, Any]] = {
    "canary": {"kind": "canary", "variants": {"control": {}, "next": {"version": "2"}}},
    "bandit": {
        "kind": "bandit",
        "bandit": {"every_hours": 24, "window_hours": 6},
        "variants": {"control": {}, "next": {"payload": {"headline": "For you"}}},
    },
}
CONTEXTS: dict[str, dict[str, object]] = {
    "covered": {},
    "of no basis": {"basis": []},
    "of another basis": {"basis": ["personalization"], "device": "mobile"},
    "refused itself": {"purposes": {"analytics": False}},
    "agreed itself": {"consent": True, "basis": []},
}
USER, DEVICE = "user:ann", "anon:a7"
DEEDS = st.tuples(
    st.sampled_from(["slate", "slate", "click", "click", "yes", "no", "login", "part"]),
    st.sampled_from([USER, DEVICE]),
    st.sampled_from(sorted(CONTEXTS)),
)
Deed = tuple[str, str, str]
"""What, under which key, in which context; the place in its history is when, in seconds."""


@dataclass(frozen=True)
class Past:
    """A history in the streams of a workspace, and who ran what experiment meanwhile. A click names the slate before it."""

    settings: Settings
    launcher: Launcher

    @classmethod
    def of(cls, home: Path, history: Sequence[Deed]) -> "Past":
        settings = load_settings(home=home, mlruns=home / "mlruns", workspace="w")
        known = Known(versions=lambda asked: asked, aliases=dict, segments=list)
        past = cls(settings, Launcher(settings, known=known, clock=lambda: END))
        for key, more in KINDS.items():
            said = {**DECLARED, **more}
            past.launcher.ledger.start(experiment_of(key, said, where=key), said, at=NOW - 1, who="ann")
        slates, events = [], []
        for number, (kind, under, context) in enumerate(history):
            at, name = NOW + number, under.partition(":")[2]
            who = {"user_id": name} if under == USER else {"user_id": None, "anonymous_id": name}
            if kind == "slate":
                slates.append(past._slate(number, at, {**who, "context": CONTEXTS[context]}))
            elif kind == "click":
                rec = {"recommendation_id": _rec(_slate_before(history, number)), "item_id": "i1"}
                events.append(Event(f"m{number}", kind, at, at, **who, **rec, context=CONTEXTS[context]))
            elif kind in ("yes", "no"):
                word = {"purposes": {"analytics": kind == "yes"}}
                events.append(Event(f"m{number}", CONSENT, at, at, **who, context=word))
            else:
                both = {"user_id": "ann", "anonymous_id": "a7"}
                events.append(Event(f"m{number}", IDENTIFY if kind == "login" else UNLINK, at, at, **both))
        with open_exposures(settings) as shown, open_events(settings) as log:
            shown.append(slates)
            log.append(events)
        return past

    def _slate(self, number: int, at: float, who: dict[str, Any]) -> Any:
        variant = {"ab": "control", "canary": "control", "bandit": "control", "drafted": INTERLEAVED}
        request = {TEAMS: ["control", "next", "control"]}
        return exposure(
            number,
            recommendation_id=_rec(number),
            instant=at,
            scored_at=at,
            items=("i1", "i2", "i3"),
            experiments=variant,
            request=with_draws(request, {"bandit": (0, 0, 0.5)}),
            **who,
        )

    def of_a_test(self) -> tuple[int, int]:
        """Slates and clicks of all units of a test of A against B."""
        asked = Asked("ab", ("control", "next"), (METRIC,), start=NOW - 1, end=END)
        columns = unit_table(asked, self._sources()).units.columns
        return round(columns[METRIC.name + PER].sum()), round(columns[METRIC.name].sum())

    def of_a_bandit(self) -> tuple[int, int]:
        """What its next allocation would rest on."""
        entry = self.launcher.ledger.get("bandit")
        assert entry is not None
        found = observed(entry, [], [METRIC], self._sources(), now=END, memory_mb=256)
        return round(found.pers[METRIC.name].sum()), round(found.values[METRIC.name].sum())

    def of_an_interleaving(self) -> tuple[int, int]:
        """Slates, and those that speak for somebody: every click is on a pick of control's."""
        teams = ("control", "next")
        found = preferences("drafted", teams, METRIC, self._sources(), start=NOW - 1, end=END)
        return round(found.slates.sum()), round((found.won + found.lost).sum())

    def of_a_canary(self) -> tuple[int, int]:
        """What its guard has counted."""
        guard = Guard(self.settings, self.launcher, clock=lambda: END)
        guard.look()
        sums = guard._watched["canary"].counts._sums
        return round(sum(each[4] for each in sums)), round(sum(each[5] for each in sums))

    def _sources(self) -> Any:
        return sources_of(self.settings, unit=PERSON, withheld=Withheld())


def _rec(number: int) -> str:
    return new_recommendation_id(NOW + number)[:10] + f"{number:016x}"


def _slate_before(history: Sequence[Deed], number: int) -> int:
    return max((n for n in range(number) if history[n][0] == "slate"), default=10**6)


def serving(history: Sequence[Deed]) -> set[int]:
    """By the definition, as slowly as it can be said: the places of slates and clicks that may serve analytics at the end."""
    links = [kind for kind, _, _ in history if kind in ("login", "part")]
    own = {key: _allowed(history, {key}) for key in (USER, DEVICE)}
    found = own[USER] | own[DEVICE]
    return found & _unrefused(history, {USER, DEVICE}) if links[-1:] == ["login"] else found


def _allowed(history: Sequence[Deed], keys: set[str]) -> set[int]:
    """What of some keys the words under them allow."""
    found, state = set[int](), None
    for number, (kind, under, context) in enumerate(history):
        if under not in keys:
            continue
        if kind in ("yes", "no"):
            state, found = kind == "yes", found if kind == "yes" else set()
        elif kind in ("slate", "click") and context != "refused itself" and state is not False:
            found |= {number} if state or context in ("covered", "agreed itself") else set()
    return found


def _unrefused(history: Sequence[Deed], keys: set[str]) -> set[int]:
    """What no word under some keys has ended."""
    found, state = set[int](), True
    for number, (kind, under, _) in enumerate(history):
        if kind in ("yes", "no") and under in keys:
            state, found = kind == "yes", found if kind == "yes" else set()
        elif state and kind in ("slate", "click"):
            found.add(number)
    return found


@pytest.mark.slow
@settings(max_examples=tries(30, 200))
@given(st.lists(DEEDS, max_size=12))
def test_no_unit_rests_on_what_may_not_serve(
    tmp_path_factory: pytest.TempPathFactory, history: list[Deed]
) -> None:
    past, may = Past.of(tmp_path_factory.mktemp("home"), history), serving(history)
    slates = {number for number in may if history[number][0] == "slate"}
    clicks = {number: _slate_before(history, number) for number in may - slates}
    clicks = {number: slate for number, slate in clicks.items() if slate in slates}
    links = [kind for kind, _, _ in history if kind in ("login", "part")]
    one = links[-1:] == ["login"]
    own = {number for number, slate in clicks.items() if one or history[number][1] == history[slate][1]}
    assert past.of_a_canary() == (len(slates), len(clicks))
    assert past.of_an_interleaving() == (len(slates), len({clicks[number] for number in own}))
    assert past.of_a_bandit() == (len(slates), len(own))
    if slates:
        assert past.of_a_test() == (len(slates), len(own))
    else:
        with pytest.raises(NobodyError):
            past.of_a_test()

"""What an interleaving's readout says: credit by picks, units rather than slates, verdicts in words, and alarms."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from tailorbird.errors import UsageError
from tailorbird.events.schema import Event
from tailorbird.experiments.deciding.own import read_interleaving_out
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.told import told_of
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.interleaving.counting import Preferences, preferences
from tailorbird.experiments.interleaving.reading import (
    _always_sign_p,
    preferred_of,
    read_preferences,
    verdict_of,
)
from tailorbird.experiments.interleaving.shown import as_json, page_of
from tailorbird.experiments.measuring.declared import default_metrics, metrics_of
from tailorbird.experiments.measuring.streams import sources_of
from tailorbird.experiments.reading.verdict import Decision
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.exposures.exposure import TEAMS, new_recommendation_id
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import exposure

START, DAY = 1_700_000_000.0, 86_400.0
KEY = "newer-ranking"
TEAMS_OF = ("usual", "newer")
ITEMS = ("i0", "i1", "i2", "i3")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")


def declared(**more: Any) -> dict[str, Any]:
    return {
        "hypothesis": "Version 2 ranks better",
        "kind": "interleaving",
        "days": 7,
        "metrics": {"primary": "clicks_per_slate", "minimum_effect": 0.05},
        "variants": {"usual": {}, "newer": {"version": "2"}},
        **more,
    }


class Past:
    """Slates that were shown and what followed, written into the streams of a workspace."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.count = settings, 0
        self._shown: list[Any] = []
        self._done: list[Event] = []

    def show(self, person: str, teams: tuple[str | None, ...], *, at: float = START + 60, **more: Any) -> str:
        self.count += 1
        identity = new_recommendation_id(at + self.count / 1e3)
        self._shown.append(
            exposure(
                self.count,
                recommendation_id=identity,
                instant=at,
                user_id=person,
                items=ITEMS,
                count=4,
                experiments={KEY: "interleaved"},
                request={"k": 4, TEAMS: list(teams)},
                **more,
            )
        )
        return identity

    def do(
        self, person: str, identity: str, item: str, kind: str = "click", value: float | None = None
    ) -> None:
        self._done.append(
            Event(
                message_id=f"{person}-{len(self._done)}",
                type=kind,
                event_time=START + 100,
                received_time=START + 101,
                user_id=person,
                item_id=item,
                recommendation_id=identity,
                value=value,
            )
        )

    def write(self) -> None:
        with open_exposures(self.settings) as stream:
            stream.append(self._shown)
        with open_events(self.settings) as stream:
            stream.append(self._done)
        self._shown, self._done = [], []

    def counted(self, metric: str = "clicks_per_slate", **declared: Any) -> Preferences:
        self.write()
        known = {**default_metrics(), **metrics_of(declared, where="test")}
        return preferences(
            KEY,
            TEAMS_OF,
            known[metric],
            sources_of(self.settings, unit="person"),
            start=START,
            end=START + 7 * DAY,
        )


def test_a_slate_is_won_by_the_variant_whose_picks_got_more_clicks(settings):
    past = Past(settings)
    won = past.show("ann", ("newer", "usual", "usual", "newer"))
    for item in ("i0", "i3", "i1"):
        past.do("ann", won, item)
    tied = past.show("ann", ("newer", "usual", None, None))
    for item in ("i0", "i1"):
        past.do("ann", tied, item)
    lost = past.show("bob", ("newer", "usual", None, None))
    past.do("bob", lost, "i1")
    nobodys = past.show("bob", ("newer", "usual", None, None))
    past.do("bob", nobodys, "i2")
    past.do("bob", nobodys, "i9")
    of_another = past.show("bob", ("usual", "newer", None, None))
    past.do("eve", of_another, "i1")
    past.do("bob", of_another, "i1", kind="view")
    past.show("cat", (None, None, None, None))
    found = past.counted()
    assert found.slates.tolist() == [2, 3, 1]
    assert found.won.tolist() == [1, 0, 0]
    assert found.lost.tolist() == [0, 1, 0]


def test_slates_that_are_not_of_the_experiment_do_not_count(settings):
    past = Past(settings)
    past.show("ann", ("newer", "usual", None, None), at=START - 60)
    past.show("ann", ("newer", "usual", None, None))
    plain = exposure(99, instant=START + 70, experiments={KEY: "usual"}, items=ITEMS, count=4)
    with open_exposures(settings) as stream:
        stream.append([plain])
    assert past.counted().slates.tolist() == [1]


def test_a_metric_of_value_and_one_where_less_is_better(settings):
    past = Past(settings)
    paid = past.show("ann", ("newer", "usual", "usual", None))
    past.do("ann", paid, "i0", kind="purchase", value=30.0)
    past.do("ann", paid, "i1", kind="purchase", value=10.0)
    past.do("ann", paid, "i2", kind="purchase", value=10.0)
    past.do("ann", paid, "i2", kind="hide")
    assert past.counted("revenue_per_person").won.tolist() == [1]
    assert past.counted("purchases").won.tolist() == [0]
    assert past.counted("hides").won.tolist() == [1]
    with pytest.raises(UsageError, match="no pick of a slate can get the credit"):
        past.counted("session_minutes")


def counted(
    rng: np.random.Generator, *, units: int, lean: float, slates: int = 5, moods: float = 1.0
) -> Preferences:
    """Units whose slates tell in half of the cases, each with a lean of its own around ``lean``."""
    own = np.clip(0.5 + lean / 2 + moods * rng.normal(size=units) * 0.2, 0, 1)
    tells = rng.binomial(slates, 0.5, units)
    won = rng.binomial(tells, own)
    return Preferences(
        np.sort(START + rng.random(units) * 7 * DAY),
        np.full(units, float(slates)),
        won.astype(float),
        (tells - won).astype(float),
    )


def question(days: float = 7.0) -> Question:
    return Question(
        KEY,
        {"usual": 0.5, "newer": 0.5},
        (default_metrics()["clicks_per_slate"],),
        START,
        START + days * DAY,
        planned_days=7.0,
    )


def test_with_one_slate_that_tells_of_each_unit_it_is_the_t_test_and_the_sign_test():
    rng = np.random.default_rng(0)
    won = (rng.random(400) < 0.6).astype(float)
    ones = np.ones(400)
    found = preferred_of(Preferences(ones, ones, won, 1 - won), confidence=0.95)
    expected = ttest_1samp(2 * won - 1, 0.0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert found.sign_p == pytest.approx(found.p_value, rel=0.2)


def test_of_rankings_that_are_alike_one_is_preferred_as_often_as_the_level_says():
    """Slates of a unit agree with each other: taken for units of their own they would tell too much."""
    rng = np.random.default_rng(1)
    found = [preferred_of(counted(rng, units=300, lean=0.0), confidence=0.95) for _ in range(1_000)]
    assert 0.03 < np.mean([each.p_value < 0.05 for each in found]) < 0.07
    assert np.mean([each.sign_p < 0.05 for each in found]) < 0.07
    assert np.mean([each.always_p < 0.05 for each in found]) < 0.02


@pytest.mark.parametrize(
    ("lean", "units", "days", "decision", "words"),
    [
        (0.15, 2_000, 7.0, Decision.SHIP, "newer is preferred by clicks_per_slate"),
        (0.15, 5_000, 3.0, Decision.SHIP, "newer is preferred by clicks_per_slate"),
        (-0.15, 2_000, 7.0, Decision.KEEP, "usual is preferred by clicks_per_slate"),
        (0.0, 20_000, 7.0, Decision.KEEP, "no preference worth 5 %"),
        (0.02, 300, 7.0, Decision.CANNOT_TELL, "more days for a net preference of 5 %"),
        (0.5, 20, 7.0, Decision.CANNOT_TELL, "30 are the least"),
        (0.5, 80, 2.0, Decision.CANNOT_TELL, "100 are the least"),
    ],
)
def test_the_verdict_in_words(lean, units, days, decision, words):
    rng = np.random.default_rng(2)
    verdict = verdict_of(read_preferences(question(days), counted(rng, units=units, lean=lean)))
    assert verdict.decision is decision
    assert words in verdict.words
    assert verdict.variant == {"ship": "newer", "keep": "usual"}.get(decision.value)


def unanimous(units: int, *, won: float, lost: float) -> Preferences:
    ones = np.ones(units)
    return Preferences(np.linspace(START, START + DAY, units), 4 * ones, won * ones, lost * ones)


@pytest.mark.parametrize(
    ("units", "days", "won", "decision", "words"),
    [
        (40, 7.0, 2, Decision.SHIP, "all 40 units say the same (sign test, p = 2e-12); ship"),
        (40, 7.0, 0, Decision.KEEP, "usual is preferred by clicks_per_slate"),
        (120, 2.0, 2, Decision.SHIP, "all 120 units say the same"),
        (40, 7.0, 1, Decision.CANNOT_TELL, "needs more units"),  # each won as much as it lost
        (29, 7.0, 2, Decision.CANNOT_TELL, "30 are the least"),
        (99, 2.0, 2, Decision.CANNOT_TELL, "100 are the least"),
    ],
)
def test_where_all_units_say_the_same_the_sign_test_decides(units, days, won, decision, words):
    found = read_preferences(question(days), unanimous(units, won=won, lost=2 - won))
    verdict = verdict_of(found)
    assert verdict.decision is decision
    assert words in verdict.words
    assert as_json(found)["decidesBy"] == ("signPValue" if days == 7.0 else "alwaysValidSignPValue")
    assert json.loads(json.dumps(as_json(found)))["interval"] is None
    assert page_of(found)


def test_units_of_many_and_of_few_slates_say_the_same_to_the_last_bit():
    """The rest of a variance that is none would make an interval of no width, and a p-value of nothing."""
    rng = np.random.default_rng(0)
    for share in (1.0, 0.8, 0.6):
        slates = 10.0 * rng.integers(1, 400, 30)
        won = np.round(share * slates)
        found = read_preferences(question(), Preferences(slates, slates, won, slates - won))
        assert found.decides_by == "sign_p"
        assert found.decides == (None, found.preferred.sign_p)


def test_the_sign_test_that_looks_all_the_time_calls_few_that_are_alike():
    rng = np.random.default_rng(4)
    said = 0
    for _ in range(400):
        won = np.cumsum(rng.random(400) < 0.5)
        said += any(_always_sign_p(int(up), at - int(up)) < 0.05 for at, up in enumerate(won, start=1))
    assert said / 400 < 0.05
    assert _always_sign_p(9, 0) == pytest.approx(10 / 2**9)


def test_a_draft_that_is_off_locks_the_verdict(settings):
    past = Past(settings)
    for n in range(100):
        past.do(f"u{n}", past.show(f"u{n}", ("newer", "usual", "newer", None)), "i0")
    found = read_preferences(question(), past.counted())
    assert verdict_of(found).decision is Decision.BROKEN
    assert "the draft is off" in verdict_of(found).words


def start(settings: Settings, **more: Any) -> None:
    said = declared(**more)
    Ledger(settings.folder).start(experiment_of(KEY, said, where=KEY), said, at=START, who="ann")


def test_a_workspaces_interleaving_is_read_out_whole(settings):
    start(settings)
    rng, past = np.random.default_rng(3), Past(settings)
    for n in range(300):
        teams = ("newer", "usual") if rng.random() < 0.5 else ("usual", "newer")
        shown = past.show(f"u{n}", (*teams, None, None))
        past.do(f"u{n}", shown, ITEMS[teams.index("newer" if rng.random() < 0.7 else "usual")])
    past.write()
    found = read_interleaving_out(settings, KEY, now=START + 7 * DAY)
    assert verdict_of(found).decision is Decision.SHIP
    told = told_of(settings, KEY)
    assert told.shown["slatesFor"]["newer"] + told.shown["slatesFor"]["usual"] == told.shown["slates"] == 300
    assert 0.6 < told.shown["share"] < 0.8
    assert json.loads(json.dumps(told.shown)) == told.shown
    page = told.page()
    assert "newer is preferred" in page
    assert "for newer" in page


def test_nobody_in_it_is_said(settings):
    start(settings)
    with pytest.raises(UsageError, match="has shown nobody an interleaved slate"):
        told_of(settings, KEY)

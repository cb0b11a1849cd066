"""A test of a workspace is read from its streams, says what to do in words, and never says it of what is broken."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tailorbird.errors import UsageError
from tailorbird.events.schema import CONSENT, Event
from tailorbird.experiments.deciding.own import Counted, _count, read_experiment_out
from tailorbird.experiments.deciding.page import page_of
from tailorbird.experiments.deciding.progress import progress_of
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.shown import as_json
from tailorbird.experiments.measuring.declared import chosen, default_metrics
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.readout import Readout, read_out
from tailorbird.experiments.reading.units import Units
from tailorbird.experiments.reading.verdict import Decision, judge
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.experiments.deciding.shop import DAY, KEY, START, happen, start

END = START + 7.5 * DAY


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")


def read(settings: Settings, **more: object) -> dict:
    return as_json(read_experiment_out(settings, KEY, now=more.get("now", END)))


def test_a_winner_is_told_in_words_with_its_figures(settings: Settings) -> None:
    start(settings)
    happen(settings)
    found = read(settings)
    assert (found["decision"], found["variant"]) == ("ship", "varied")
    assert found["verdict"].startswith("varied is better on conversion, by ")
    assert found["verdict"].endswith("%; ship")
    assert found["units"] == 800
    assert [each["metric"] for each in found["metrics"]] == [
        "conversion",
        "hides",
        "revenue_per_person",
        "clicks_per_slate",
    ]
    assert found["decidesBy"] == "pValue"
    assert found["power"][0]["reached"] > 0.1
    assert {each["attribute"] for each in found["segments"]} == {"device"}
    assert any("segments were looked at" in note for note in found["warnings"])


def test_before_the_planned_end_only_what_always_holds_decides_and_days_are_counted(
    settings: Settings,
) -> None:
    start(settings)
    happen(settings, people=300, chances={"usual": 0.2, "varied": 0.22})
    found = read(settings, now=START + 3 * DAY)
    assert found["decidesBy"] == "alwaysValidPValue"
    assert found["decision"] == "cannot tell"
    assert found["verdict"].startswith("cannot tell; needs ")
    assert found["power"][0]["daysMore"] > 10


def test_lost_units_lock_the_verdict_also_while_one_looks(settings: Settings) -> None:
    start(settings)
    happen(settings, people=1_500, lost=0.5)
    for now in (END, START + 5 * DAY):
        found = read(settings, now=now)
        assert found["decision"] == "broken"
        assert found["verdict"].startswith("broken: assignment is off")
    assert found["srmCourse"]["pValue"][-1] < 0.001
    assert found["srmCourse"]["pValue"][0] == 1.0


def test_an_erased_person_and_one_who_refuses_analytics_are_missing_and_said(settings: Settings) -> None:
    start(settings)
    happen(settings, people=300)
    assert read(settings)["units"] == 300
    for stream in (open_events(settings), open_exposures(settings)):
        with stream:
            stream.forget("user:u0")
    word = Event(
        message_id="no",
        type=CONSENT,
        event_time=END,
        received_time=END,
        user_id="u1",
        context={"purposes": {"analytics": False}},
    )
    with open_events(settings) as stream:
        stream.append([word])
    found = read(settings)
    assert found["units"] == 298
    assert any("n changed: 2 units fewer" in note for note in found["warnings"])
    assert any("1 slates of people who allow no analytics" in note for note in found["warnings"])
    assert not any("n changed" in note for note in read(settings)["warnings"])


def test_an_experiment_that_was_never_started_or_met_nobody_is_said(settings: Settings) -> None:
    with pytest.raises(UsageError, match="never started"):
        read_experiment_out(settings, KEY)
    start(settings)
    with pytest.raises(UsageError, match="nobody is in experiment"):
        read_experiment_out(settings, KEY)


def test_sessions_may_be_what_is_assigned(settings: Settings) -> None:
    start(settings, unit="session")
    happen(settings, people=200)
    found = read(settings)
    assert (found["unit"], found["units"], found["switched"]) == ("session", 200, 0)


def test_p_values_are_adjusted_as_was_asked(settings: Settings) -> None:
    start(settings)
    happen(settings, people=400)
    by = {
        way: as_json(read_experiment_out(settings, KEY, now=END, adjustment=way))
        for way in ("holm", "bh", "none")
    }
    adjusted = {
        way: [
            each["variants"][1]["adjustedPValue"]
            for each in found["metrics"]
            if each["variants"][1]["pValue"]
        ]
        for way, found in by.items()
    }
    assert all(
        h >= b >= n for h, b, n in zip(adjusted["holm"], adjusted["bh"], adjusted["none"], strict=True)
    )
    assert adjusted["holm"] != adjusted["none"]


def test_a_metric_that_nobody_declared_is_said(settings: Settings) -> None:
    start(settings, metrics={"primary": "joy", "minimum_effect": 0.1})
    with pytest.raises(UsageError, match="no metric 'joy'"):
        read_experiment_out(settings, KEY)


def test_the_page_needs_nothing_else_and_escapes_what_people_wrote(settings: Settings) -> None:
    start(settings, hypothesis="<script>alert(1)</script>")
    happen(settings, people=400)
    page = page_of(read_experiment_out(settings, KEY, now=END))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") >= 2
    assert "src=" not in page


def test_a_metric_that_needs_more_days_than_the_test_has_run_is_left_out_and_said(settings: Settings) -> None:
    metrics = {"primary": "conversion", "minimum_effect": 0.2, "others": ["days_until_return"]}
    start(settings, metrics=metrics)
    happen(settings)
    young = read(settings, now=START + 5 * DAY)
    assert [each["metric"] for each in young["metrics"]] == ["conversion"]
    assert any("days_until_return" in note for note in young["warnings"])
    old = read(settings, now=START + 15 * DAY)
    assert [each["metric"] for each in old["metrics"]] == ["conversion", "days_until_return"]


def test_a_primary_metric_that_needs_more_days_says_so(settings: Settings) -> None:
    start(settings, metrics={"primary": "days_until_return", "minimum_effect": 0.2})
    happen(settings)
    with pytest.raises(UsageError, match="nobody has been in the test for 7 days"):
        read(settings, now=START + 5 * DAY)


def test_long_after_its_planned_end_only_what_always_holds_decides(settings: Settings) -> None:
    ledger = start(settings)
    happen(settings)
    assert read(settings, now=START + 7.5 * DAY)["decidesBy"] == "pValue"
    assert read(settings, now=START + 20 * DAY)["decidesBy"] == "alwaysValidPValue"
    ledger.stop(KEY, at=START + 7.5 * DAY, who="ann")
    assert read(settings, now=START + 20 * DAY)["decidesBy"] == "pValue"  # nothing came since


def test_a_handful_of_units_ships_no_factor(settings: Settings) -> None:
    chances = {"usual.usual": 0.0, "usual.more": 1.0, "bold.usual": 1.0, "bold.more": 1.0}
    factors = {
        "headline": {"usual": {}, "bold": {"payload": {"headline": "x"}}},
        "variety": {"usual": {}, "more": {"slate": {"max_category_share": 0.3}}},
    }
    start(settings, kind="multivariate", factors=factors, variants={})
    happen(settings, people=12, chances=chances)
    found = read(settings)
    assert found["decision"] == "cannot tell"
    assert "too few units" in found["verdict"]


def test_two_readouts_at_once_disturb_each_other_not(settings: Settings) -> None:
    start(settings)
    happen(settings, people=20)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: _count(settings.folder, KEY, Counted(END, n)), range(400)))
    assert [each.name for each in (settings.folder / "readouts").iterdir()] == [f"{KEY}.json"]


@pytest.mark.parametrize("others", [0, 4])
def test_as_many_units_as_are_said_to_be_needed_find_the_effect(others: int) -> None:
    names = ["purchases", "items_seen", "active_days", "conversion", "session_minutes"][: 1 + others]
    question = Question(
        key=KEY,
        shares={"usual": 0.5, "varied": 0.5},
        metrics=tuple(chosen(default_metrics(), names)),
        start=START,
        end=START + 14.5 * DAY,
        minimum_effect=0.1,
    )
    metrics = [Metric(name, Kind.MEAN) for name in names]
    rng = np.random.default_rng(0)

    def drawn(units: int) -> Readout:
        codes = np.arange(units) % 2
        columns = {name: rng.normal(1, 1, units) for name in names}
        columns["purchases"] += 0.1 * codes
        return read_out(Units(("usual", "varied"), codes, columns), metrics, question.design)

    needed = progress_of(question, drawn(20_000), np.full(20_000, START))[0].units_needed
    found = np.mean([judge(drawn(needed)).decision in (Decision.SHIP, Decision.WEIGH) for _ in range(300)])
    assert found == pytest.approx(0.8, abs=0.06)

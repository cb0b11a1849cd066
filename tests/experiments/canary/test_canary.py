"""Canaries: counted from the streams, ramped by schedule, stopped by themselves where they are worse, and left alone where not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tailorbird.audit.record import log_of
from tailorbird.events.schema import Event
from tailorbird.experiments.bandits.renewing import renew
from tailorbird.experiments.canary import counting
from tailorbird.experiments.canary.bench import KINDS, canary, goes_back_after
from tailorbird.experiments.canary.counting import CLICKS, ERRORS, LATENCY, Counts, Shown
from tailorbird.experiments.canary.guard import (
    CANARY,
    EVERY_SECONDS,
    LOCK_FILE,
    LONGEST_SECONDS,
    SCHEDULE,
    Guard,
    Watched,
)
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.checking import Known
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.launching import Launcher
from tailorbird.exposures.exposure import new_recommendation_id
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import NOW, exposure

HOUR = 3_600.0
DECLARED = {
    "hypothesis": "version 2 is no worse",
    "kind": "canary",
    "share": 0.1,
    "ramp": [{"hours": 1, "share": 0.3}, {"hours": 4, "share": 1.0}],
    "metrics": {"primary": "click_through", "minimum_effect": 0.05},
    "variants": {"control": {}, "next": {"version": "2"}},
}

BANDIT: dict[str, Any] = {
    "hypothesis": "one headline is clicked more",
    "kind": "bandit",
    "bandit": {},
    "share": 0.1,
    "metrics": {"primary": "clicks_per_slate", "minimum_effect": 0.05},
    "variants": {"usual": {}, "bold": {"payload": {"headline": "For you"}}},
}


class Watch:
    """A workspace with a canary, its guard, and a clock that is moved by hand."""

    def __init__(self, settings: Settings, **changes: Any) -> None:
        self.settings, self.now, self.shown = settings, NOW, 0
        known = Known(versions=lambda asked: asked, aliases=dict, segments=list)
        self.launcher = Launcher(settings, known=known, clock=lambda: self.now)
        self.guard = self.made_guard()
        said = {**DECLARED, **changes}
        self.launcher.ledger.start(experiment_of("next", said, where="next"), said, at=NOW, who="ann")

    def made_guard(self) -> Guard:
        return Guard(self.settings, self.launcher, clock=lambda: self.now)

    def happen(
        self,
        units: int,
        *,
        failed: float = 0.01,
        clicked: float = 0.2,
        took_ms: float = 5.0,
        key: str = "next",
    ) -> None:
        """``units`` of each variant come and see a slate; the canary fails, is clicked and takes as told, control as usual."""
        rng = np.random.default_rng(self.shown)
        answers, clicks = [], []
        for n in range(2 * units):
            is_canary = n % 2 == 1
            identity, person = new_recommendation_id(self.now), f"u{self.shown}"
            self.shown += 1
            answers.append(
                exposure(
                    n,
                    recommendation_id=identity,
                    instant=self.now,
                    user_id=person,
                    experiments={key: "next" if is_canary else "control"},
                    fallback="champion" if rng.random() < (failed if is_canary else 0.01) else "",
                    took_ms=float(rng.gamma(4, (took_ms if is_canary else 5.0) / 4)),
                )
            )
            if rng.random() < (clicked if is_canary else 0.2):
                clicks.append(
                    Event(
                        message_id=f"c{person}",
                        type="click",
                        event_time=self.now,
                        received_time=self.now + 1,
                        user_id=person,
                        item_id="i1",
                        recommendation_id=identity,
                    )
                )
        with open_exposures(self.settings) as stream:
            stream.append(answers)
        with open_events(self.settings) as stream:
            stream.append(clicks)

    def entry(self) -> Any:
        found = self.launcher.ledger.get("next")
        assert found is not None
        return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")


def test_sums_are_counted_by_unit_and_variant():
    counts = Counts(("a", "b"))
    counts.show(
        [
            Shown("r1", "ann", "a", False, 2.0, 3),
            Shown("r2", "ann", "a", True, 4.0, 3),
            Shown("r3", "bob", "b", False, None, 3),
            Shown("r4", "bob", "b", False, 8.0, 0),
        ]
    )
    counts.click(["r1", "r1", "r3", "r4", "unknown"])
    assert counts.units == {"a": 1, "b": 1}

    def means(measure: str) -> tuple[float, float]:
        found = counts.estimates(measure)
        assert found is not None
        return found[0].mean, found[1].mean

    assert means(ERRORS) == (0.5, 0.0)
    assert means(LATENCY) == (3.0, 8.0)
    assert means(CLICKS) == (1.0, 1.0)  # the answer without items is no slate


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"failed": 0.2}, "failed answers"),
        ({"clicked": 0.02}, "clicks per slate"),
        ({"took_ms": 9.0}, "an answer takes"),
    ],
)
def test_a_canary_that_is_worse_stops_by_itself_and_says_why(settings, worse, words):
    watch = Watch(settings)
    watch.happen(50, **worse)
    assert watch.guard.look() == []  # too few to say
    watch.happen(400, **worse)
    (done,) = watch.guard.look()
    assert words in done
    last = watch.entry().steps[-1]
    assert (watch.entry().state, last.who, last.did) == ("stopped", CANARY, "stop")
    assert "450 canary units" in last.reason
    assert watch.guard.look() == []


def test_a_canary_that_is_no_worse_is_ramped_by_its_schedule(settings):
    watch = Watch(settings)
    watch.happen(300)
    assert watch.guard.look() == []
    watch.now += 1.5 * HOUR
    assert "0.3 of its layer" in watch.guard.look()[0]
    assert watch.entry().steps[-1].who == SCHEDULE
    watch.now += 10 * HOUR
    assert "1 of its layer" in watch.guard.look()[0]
    watch.happen(100)
    assert watch.guard.look() == []
    assert (watch.entry().state, watch.entry().share) == ("running", 1.0)


def test_whoever_moves_the_share_by_hand_has_taken_over_the_schedule(settings):
    watch = Watch(settings)
    watch.launcher.ramp("next", 0.05, who="login:ann")
    watch.now += 100 * HOUR
    assert watch.guard.look() == []
    assert watch.entry().share == 0.05


def test_a_stop_in_the_middle_of_a_ramp_is_the_last_word(settings):
    watch = Watch(settings)
    watch.now += 2 * HOUR
    watch.guard.look()
    watch.launcher.stop("next", who="login:ann")
    watch.now += 10 * HOUR
    watch.happen(400, failed=0.5)
    assert watch.guard.look() == []
    assert [each.did for each in watch.entry().steps] == ["start", "ramp", "stop"]


def test_a_guard_that_starts_anew_counts_what_was_before(settings):
    watch = Watch(settings)
    watch.happen(300, failed=0.01)
    watch.guard.look()
    watch.happen(300, failed=0.3)
    assert watch.made_guard().look() != []


def test_of_two_guards_one_works(settings):
    watch = Watch(settings)
    watch.happen(300, failed=0.5)
    with alone(settings.folder / LOCK_FILE):
        assert watch.guard.look() == []
    assert watch.guard.look() != []


def test_simulated_canaries_that_are_worse_go_back_and_equal_ones_seldom():
    rng = np.random.default_rng(7)
    for kind in ("errors", "clicks", "latency"):
        assert sum(goes_back_after(KINDS[kind], rng) is not None for _ in range(8)) >= 7
    assert sum(goes_back_after(KINDS["equal"], rng) is not None for _ in range(20)) <= 3


def test_the_bench_tells_figures():
    result = CliRunner().invoke(canary, ["--equal", "10", "--worse", "10", "--json"])
    assert result.exit_code == 0, result.output
    assert '"rolled_back"' in result.output


@pytest.mark.parametrize(("unit", "column"), [("session", "session_id"), ("anonymous", "anonymous_id")])
def test_a_canary_counts_the_units_that_it_assigns(settings, unit, column):
    watch = Watch(settings, unit=unit)
    with open_exposures(settings) as stream:
        stream.append(
            [
                exposure(
                    n,
                    instant=NOW,
                    **{"user_id": f"u{n % 20}", column: f"unit{n}"},
                    experiments={"next": ("control", "next")[n // 20 % 2]},
                    fallback="champion" if n // 20 % 2 and n % 5 == 0 else "",
                    took_ms=5.0,
                )
                for n in range(800)
            ]
        )
    assert len(watch.guard.look()) == 1
    assert (
        "goes back after 400 canary units: failed answers: 20.00% instead of 0.00%"
        in watch.entry().steps[-1].reason
    )


def test_answers_are_counted_once_where_the_events_were_away(settings):
    watch = Watch(settings, ramp=[])
    watch.happen(200)
    log = settings.folder / "events.db"
    aside = log.rename(log.with_name("aside.db"))
    log.mkdir()
    watch.guard.look()
    log.rmdir()
    aside.rename(log)
    watch.guard.look()
    clicks = watch.guard._watched["next"].counts.estimates(CLICKS)
    assert clicks is not None
    assert [each.mean for each in clicks] == pytest.approx([0.2, 0.2], abs=0.1)


def test_no_more_units_are_counted_than_a_verdict_asks_for(monkeypatch) -> None:
    monkeypatch.setattr(counting, "MOST_UNITS", 10)
    counts = Counts(("usual", "next"))
    for round_of in range(2):
        counts.show(
            Shown(f"r{n}-{round_of}", f"user:{n}", ("usual", "next")[n % 2], False, None, 3)
            for n in range(40)
        )
    assert counts.units == {"usual": 5, "next": 5}
    found = counts.estimates(ERRORS)
    assert found is None or sum(each.units for each in found) == 10
    assert not any("user:" in str(name) for name in vars(counts)["_place"])


def test_a_ramp_of_a_holdout_is_left_alone(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    holdout = {
        "kind": "holdout",
        "variants": {"open": {"weight": 0.9}, "held": {"weight": 0.1}},
    }
    watch = Watch(settings, **holdout)
    watch.now += 5 * HOUR
    assert watch.guard.look() == []
    assert not caplog.records


def test_a_ramp_without_room_delays_no_stop(settings: Settings) -> None:
    watch = Watch(settings)
    others = {**DECLARED, "kind": "ab", "layer": "next", "share": 0.8, "ramp": []}
    watch.launcher.ledger.start(experiment_of("big", others, where="big"), others, at=NOW, who="ann")
    watch.now += 2 * HOUR
    for _ in range(20):
        watch.now += EVERY_SECONDS
        assert watch.guard.look() == []
    assert watch.entry().share == 0.1
    assert not list(log_of(settings).entries())  # what was refused is not told as done
    watch.happen(450, failed=0.5)
    watch.now += EVERY_SECONDS
    assert len(watch.guard.look()) == 1
    assert watch.entry().state == "stopped"


def test_a_canary_that_cannot_be_stopped_is_not_ramped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: Any, **more: Any) -> None:
        raise OSError("disk is away")

    watch = Watch(settings)
    watch.happen(450, failed=0.5)
    watch.now += 2 * HOUR
    with monkeypatch.context() as changed:
        changed.setattr(watch.launcher, "stop", away)
        for _ in range(8):
            assert watch.guard.look() == []
            watch.now += EVERY_SECONDS
    assert (watch.entry().state, watch.entry().share) == ("running", 0.1)
    watch.now += LONGEST_SECONDS
    assert len(watch.guard.look()) == 1


def test_what_fails_keeps_no_canary_waiting_and_is_left_alone_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def fails(settings: Settings, launcher: Launcher, entry: Entry, *, now: float) -> None:
        tried.append(entry.key)
        assert watch.entry().state == "stopped"  # the canary came first, though it was started last
        raise ValueError("no number")

    monkeypatch.setattr("tailorbird.experiments.canary.guard.renew", fails)
    watch = Watch(settings)
    ledger = watch.launcher.ledger
    ledger.stop("next", at=NOW, who="ann")
    for key in ("bold", "calm"):
        ledger.start(experiment_of(key, BANDIT, where=key), BANDIT, at=NOW - 25 * HOUR, who="ann")
    ledger.start(experiment_of("later", DECLARED, where="later"), DECLARED, at=NOW, who="ann")
    monkeypatch.setattr(watch, "entry", lambda: ledger.get("later"))
    watch.happen(450, failed=0.5, key="later")
    assert len(watch.guard.look()) == 1
    for _ in range(200):  # 100 minutes
        watch.now += EVERY_SECONDS
        assert watch.guard.look() == []
    assert tried[:2] == ["bold", "calm"]  # one a look, whoever failed before comes later
    for key in ("bold", "calm"):
        assert 100 * 60 / LONGEST_SECONDS < tried.count(key) < 30
    assert "experiment bold cannot be tended" in caplog.text
    monkeypatch.setattr("tailorbird.experiments.canary.guard.renew", renew)
    watch.now += LONGEST_SECONDS
    assert ["renewal 1" in done for done in (*watch.guard.look(), *watch.guard.look())] == [True, True]


def test_a_canary_that_fails_without_a_word_of_ours_keeps_no_other_one_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Guard, entry: Entry, watched: Watched) -> None:
        if entry.key == "next":
            raise OSError("disk is away")
        read(self, entry, watched)

    read = Guard._read
    monkeypatch.setattr(Guard, "_read", broken)
    watch = Watch(settings)
    watch.launcher.ledger.start(experiment_of("later", DECLARED, where="later"), DECLARED, at=NOW, who="ann")
    watch.happen(450, failed=0.5, key="later")
    assert len(watch.guard.look()) == 1
    monkeypatch.setattr(Guard, "_read", read)
    watch.happen(450, failed=0.5)
    assert len(watch.guard.look()) == 1  # once is no reason to wait

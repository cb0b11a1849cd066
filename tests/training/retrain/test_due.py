"""When a round is due: by time, by newer events, by drift, and what is said of it."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.settings import Settings
from tests.training.retrain.world import BY_GATES, go_on, with_champion
from tests.training.toy import NOW, POPULAR_ONLY, RECIPE
from training.data.training_set import training_set
from training.fit.train import train
from training.retrain.cause import LEAST_EVENTS, population_stability
from training.retrain.commands import AGAIN_SECONDS
from training.retrain.due import Causes, _why, standing_of
from training.retrain.ledger import STEPS, Ledger, Taken

COUNTS = st.dictionaries(st.text(min_size=1, max_size=2), st.integers(1, 500), min_size=1, max_size=40)


def run(settings: Settings, *argv: str) -> Result:
    from tailorbird.cli import tailorbird

    env = {"TAILORBIRD_HOME": str(settings.home), "TAILORBIRD_MLRUNS": str(settings.mlruns)}
    return CliRunner().invoke(tailorbird, ["retrain", *argv, "--workspace", "test", "--json"], env=env)


@given(COUNTS)
def test_what_is_taken_as_before_has_no_drift(counts: dict[str, int]) -> None:
    assert population_stability(counts, counts) == pytest.approx(0.0, abs=1e-9)


@given(COUNTS, COUNTS)
def test_drift_is_never_negative(before: dict[str, int], after: dict[str, int]) -> None:
    assert population_stability(before, after) >= 0.0


def test_drift_is_the_index_of_its_buckets() -> None:
    before = {f"i{n}": 100 for n in range(10)}  # one item a bucket
    after = {**dict.fromkeys(before, 50), "new": 500}
    p = np.array([100.5] * 10 + [0.5])
    q = np.array([50.5] * 10 + [500.5])
    p, q = p / p.sum(), q / q.sum()
    assert population_stability(before, after) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    rng = np.random.default_rng(0)
    same = [dict(zip(before, rng.multinomial(2_000, [0.1] * 10).tolist(), strict=True)) for _ in range(2)]
    assert population_stability(*same) < 0.1


@pytest.mark.slow
def test_rounds_are_due_by_time_by_events_and_by_drift(own_toy: Settings) -> None:
    assert standing_of(own_toy, BY_GATES, Causes()).why == "there is no champion"
    with_champion(own_toy, POPULAR_ONLY)
    go_on(own_toy)
    news = standing_of(own_toy, BY_GATES, Causes()).news
    assert news is not None
    assert news.events == 60 * 14 >= LEAST_EVENTS
    assert news.drift is not None
    assert 0 < news.drift < 0.25
    whys = [
        _why(news, Causes(**given))
        for given in (
            {"after_events": 840},
            {"after_events": 841},
            {"on_drift": 0.25},
            {"on_drift": 0.001},
            {"after_events": 841, "on_drift": 0.001},
            {"every": 1.0},
        )
    ]
    assert whys[:3] == ["840 newer events", "", ""]
    assert whys[3] == whys[4] == f"drift {news.drift:.3f}"
    assert whys[5] == "by schedule"
    ledger = Ledger(own_toy.folder)
    number = ledger.begin(why="asked for", at=1_000.0).number
    assert standing_of(own_toy, BY_GATES, Causes(after_events=10**9)).why == "asked for"  # it goes on
    ledger.done(number, Taken("features", 1_100.0, 1.0, "none"), facts={}, outcome="unchanged")
    waits = standing_of(own_toy, BY_GATES, Causes(every=3_600.0), clock=lambda: 2_000.0)
    assert (waits.why, waits.seconds) == ("", 2_600.0)
    assert standing_of(own_toy, BY_GATES, Causes(every=3_600.0), clock=lambda: 4_601.0).why == "by schedule"


@pytest.mark.slow
def test_what_a_round_has_learned_in_vain_brings_no_other_about(own_toy: Settings) -> None:
    with_champion(own_toy, POPULAR_ONLY)
    go_on(own_toy)
    assert standing_of(own_toy, BY_GATES, Causes(after_events=840)).why == "840 newer events"
    train(training_set(own_toy), POPULAR_ONLY, settings=own_toy, seed=1, now=NOW)
    ledger = Ledger(own_toy.folder)
    number = ledger.begin(why="840 newer events", at=1_000.0).number
    failed = Taken("challenger", 1_100.0, 1.0, "the gates refuse")
    ledger.done(number, failed, facts={"version": 2, "champion": 1}, outcome="refused")
    again = standing_of(own_toy, BY_GATES, Causes(after_events=1, on_drift=0.001))
    assert again.news is not None
    assert (again.why, again.news.events, again.news.drift) == ("", 0, None)
    go_on(own_toy, first=300, day=70)
    assert standing_of(own_toy, BY_GATES, Causes(after_events=840)).why == "840 newer events"


def test_a_schedule_goes_on_whatever_fails_and_ends_with_ctrl_c(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slept(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    waits: list[float] = []
    settings.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(settings.folder)
    ledger.begin(why="asked for", at=1.0)
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("UPDATE rounds SET facts = '{'")
        connection.commit()
    monkeypatch.setattr("training.retrain.commands.time.sleep", slept)
    done = run(settings, "--every", "1h")
    assert waits == [AGAIN_SECONDS, AGAIN_SECONDS]
    assert done.output.count("error: JSONDecodeError: ") == 2, done.output


@pytest.mark.slow
def test_the_command_says_what_it_would_do_does_it_and_lists_it(own_toy: Settings) -> None:
    recipe = own_toy.home / "toy.toml"
    recipe.write_text(RECIPE.to_toml())
    would = json.loads(run(own_toy, "--dry-run", "--recipe", str(recipe)).stdout)
    assert (would["due"], would["steps"]) == (True, list(STEPS))
    assert json.loads(run(own_toy, "list").stdout) == {"rounds": []}
    done = run(own_toy, "--recipe", str(recipe), "--without-canary")
    assert done.exit_code == 0, done.output
    assert (json.loads(done.stdout)["state"], json.loads(done.stdout)["version"]) == ("promoted", 1)
    idle = json.loads(run(own_toy, "--after-events", "10").stdout)
    assert (idle["due"], idle["newer_events"]) == (False, 0)
    ledger = Ledger(own_toy.folder)
    ledger.stopped(ledger.begin(why="asked for", at=2.0).number, trouble="interrupted")
    two, one = json.loads(run(own_toy, "list").stdout)["rounds"]
    assert (two["state"], two["step"], two["trouble"]) == ("stopped", "features", "interrupted")
    assert (one["state"], [each["step"] for each in one["steps"]]) == ("promoted", list(STEPS))

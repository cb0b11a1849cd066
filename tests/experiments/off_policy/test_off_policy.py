"""Off-policy values cover the truth of simulated logs and of a real one, and nothing is said where the log cannot tell."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.off_policy.command import ope
from tailorbird.experiments.off_policy.estimators import estimate_all, skewed_interval, weights_of
from tailorbird.experiments.off_policy.evaluation import evaluate
from tailorbird.experiments.off_policy.logs import Columns, Log, Logs, Target, read_logs
from tailorbird.experiments.off_policy.simulation import ESTIMATORS, World, coverage

COLUMNS = Columns("item", "chance", "click", "place")


def frames(rows: int = 4_000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A log of a uniform policy over four items at two places, and one of a policy that likes item d, which is the best."""
    rng = np.random.default_rng(seed)
    items, clicks = np.array(list("abcd")), np.array([0.05, 0.1, 0.15, 0.4])

    def log(chances: list[float]) -> pd.DataFrame:
        chosen = rng.choice(4, rows, p=chances)
        return pd.DataFrame(
            {
                "item": items[chosen],
                "place": rng.integers(1, 3, rows),
                "chance": np.array(chances)[chosen],
                "click": (rng.random(rows) < clicks[chosen]).astype(int),
            }
        )

    return log([0.25] * 4), log([0.1, 0.1, 0.1, 0.7])


def logs_of(log: pd.DataFrame, target: pd.DataFrame, folder: Path) -> Logs:
    log.to_parquet(folder / "log.parquet")
    target.to_csv(folder / "target.csv", index=False)
    return read_logs(folder / "log.parquet", folder / "target.csv", COLUMNS)


def test_a_toy_log_gives_what_one_counts_by_hand() -> None:
    # Two actions chosen alike; the first brings 1 always. The target takes it three times of four.
    log = Log(np.array([0, 0, 1, 1]), np.zeros(4, int), np.full(4, 0.5), np.array([1.0, 1.0, 0.0, 0.0]))
    target = Target(np.array([[3, 1]]))
    weights = weights_of(log, target, clip=10.0)
    assert weights.ratio.tolist() == [1.5, 1.5, 0.5, 0.5]
    values = {each.name: each.value for each in estimate_all(log, target, weights)}
    assert values["ips"] == pytest.approx(0.75)
    assert values["snips"] == pytest.approx(0.75)
    assert weights.effective_size == pytest.approx(16 / 5)


def test_intervals_cover_the_truth_of_500_simulated_logs() -> None:
    found = coverage(logs=500, seed=5)
    assert set(found.covered) == set(ESTIMATORS)
    for name in ESTIMATORS:
        assert 0.93 <= found.covered[name] <= 0.97, found
        assert abs(found.bias[name]) < 0.02, found
        assert 0.2 < found.width[name] < 0.4, found


def test_a_good_model_of_rewards_narrows_and_a_wrong_weight_misleads() -> None:
    world = World.make(3, rate=0.3)
    log, target = world.logs(20_000, np.random.default_rng(0))
    honest = {each.name: each for each in estimate_all(log, target, weights_of(log, target))}
    assert honest["dr"].error < honest["ips"].error
    wrong = Log(log.actions, log.positions, np.minimum(1.0, log.propensity * 3), log.reward)
    misled = estimate_all(wrong, target, weights_of(wrong, target))[0]
    assert not misled.interval[0] <= world.truth <= misled.interval[1]


def test_the_interval_of_rare_rewards_reaches_further_up() -> None:
    terms = np.repeat([0.0, 1.0], [980, 20])
    low, high = skewed_interval(terms, confidence=0.95)
    assert high - 0.02 > 0.02 - low > 0
    even = skewed_interval(np.repeat([0.0, 1.0], [500, 500]), confidence=0.95)
    assert even == pytest.approx(
        stats.norm.interval(0.95, 0.5, np.repeat([0.0, 1.0], 500).std(ddof=1) / 1000**0.5)
    )


def test_the_command_says_all_of_it(tmp_path: Path) -> None:
    log, target = frames()
    logs_of(log, target, tmp_path)
    said = CliRunner().invoke(
        ope,
        [
            "--log",
            str(tmp_path / "log.parquet"),
            "--target",
            str(tmp_path / "target.csv"),
            "--action",
            "item",
            "--position",
            "place",
            "--propensity",
            "chance",
            "--reward",
            "click",
            "--json",
        ],
        catch_exceptions=False,
    )
    found = json.loads(said.stdout)
    truth = 0.1 * (0.05 + 0.1 + 0.15) + 0.7 * 0.4
    assert [each["estimator"] for each in found["estimates"]] == list(ESTIMATORS)
    assert all(each["interval"][0] <= truth <= each["interval"][1] for each in found["estimates"])
    assert found["onPolicy"]["value"] == pytest.approx(target.click.mean())
    assert found["refused"] is None
    assert found["meanWeight"] == pytest.approx(1, abs=0.1)
    assert 0 < found["effectiveSampleSize"] < len(log)


def test_a_target_that_does_what_was_never_logged_is_refused(tmp_path: Path) -> None:
    log, target = frames()
    found = evaluate(logs_of(log[~((log.item == "d") & (log.place == 2))], target, tmp_path))
    assert found.estimates == ()
    assert found.missing == pytest.approx(((target.item == "d") & (target.place == 2)).mean())
    assert "never logged, such as d at 2" in found.refusal
    said = CliRunner().invoke(
        ope,
        [
            "--log",
            str(tmp_path / "log.parquet"),
            "--target",
            str(tmp_path / "target.csv"),
            "--action",
            "item",
            "--position",
            "place",
            "--propensity",
            "chance",
            "--reward",
            "click",
            "--json",
        ],
    )
    assert isinstance(said.exception, TailorbirdError)
    assert json.loads(said.stdout)["estimates"] == []


def test_a_little_that_was_never_logged_is_said(tmp_path: Path) -> None:
    log, target = frames()
    target.loc[:9, "item"] = "new"
    found = evaluate(logs_of(log, target, tmp_path))
    assert len(found.estimates) == 3
    assert "0.25% of the target's choices were never logged (new at " in found.notes[0]


def test_policies_too_far_apart_are_refused() -> None:
    log = Log(
        np.repeat([0, 1], [990, 10]), np.zeros(1_000, int), np.repeat([0.99, 0.01], [990, 10]), np.ones(1_000)
    )
    found = evaluate(Logs(log, Target(np.array([[0, 500]])), ["a", "b"], [""]), clip=1_000.0)
    assert "1,000 rows say as much of the target as 10" in found.refusal


def test_propensities_of_something_else_are_refused(tmp_path: Path) -> None:
    log, target = frames()
    slate = log.assign(chance=log.chance**2)  # of both places together
    assert "would be 1" in evaluate(logs_of(slate, target, tmp_path)).refusal
    for wrong in (0.0, 1.5, -0.2):
        with pytest.raises(UsageError, match="chance holds"):
            logs_of(log.assign(chance=np.where(log.index == 3, wrong, log.chance)), target, tmp_path)


def test_rows_that_lack_a_value_are_left_out_and_said(tmp_path: Path) -> None:
    log, target = frames()
    log.loc[:4, "click"] = None
    target.loc[:2, "item"] = None
    logs = logs_of(log, target, tmp_path)
    assert len(logs.log.reward) == len(log) - 5
    assert logs.notes == (
        "5 rows of log.parquet lack a value and were left out",
        "3 rows of target.csv lack a value and were left out",
    )


def test_a_target_without_rewards_or_positions_is_enough(tmp_path: Path) -> None:
    log, target = frames()
    log.to_parquet(tmp_path / "log.parquet")
    target[["item"]].to_parquet(tmp_path / "target.parquet")
    found = evaluate(
        read_logs(tmp_path / "log.parquet", tmp_path / "target.parquet", Columns("item", "chance", "click"))
    )
    assert found.on_policy is None
    assert found.estimates[0].value == pytest.approx(0.31, abs=0.04)


def test_positions_count_as_often_as_the_target_fills_them(tmp_path: Path) -> None:
    log, target = frames()
    log.loc[log.place == 2, "click"] = 0  # nobody looks there
    first = target.assign(place=1)
    both = evaluate(logs_of(log, target, tmp_path)).estimates[2].value
    assert evaluate(logs_of(log, first, tmp_path)).estimates[2].value == pytest.approx(2 * both, rel=0.15)


def test_clipping_is_counted_and_draws_down(tmp_path: Path) -> None:
    log, target = frames()
    logs = logs_of(log, target, tmp_path)
    plain, clipped = evaluate(logs), evaluate(logs, clip=1.5)
    assert plain.clipped_rows == 0 < clipped.clipped_rows
    assert clipped.estimates[0].value < plain.estimates[0].value
    assert "weights were clipped" in clipped.notes[0]


@pytest.mark.real_data
def test_intervals_from_a_random_shop_cover_what_its_bandit_earned(data_root: Path) -> None:
    folder = data_root / "open-bandit"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    columns = Columns("item_id", "propensity_score", "click", "position")
    found = evaluate(read_logs(folder / "men_random.parquet", folder / "men_bts.parquet", columns))
    earned = pd.read_parquet(folder / "men_bts.parquet").click.mean()
    assert found.on_policy.value == pytest.approx(earned)
    assert len(found.estimates) == 3
    assert all(each.interval[0] <= earned <= each.interval[1] for each in found.estimates)

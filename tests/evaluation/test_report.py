import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.evaluation.answers import answer_by_scores
from tailorbird.evaluation.baselines import Habit, Popularity, tuned_recency
from tailorbird.evaluation.metrics import ndcg
from tailorbird.evaluation.protocols import global_time_split, retail
from tailorbird.evaluation.rankings import write_rankings
from tailorbird.evaluation.report import (
    Yardstick,
    compare,
    comparison_rows,
    evaluate_rankings,
    learning_frame,
    segment_frame,
    slice_rows,
    source_frame,
)
from tests.evaluation.worlds import interactions, last_item_cases

YARDSTICK = Yardstick(popularity=np.array([3.0, 2.0, 0.0, 1.0]), user_count=3, draws=100)


def test_a_perfect_ranking_earns_one_and_its_slices_too() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3]], items=4)
    report = evaluate_rankings(np.array([[1, 0], [2, 0], [3, 0]]), cases, yardstick=YARDSTICK)
    assert report.mean("hr@10") == report.mean("ndcg@10") == report.mean("mrr@5") == 1
    assert report.slices["items:cold"].cases == 1
    assert report.slices["items:rare"].cases == 2
    assert report.overall.cases == report.overall.users == 3
    assert report.mean("coverage@5") == 1
    assert report.questions is None


def test_slices_hold_their_own_cases_only() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3]], items=4)
    report = evaluate_rankings(np.array([[1], [0], [0]]), cases, yardstick=YARDSTICK)
    assert report.mean("hr@10") == pytest.approx(1 / 3)
    assert report.slices["items:cold"].metrics["hr@10"].mean == 0
    assert report.slices["items:rare"].metrics["hr@10"].mean == 0.5


def test_segments_become_slices() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3]], items=4)
    yardstick = Yardstick(
        popularity=YARDSTICK.popularity,
        user_count=3,
        draws=10,
        segments={"country": np.array(["DE", "DE", "FR"])},
    )
    report = evaluate_rankings(np.array([[1], [0], [3]]), cases, yardstick=yardstick)
    frame = segment_frame(report, metrics=["hr@10"]).set_index("slice")
    assert frame.loc["country:DE", "mean"] == 0.5
    assert frame.loc["country:FR", "mean"] == 1
    assert frame.loc["all", "cases"] == 3


def test_slices_are_laid_out_for_the_screen() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3]], items=4)
    rows = slice_rows(
        evaluate_rankings(np.array([[1], [0], [0]]), cases, yardstick=YARDSTICK), metrics=["hr@10"]
    )
    assert [row["cases of"] for row in rows] == ["all", "items:cold", "items:rare"]
    assert rows[1] == {"cases of": "items:cold", "cases": 1, "users": 1, "hr@10": ".000 [.000, .000]"}


def test_baskets_are_scored_as_lists_too() -> None:
    world = interactions([[(0, 0), (0, 60), (1, 100), (2, 100), (3, 100)]], items=4)
    split = retail(world, validate_from=50, test_from=90).test
    report = evaluate_rankings(np.array([[1, 0, 2]]), split.cases, yardstick=YARDSTICK)
    assert report.overall.cases == 3
    assert report.mean("hr@5") == pytest.approx(2 / 3)
    assert report.questions is not None
    assert report.questions.cases == 1
    assert report.questions.metrics["hr@5"].mean == 1
    assert report.questions.metrics["recall@5"].mean == pytest.approx(2 / 3)
    assert report.questions.metrics["map@5"].mean == pytest.approx((1 + 2 / 3) / 3)


def test_ties_are_counted_and_their_places_shared() -> None:
    cases = last_item_cases([[0, 1]], items=4)
    report = evaluate_rankings(
        np.array([[1, 2, 3]]), cases, yardstick=YARDSTICK, scores=np.array([[5.0, 5.0, 1.0]])
    )
    assert report.ranks.tolist() == [1.5]
    assert report.tied == 1


def test_a_better_model_is_better_on_the_same_cases() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3]] * 20, items=4)
    good, poor = np.tile([[1], [2], [3]], (20, 1)), np.tile([[1], [0], [0]], (20, 1))
    better, worse = (evaluate_rankings(r, cases, yardstick=YARDSTICK) for r in (good, poor))
    interval = compare(better, worse)
    assert interval.low > 0
    assert interval.mean == pytest.approx(2 / 3)
    other = evaluate_rankings(
        good[:3], last_item_cases([[0, 1], [0, 2], [1, 3]], items=4), yardstick=YARDSTICK
    )
    with pytest.raises(ValueError, match="different cases"):
        compare(better, other)


def test_reports_stand_side_by_side() -> None:
    cases = last_item_cases([[0, 1], [0, 2]], items=4)
    report = evaluate_rankings(np.array([[1], [0]]), cases, yardstick=YARDSTICK)
    (row,) = comparison_rows({"ours": report}, metrics=["hr@10"], means=["coverage@10"])
    assert row == {"model": "ours", "hr@10": ".500 [.000, 1.000]", "coverage@10": ".500"}


def test_recall_by_source_says_what_only_one_finds() -> None:
    cases = last_item_cases([[0, 1], [0, 2], [1, 3], [1, 0]], items=4)
    sources = {"a": np.array([[1], [2], [-1], [1]]), "b": np.array([[1], [0], [3], [1]])}
    frame = source_frame(sources, cases, cuts=(1,)).set_index("source")
    assert frame["recall"].to_dict() == {"a": 0.5, "b": 0.5, "union": 0.75}
    assert frame.loc["a", "only_here"] == frame.loc["b", "only_here"] == 0.25


def test_learning_curves_are_a_long_table() -> None:
    frame = learning_frame({"loss": [2.0, 1.0]})
    assert frame.to_dict("records") == [
        {"curve": "loss", "step": 0, "value": 2.0},
        {"curve": "loss", "step": 1, "value": 1.0},
    ]


def test_popularity_answers_with_what_is_most_taken_and_not_seen() -> None:
    cases = last_item_cases([[2, 0], [2, 1], [2, 0], [0, 3]], items=5, exclude_seen=True)
    answers = Popularity(np.array([9.0, 5.0, 7.0, 1.0, 0.0], np.float32)).answer(cases)
    assert answers.rankings[0, :4].tolist() == [0, 1, 3, 4]
    assert answers.ranks.tolist() == [1, 2, 1, 3]


def test_habit_repeats_what_was_taken_often_and_late_then_what_everybody_takes() -> None:
    cases = last_item_cases([[3, 1, 1, 2, 9], [9]], items=10)
    habit = Habit(np.array([5.0, 4, 3, 2, 9, 0, 0, 0, 0, 0], np.float32))
    answers = answer_by_scores(habit, cases)
    assert answers.rankings[0, :5].tolist() == [1, 2, 3, 4, 0]
    assert answers.rankings[1, :3].tolist() == [4, 0, 1]


@given(data=st.data())
def test_popularity_answers_as_any_scorer_does(data: st.DataObject) -> None:
    sequences = data.draw(
        st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=8), min_size=1, max_size=6)
    )
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=12, max_size=12)), float)
    cases = last_item_cases(sequences, items=12, exclude_seen=data.draw(st.booleans()))
    ours = Popularity(counts).answer(cases, k=5)
    plain = answer_by_scores(lambda batch: np.tile(counts, (len(batch), 1)), cases, k=5)
    assert ours.ranks.tolist() == plain.ranks.tolist()
    worth = np.append(counts, -1)  # of an empty place; which of equal items is listed is nobody's business
    assert worth[ours.rankings].tolist() == worth[plain.rankings].tolist()


def test_recent_popularity_follows_what_is_taken_lately() -> None:
    day = 86_400.0
    old, new = [(0, float(t)) for t in range(9)], [(1, 100 * day + t) for t in range(3)]
    world = interactions([old, new], items=2)
    assert Popularity.ever(world).counts.argmax() == 0
    assert Popularity.recent(world, half_life=7).counts.argmax() == 1


def test_recency_without_times_counts_from_the_end_of_each_sequence() -> None:
    world = interactions([[(0, 0), (0, 1), (0, 2), (1, 3)]] * 3, items=2)
    assert Popularity.recent(world, half_life=0.5, ordered_only=True).counts.argmax() == 1


def test_the_half_life_is_chosen_on_validation() -> None:
    """A classic was taken by all but the ten who follow fashion, half of them a day late: yesterday tells them more."""
    day = 86_400.0
    followers = [[(d, (d + user % 2) * day) for d in range(30)] for user in range(10)]
    split = global_time_split(interactions([*followers, *[[(30, 0.0)]] * 100], items=31)).validation
    assert tuned_recency(split, half_lives=(90.0, 1.0)) == 1.0


def test_only_offered_items_are_ranked() -> None:
    cases = last_item_cases([[0, 3]], items=4)
    offered = np.array([False, False, True, True])
    answers = answer_by_scores(lambda batch: np.array([[9, 8, 7, 6]]), cases, offered=offered)
    assert answers.rankings[0, :3].tolist() == [2, 3, -1]
    assert answers.ranks.tolist() == [2]


def test_the_rankings_file_alone_gives_the_figures_back(tmp_path) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.permutation(50)[:6].tolist() for _ in range(40)]
    cases = last_item_cases(sequences, items=50, exclude_seen=True)
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [f"i{row}" for row in range(50)]}))
    scores = rng.normal(size=50)
    answers = answer_by_scores(lambda batch: np.tile(scores, (len(batch), 1)), cases)
    yardstick = Yardstick(popularity=np.zeros(50), user_count=40, draws=10)
    report = evaluate_rankings(answers.rankings, cases, yardstick=yardstick, ranks=answers.ranks)
    write_rankings(
        tmp_path / "rankings.parquet", answers.rankings, cases, catalog=catalog, ranks=answers.ranks
    )

    table = pq.read_table(tmp_path / "rankings.parquet").to_pandas()
    assert table["case_id"].tolist() == list(range(40))
    assert table["user_id"].tolist() == [f"u{user}" for user in range(40)]
    ranks = np.array(
        [
            [*items].index(target) + 1 if target in items else np.inf
            for items, target in zip(table["items"], table["target"], strict=True)
        ]
    )
    assert ndcg(ranks, 10).mean() == pytest.approx(report.mean("ndcg@10"))
    assert (table["items"].map(len) == 45).all()  # 50 items less the 5 that each user had

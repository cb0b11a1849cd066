from pathlib import Path

import pandas as pd
import pytest

from tailorbird.errors import UsageError
from tests.training.benchmarks.toy import tables
from training.benchmarks.published.data import (
    BenchmarkData,
    Question,
    cold_items,
    cut,
    read_own,
    read_published,
)
from training.data.dataset import epoch_seconds


def test_interactions_and_events_are_the_same_rows() -> None:
    data = BenchmarkData.of(
        "toy",
        tables(
            [
                ("b", "click", "y", 5),
                ("a", "click", "x", 9),
                ("a", "search", "", 2),
                ("a", "purchase", "z", 1),
            ]
        ),
    )
    assert len(data.interactions) == 3
    rows = data.events.iloc[data.rows]
    assert rows["item_id"].tolist() == data.catalog.item_ids[data.interactions.items].tolist()
    assert rows["user_key"].tolist() == data.interactions.user_ids[data.interactions.users].tolist()
    assert epoch_seconds(rows["event_time"]).tolist() == data.interactions.times.tolist()


def test_a_model_learns_from_no_event_after_the_cut_whatever_its_type() -> None:
    rows = [("a", "click", f"i{step}", float(step)) for step in range(20)]
    rows += [("a", "search", "", 3.5), ("a", "search", "", 19.5)]
    data = BenchmarkData.of("toy", tables(rows))
    split = cut(data, Question("gts")).test
    learned = data.fit_events(split)
    assert epoch_seconds(learned["event_time"]).max() <= split.fit.times.max() < split.cases.now.min()
    assert (learned["type"] == "search").sum() == 1
    known = data.known_events(split)
    assert (known["type"] == "click").sum() == 20


def test_cold_items_leave_the_training_events_and_the_profiles_of_that_time() -> None:
    rows = [
        (user, "click", str(item), item + start)
        for user, start in (("a", 0.0), ("b", 0.5))
        for item in range(20)
    ]
    data = BenchmarkData.of("toy", tables(rows))
    cold = set(data.catalog.item_ids[cold_items(data.catalog)])
    assert cold == {"3", "13"}
    rows_late = [("a", "click", "3", 30.0)]
    data = BenchmarkData.of("toy", tables([r for r in rows if r[2] != "3" or r[0] == "b"] + rows_late))
    split = cut(data, Question("gts", cold=True)).test
    assert not set(data.fit_events(split)["item_id"]) & cold
    assert [data.catalog.item_ids[target] for target in split.cases.targets] == ["3"]
    known = data.known_events(split)
    assert known[known["item_id"].isin(cold)]["user_key"].tolist() == ["user:a"]


def test_a_published_split_is_followed(tmp_path: Path) -> None:
    parts = ["train"] * 3 + ["valid", "test"]
    frame = pd.DataFrame(
        {
            "user_id": [1] * 5 + [2] * 4,
            "movie_id": [10, 11, 12, 13, 14, 10, 11, 12, 13],
            "position": [*range(5), 0, 1, 2, 4],
            "split": [*parts, "train", "train", "train", "test"],
        }
    )
    frame.to_parquet(tmp_path / "sequences.parquet")
    movies = pd.DataFrame({"movie_id": range(10, 16), "title": "t", "genres": "A|B", "year": 1990})
    movies = movies.assign(overview="o", director="d", actors="a", original_language="English")
    movies.to_parquet(tmp_path / "movies.parquet")
    users = pd.DataFrame(
        {"user_id": [1, 2], "gender": ["F", "M"], "age": 25, "occupation": 1, "zip_code": "0"}
    )
    users.to_parquet(tmp_path / "users.parquet")
    question = Question("loo")
    protocol = cut(read_published("movielens-1m", question, path=tmp_path), question)
    assert protocol.test.cases.user_ids.tolist() == ["user:1", "user:2"]
    assert protocol.validation.cases.user_ids.tolist() == ["user:1"]
    assert len(protocol.test.fit) == 6
    assert protocol.test.cases.histories().lengths.tolist() == [4, 3]


def test_own_rows_that_make_no_sense_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["message_id,type,user_id,item_id,event_time"]
    lines += [
        f"m{row},click,u{row % 3},i{row % 4},2025-01-0{1 + row // 10}T00:00:{row:02d}Z" for row in range(30)
    ]
    lines += ["bad,click,u1,i1,never", "m1,click,u1,i1,2025-01-01T00:00:00Z"]
    events = tmp_path / "e.csv"
    events.write_text("\n".join(lines))
    data = read_own("mine", mapping="shop", events=events, now=1.8e9)
    assert len(data.interactions) == 30
    assert "left out 2 of 32 rows" in capsys.readouterr().err


def test_data_without_times_cannot_be_cut_by_time() -> None:
    data = BenchmarkData.of(
        "toy", tables([("a", "click", "x", 0), ("a", "click", "y", 1)], ordered_only=True)
    )
    with pytest.raises(UsageError, match="no times"):
        cut(data, Question("gts"))


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'netflix'"):
        read_published("netflix", Question("gts"), path=tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "protocol", "fitted", "cases"),
    [("amazon-beauty", "loo", 153_776, 22_363), ("online-retail", "retail", 376_443, 56_257)],
)
@pytest.mark.slow
def test_published_data_sets_have_their_cases(
    data_root: Path, name: str, protocol: str, fitted: int, cases: int
) -> None:
    if not (data_root / name).is_dir():
        pytest.skip(f"no {data_root / name}")
    question = Question(protocol)
    test = cut(read_published(name, question, path=data_root / name), question).test
    assert (len(test.fit), len(test.cases)) == (fitted, cases)

"""Prefixes that shorten one session are that session, asked several times."""

from pathlib import Path

import numpy as np
import pandas as pd

from training.benchmarks.published.data import Question, cut, read_published


def test_prefixes_of_one_session_are_asked_within_it(tmp_path: Path) -> None:
    train = pd.DataFrame(
        {"session_id": np.repeat(np.arange(40), 2), "position": [0, 1] * 40, "item_id": [1, 2] * 40}
    )
    train.to_parquet(tmp_path / "train.parquet")
    prefixes = [([1, 2, 1], 2), ([1, 2], 1), ([2], 2), ([1, 2, 2], 1), ([1], 2)]
    pd.DataFrame(prefixes, columns=["prefix", "target"]).to_parquet(tmp_path / "test.parquet")
    data = read_published("diginetica", Question("sessions"), path=tmp_path)
    test = cut(data, Question("sessions")).test
    assert len(test.fit) == 80
    found = {
        (
            user,
            tuple(data.catalog.item_ids[test.cases.histories().seen(question)]),
            data.catalog.item_ids[target],
        )
        for user, question, target in zip(
            test.cases.user_ids, test.cases.question, test.cases.targets, strict=True
        )
    }
    assert found == {
        ("user:test-0", ("1", "2", "1"), "2"),
        ("user:test-0", ("1", "2"), "1"),
        ("user:test-2", ("2",), "2"),
        ("user:test-3", ("1", "2", "2"), "1"),
        ("user:test-4", ("1",), "2"),
    }

"""Test sessions that are published as prefixes, each with the click that came next (diginetica)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.errors import UsageError
from tailorbird.evaluation.protocols import newest_sessions
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import id_of
from tailorbird.ingest.sources import Tables
from training.benchmarks.published.clock import STEP_SECONDS

TEST = "test-"
"""The names of test sessions begin so; a number follows, the row of the file."""


def with_test_sessions(tables: Tables, *, path: Path) -> tuple[Tables, pd.Series]:
    """Add the test sessions of a file of ``prefix, target`` after the training sessions; say which events are asked.

    Rows that shorten one session click by click are one session, asked several times.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(
            f"no {path}", remedy="the sessions protocol needs the test prefixes beside train.parquet"
        )
    prefixes = pd.read_parquet(path)
    sequences, places, names = _sessions_of(prefixes)
    lengths = [len(sequence) for sequence in sequences]
    owner = np.repeat(np.arange(len(sequences)), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    start = tables.events["event_time"].max() + pd.Timedelta(hours=1)
    seconds = owner * STEP_SECONDS + place * STEP_SECONDS / 6
    asked = np.zeros(len(owner), bool)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    asked[np.concatenate([first[session] + np.array(own) for session, own in enumerate(places)])] = True
    ids = np.array([f"{TEST}{row}" for row in names], object)[owner]
    test = pd.DataFrame(
        {
            "message_id": [f"{user}-{step}" for user, step in zip(ids, place, strict=True)],
            "type": "click",
            "user_id": ids,
            "session_id": ids,
            "item_id": np.concatenate(sequences).astype(str).astype(object),
            "event_time": (start + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us, UTC]"),
        }
    ).reindex(columns=tables.events.columns)
    test["received_time"] = test["event_time"]
    events = pd.concat([tables.events, test.astype(tables.events.dtypes.to_dict())], ignore_index=True)
    flags = pd.Series(np.concatenate([np.ones(len(tables.events), bool), asked]))
    return replace(tables, events=events), flags


def parts_of_sessions(interactions: Interactions) -> np.ndarray:
    """(n_users,) 2 for the test sessions, 1 for the newest twentieth of the others, which validates, 0 for the rest."""
    is_test = np.array([id_of(str(user)).startswith(TEST) for user in interactions.user_ids])
    part = np.where(is_test, 2, 0).astype(np.int8)
    newest = newest_sessions(interactions.where(~is_test[interactions.users]), shares=(0.95, 0.05))
    part[~is_test & (newest == 1)] = 1
    return part


def _sessions_of(prefixes: pd.DataFrame) -> tuple[list[np.ndarray], list[list[int]], list[int]]:
    """Return each session's items, the places that are asked, and its first row in the file."""
    sequences: list[np.ndarray] = []
    places: list[list[int]] = []
    names: list[int] = []
    for row, (prefix, target) in enumerate(zip(prefixes["prefix"], prefixes["target"], strict=True)):
        shortened = sequences and _continues(sequences[-1], places[-1][-1], prefix, target)
        if not shortened:
            sequences.append(np.append(prefix, target))
            places.append([])
            names.append(row)
        places[-1].append(len(prefix))
    return sequences, places, names


def _continues(sequence: np.ndarray, asked: int, prefix: np.ndarray, target: int) -> bool:
    return (
        len(prefix) == asked - 1
        and sequence[asked - 1] == target
        and np.array_equal(sequence[: asked - 1], prefix)
    )

"""Contexts of the past: found by person and instant, reduced to what the ranker reads."""

import numpy as np
import pandas as pd

from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts

NOON = 1_700_000_000.0


def events(*rows: tuple[str, float, str | None]) -> pd.DataFrame:
    when = pd.to_datetime([round(instant * 1e6) for _, instant, _ in rows], unit="us", utc=True)
    return pd.DataFrame(
        {"user_key": [key for key, _, _ in rows], "event_time": when, "context": [text for *_, text in rows]}
    )


CONTEXTS = PastContexts.of(
    events(
        ("user:ann", NOON, '{"device": "phone", "referrer": "search"}'),
        ("user:ann", NOON, '{"device": "desktop"}'),
        ("user:ann", NOON + 1e-6, '{"device": "tablet", "consent": {"ads": false}}'),
        ("user:bob", NOON, None),
        ("user:bob", NOON + 1.5, "[1]"),
        ("user:bob", NOON + 2.5, '{"device": 7}'),
    )
)


def test_a_context_belongs_to_one_person_at_one_microsecond() -> None:
    found = CONTEXTS.at(
        ["user:ann", "user:ann", "user:ann", "user:cleo"], NOON + np.array([0, 1e-6, 2e-6, 0])
    )
    assert found == [{"device": "phone", "referrer": "search"}, {"device": "tablet"}, {}, {}]


def test_what_says_nothing_of_device_or_referrer_is_empty() -> None:
    assert CONTEXTS.at(["user:bob"] * 3, NOON + np.array([0.0, 1.5, 2.5])) == [{}, {}, {}]


def test_data_without_contexts_has_none() -> None:
    assert PastContexts.of(events(("user:ann", NOON, None)).drop(columns="context")) is NO_CONTEXTS
    assert PastContexts.of(events(("user:ann", NOON, None))).at(["user:ann"], np.array([NOON])) == [{}]

"""Exposures are read for a purpose: of people who let it, and those that are nobody's."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.events.schema import CONSENT, Event
from tailorbird.exposures.exposure import Exposure
from tailorbird.features.consent.purposes import exposures_for
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures

NOON = 1_750_000_000.0


def shown(name: str, at: float, user: str | None = "ann", **context: object) -> Exposure:
    return Exposure(
        recommendation_id=name,
        instant=at,
        scored_at=at,
        user_id=user,
        anonymous_id=None,
        session_id=None,
        scenario="home",
        arm="champion",
        model_name="m",
        model_version="1",
        items=(),
        first_position=0,
        scores=np.zeros(0, np.float32),
        propensities=np.zeros(0, np.float32),
        source_names=(),
        ranks=np.zeros((0, 0), np.int16),
        z_scores=np.zeros((0, 0), np.float16),
        user_vector=np.zeros(0, np.float32),
        profile_version="",
        fallback="",
        partial=False,
        removed={},
        context=context,
    )


def word(name: str, given: bool, at: float, purpose: str = "analytics") -> Event:
    return Event(name, CONSENT, at, at, user_id="ann", context={"purposes": {purpose: given}})


def read(settings: Settings, purpose: str = "analytics") -> list[str]:
    batches = exposures_for(settings, purpose, columns=["recommendation_id"])
    return [name for batch in batches for name in batch["recommendation_id"].to_pylist()]


@pytest.fixture
def workspace(settings: Settings) -> Settings:
    with open_exposures(settings) as stream:
        stream.append(
            [
                shown("r1", NOON),
                shown("r2", NOON + 2, purposes={"analytics": False}),
                shown("r3", NOON + 3, basis=[]),
                shown("r4", NOON + 4, user="bob"),
                shown("r5", NOON + 5, user=None, basis=[]),
            ]
        )
    return settings


def test_without_a_word_the_basis_decides_and_nobodys_serve(workspace: Settings) -> None:
    assert read(workspace) == ["r1", "r4", "r5"]
    assert read(workspace, "personalization") == ["r1", "r2", "r4", "r5"]
    assert read(workspace, "advertising") == ["r5"]


def test_a_refusal_takes_out_what_was_shown_before_and_a_consent_lets_in_what_is_shown_then(
    workspace: Settings,
) -> None:
    with open_events(workspace) as stream:
        stream.append([word("c1", True, NOON + 2.5)])
        assert read(workspace) == ["r1", "r3", "r4", "r5"]
        stream.append([word("c2", False, NOON + 2.7)])
        assert read(workspace) == ["r4", "r5"]
        stream.append([word("c3", True, NOON + 2.9)])
    assert read(workspace) == ["r3", "r4", "r5"]
    assert read(workspace, "personalization") == ["r1", "r2", "r4", "r5"]


def test_what_came_under_a_basis_that_was_taken_back_serves_by_a_word_alone(workspace: Settings) -> None:
    instant = dt.datetime.fromtimestamp(NOON + 4.5, dt.UTC).isoformat()
    (workspace.folder / "privacy.toml").write_text(f"[taken_back]\nanalytics = {instant}\n")
    assert read(workspace) == ["r5"]
    assert read(workspace, "personalization") == ["r1", "r2", "r4", "r5"]
    with open_events(workspace) as stream:
        stream.append([word("c1", True, NOON + 2.5)])
    assert read(workspace) == ["r3", "r5"]
    (workspace.folder / "privacy.toml").write_text("[taken_back]\nanalytics = 2020-01-01\n")
    assert read(workspace) == ["r1", "r3", "r4", "r5"]
    (workspace.folder / "privacy.toml").write_text("[taken_back]\nfun = 2020-01-01\n")
    with pytest.raises(UsageError, match="taken_back"):
        read(workspace)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", workspace="none")
    assert read(settings) == []
    assert not settings.folder.exists()


HISTORY = st.lists(
    st.one_of(
        st.booleans(),
        st.sampled_from(
            [{}, {"basis": []}, {"purposes": {"analytics": False}}, {"consent": True, "basis": []}]
        ),
    ),
    max_size=10,
)


@examples(max_examples=25)
@given(HISTORY)
def test_no_unit_of_an_experiment_rests_on_an_exposure_without_its_purpose(
    tmp_path_factory: pytest.TempPathFactory, history: list[bool | dict[str, object]]
) -> None:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), workspace="w")
    expected: list[str] = []
    given_now: bool | None = None
    with open_events(settings) as events, open_exposures(settings) as stream:
        for number, each in enumerate(history):
            at, name = NOON + number, f"r{number}"
            if isinstance(each, bool):
                events.append([word(name, each, at)])
                given_now, expected = each, expected if each else []
                continue
            stream.append([shown(name, at, **each)])
            own = each.get("consent", False) or "basis" not in each
            if given_now is not False and "purposes" not in each and (own or given_now):
                expected.append(name)
    assert read(settings) == expected

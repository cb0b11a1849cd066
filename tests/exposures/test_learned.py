"""What may be learned from: slates of people who do not refuse, with what followed them; nobody who refuses is read."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tailorbird.events.schema import CONSENT, Event
from tailorbird.exposures.learned import read_shown
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import NOW, exposure

WORTH = {"click": 1.0, "hide": -1.0}


@pytest.fixture
def workspace(tmp_path: Path) -> Settings:
    settings = load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="toy")
    settings.folder.mkdir(parents=True)
    return settings


def append(settings: Settings, slates: list, events: list[Event]) -> None:
    with closing(open_exposures(settings)) as shown, closing(open_events(settings)) as happened:
        shown.append(slates)
        happened.append(events)


def click(slate, place: int, kind: str = "click") -> Event:
    at = slate.instant + 5
    return Event(
        f"{slate.recommendation_id}-{place}-{kind}",
        kind,
        at,
        at,
        user_id=slate.user_id,
        item_id=slate.items[place],
        recommendation_id=slate.recommendation_id,
    )


def refusal(user_id: str, at: float) -> Event:
    return Event(
        f"no-{user_id}", CONSENT, at, at, user_id=user_id, context={"purposes": {"personalization": False}}
    )


def of(n: int, **changes: object):
    return exposure(n, items=(f"a{n}", f"b{n}", f"c{n}"), **changes)


def test_slates_come_with_what_followed_and_without_those_of_whoever_refuses(workspace: Settings) -> None:
    slates = [of(n) for n in range(6)]  # of u0, u1, u2, u0 …
    append(
        workspace,
        slates,
        [click(slates[0], 1), click(slates[1], 0), click(slates[5], 2, "hide"), refusal("u1", NOW + 100)],
    )
    shown = read_shown(workspace, worth=WORTH, days=30, most=100)
    assert [each.user_id for each in shown.exposures] == ["u0", "u2", "u0", "u2"]
    assert [gains.tolist() for gains in shown.gains] == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, -1]]


def test_only_the_newest_are_read_and_no_list_of_a_caller(workspace: Settings) -> None:
    slates = [of(n) for n in range(4)]
    slates += [of(4, scenario="rank"), of(5, scenario="similar"), of(3 * 86_400)]
    append(workspace, slates, [])
    found = read_shown(workspace, worth=WORTH, days=30, most=3)
    assert [each.items[0] for each in found.exposures] == ["a2", "a3", "a259200"]
    assert len(read_shown(workspace, worth=WORTH, days=1, most=100)) == 1


def test_what_was_received_later_was_not_known_before(workspace: Settings) -> None:
    slate = of(0)
    soon, late = click(slate, 0), replace(click(slate, 1), received_time=slate.instant + 864_000.0)
    append(workspace, [slate], [soon, late])
    shown = read_shown(workspace, worth=WORTH, days=30, most=3)
    assert shown.gains[0].tolist() == [1, 1, 0]
    assert shown.before(slate.instant + 86_400.0).gains[0].tolist() == [1, 0, 0]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="none")
    assert not len(read_shown(settings, worth=WORTH, days=30, most=3))
    assert not settings.folder.exists()

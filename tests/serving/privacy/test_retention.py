"""What has reached its age goes from every file, once, noted in the audit log; what has not, and what decides about it, stays."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from feature_repo.command import build_features
from serving.privacy.retention import Retaining
from serving.privacy.retention_command import retention
from tailorbird.audit.record import log_of
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import Event
from tailorbird.features.consent.consents import ANALYTICS, PERSONALIZATION
from tailorbird.features.consent.purposes import exposures_for, scan_for
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream, open_events
from tailorbird.streams.scan import scan
from tests.serving.privacy.life import bytes_with, live, settle, unclaimed
from tests.serving.world import World
from tests.streams.embedded import event

DAY = 86_400.0
POLICY = """
[retention]
default = "2y"
stumble = "30d"
view = "90d"
exposures = "30d"
quarantine = "14d"
dead_letters = "7d"
past_profiles = "60d"
"""


@pytest.fixture
def lived(make_world) -> World:
    world = make_world()
    world.folders = [world.settings.folder, live(world)]
    says(world, POLICY)
    return world


def says(world: World, text: str) -> None:
    (world.settings.folder / "privacy.toml").write_text(text)


def does(world: World, kind: str, *, days_ago: float, now: float) -> None:
    at = now - days_ago * DAY
    world.log.append([Event(f"{kind}-{days_ago}", kind, at, at, user_id="pseudonym-of-somebody")])


def kinds(world: World) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in scan(world.settings, columns=["type"]):
        for kind in batch["type"].to_pylist():
            found[kind] = found.get(kind, 0) + 1
    return found


def test_what_is_too_old_goes_from_every_file_and_the_rest_stays(lived: World) -> None:
    now = lived.clock + 100 * DAY
    for kind, days_ago in {"stumble": 31, "wobble": 740, "fumble": 100}.items():
        does(lived, kind, days_ago=days_ago, now=now)
    settle(lived)
    does(lived, "stumble", days_ago=40, now=now)
    does(lived, "stumble", days_ago=29, now=now)
    before = kinds(lived)
    retaining = Retaining(lived.settings, clock=lambda: now)
    due = retaining.due()
    assert due == {
        "events: stumble": 2,
        "events: view": before["view"],
        "events: wobble": 1,
        "exposures: shown": 12,
        "quarantine: rows": 6,
        "dead_letters: given_up": 1,
        "past_profiles: rows": 3,
    }
    assert kinds(lived) == before
    assert retaining.run(who="login:ann") == due
    left = kinds(lived)
    assert left == {**{k: n for k, n in before.items() if k not in ("view", "wobble")}, "stumble": 1}
    assert left["identify"] == before["identify"]
    assert bytes_with(lived.folders, "wobble", leaving=("audit.db",)) == []
    held = bytes_with(lived.folders, "fumble")
    assert held
    assert all("archive" in path for path in held)
    assert list(lived.settings.quarantine_folder.glob("*.parquet")) == []
    assert unclaimed(lived.settings) == []
    (entry,) = [each for each in log_of(lived.settings).entries() if each.what == "retention.run"]
    assert (entry.who, json.loads(entry.detail)) == ("login:ann", {"due": due})
    assert retaining.run(who="login:ann") == {}
    assert len([each for each in log_of(lived.settings).entries() if each.what == "retention.run"]) == 1


def test_profiles_of_what_went_stay_until_they_are_made_anew(lived: World) -> None:
    key = lived.key("user:winifred-adder")
    before = lived.features.online_parts([key])[0].total
    build_features(lived.settings)
    now = lived.clock + 100 * DAY
    assert Retaining(lived.settings, clock=lambda: now).run(who="login:ann")["events: view"]
    does(lived, "like", days_ago=1, now=now)  # or there would be nothing to do
    assert not build_features(lived.settings)["skipped"]
    assert lived.features.online_parts([key])[0].total == before > 0
    build_features(lived.settings, force=True)
    assert lived.features.online_parts([key])[0].total == 0


def test_the_job_runs_once_a_day_and_says_nothing_where_nothing_is_decided(lived: World) -> None:
    now = [lived.clock + 100 * DAY]
    first, other = (Retaining(lived.settings, clock=lambda: now[0]) for _ in range(2))
    assert first.run_if_a_day_has_passed()
    now[0] += 0.9 * DAY
    does(lived, "stumble", days_ago=50, now=now[0])
    assert other.run_if_a_day_has_passed() is None
    now[0] += 0.1 * DAY
    assert other.run_if_a_day_has_passed() == {"events: stumble": 1}
    says(lived, "")
    now[0] += 1_000 * DAY
    assert first.run_if_a_day_has_passed() is None
    assert first.run(who="login:ann") == {}
    assert kinds(lived)["identify"]


def test_a_place_that_fails_for_hours_is_written_down_once(lived: World) -> None:
    now = [lived.clock + 100 * DAY]
    retaining = Retaining(lived.settings, clock=lambda: now[0])

    def runs() -> list[dict]:
        return [
            json.loads(each.detail)["due"]
            for each in log_of(lived.settings).entries()
            if each.what == "retention.run"
        ]

    due = retaining.due()
    in_the_way = lived.settings.quarantine_folder / ".lock"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    for _ in range(3):
        with pytest.raises(TailorbirdError, match="not finished: quarantine"):
            retaining.run_if_a_day_has_passed()
        now[0] += 300.0
    in_the_way.rmdir()
    assert runs() == [due]
    does(lived, "stumble", days_ago=50, now=now[0])
    later = {"events: stumble": 1, "quarantine: rows": 6}
    assert retaining.run_if_a_day_has_passed() == later
    assert runs() == [due, later]


def at(world: World, now: float) -> Settings:
    return world.settings.model_copy(update={"clock_at": now})


def used(world: World, purpose: str, *, now: float) -> dict[str, int]:
    """Kinds of events that may serve ``purpose`` at an instant."""
    found: Counter[str] = Counter()
    for batch in scan_for(at(world, now), purpose, columns=["type"]):
        found.update(batch["type"].to_pylist())
    return {kind: count for kind, count in found.items() if kind in ("stumble", "wobble", "fumble")}


def test_what_is_too_old_for_a_purpose_serves_it_no_more_and_is_kept_for_others(lived: World) -> None:
    now = lived.clock + 100 * DAY
    for kind, days_ago in {"stumble": 31, "wobble": 740, "fumble": 10}.items():
        does(lived, kind, days_ago=days_ago, now=now)
    says(lived, '[retention.purposes]\npersonalization = "30d"\nanalytics = "1y"\n')
    assert used(lived, PERSONALIZATION, now=now) == {"fumble": 1}
    assert used(lived, ANALYTICS, now=now) == {"fumble": 1, "stumble": 1}
    assert Retaining(lived.settings, clock=lambda: now).due() == {}
    shown = [
        sum(len(batch) for batch in exposures_for(at(lived, now), purpose, columns=["user_key"]))
        for purpose in (PERSONALIZATION, ANALYTICS)
    ]
    assert shown[0] < shown[1]
    words = [
        kind
        for batch in scan_for(at(lived, now), PERSONALIZATION, columns=["type"])
        for kind in batch["type"].to_pylist()
        if kind == "identify"
    ]
    assert words, "what people said has no age"


def test_what_serves_no_purpose_any_more_goes(lived: World) -> None:
    now = lived.clock + 100 * DAY
    for kind, days_ago in {"stumble": 31, "wobble": 740, "fumble": 400}.items():
        does(lived, kind, days_ago=days_ago, now=now)
    says(
        lived,
        '[retention]\nstumble = "30d"\n'
        '[retention.purposes]\npersonalization = "30d"\nanalytics = "2y"\nadvertising = "1d"\n',
    )
    retaining = Retaining(lived.settings, clock=lambda: now)
    assert retaining.due() == {"events: stumble": 1, "events: wobble": 1}
    retaining.run(who="login:ann")
    assert kinds(lived)["fumble"] == 1
    assert {"stumble", "wobble"} & kinds(lived).keys() == set()


def test_the_command_says_what_would_go_then_does_it(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(lived.settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(lived.settings.mlruns))
    ran = [
        json.loads(CliRunner().invoke(retention, ["run", "--workspace", "toy", "--json", *more]).stdout)
        for more in (["--dry-run"], ["--dry-run"], [], [])
    ]
    assert ran[0] == ran[1]
    assert ran[0]["gone"] == ran[2]["gone"]
    assert ran[0]["gone"]["exposures: shown"] == 12
    assert ran[0]["ages_days"]["default"] == 730
    assert ran[3]["gone"] == {}
    says(lived, "")
    result = CliRunner().invoke(retention, ["run", "--workspace", "toy"])
    assert isinstance(result.exception, UsageError)
    assert "[retention]" in result.exception.remedy


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('view = "90"', "none of 90d, 12w, 2y"),
        ("view = 90", "none of 90d"),
        ('view = "0d"', "none of 90d"),
        ('consent = "90d"', "kept until its person is erased"),
        ('identify = "1y"', "kept until its person is erased"),
        ('"No Type" = "1y"', "is no event type"),
        ('purposes = "1y"', "no table of ages by purpose"),
        ('purposes.analytics = "1"', r"purposes\.analytics = '1' is none of 90d"),
        ('purposes.resaerch = "1y"', "'resaerch' is no purpose"),
    ],
)
def test_an_age_that_cannot_be_meant_is_refused(settings: Settings, line: str, said: str) -> None:
    settings.folder.mkdir(parents=True)
    (settings.folder / "privacy.toml").write_text(f"[retention]\n{line}\n")
    with pytest.raises(UsageError, match=said):
        read_policy(settings)


CHILD = """
import sys
from tailorbird.settings import load_settings
from tailorbird.streams.factory import expire_stream, open_events
from tests.serving.privacy.which import WHICH
settings = load_settings(home=sys.argv[1], workspace="test")
print("begins", flush=True)
with open_events(settings) as events:
    expire_stream(events, WHICH)
"""


def test_a_file_that_was_written_and_never_named_by_a_commit_goes_too(settings) -> None:
    from tailorbird.streams.factory import expire_stream
    from tests.serving.privacy.which import WHICH

    with open_events(settings) as log:
        log.append([event(n, type="view", event_time=float(n)) for n in range(10)])
        compact_stream(log)
        left = next((settings.folder / "archive" / "events").glob("*.parquet")).with_name("part-left.parquet")
        left.write_bytes(b"of a process that was killed")
        assert expire_stream(log, WHICH) == 0
        assert not left.exists()
        assert sum(len(batch) for batch in log.scan(columns=["type"])) == 10


@pytest.mark.slow
def test_killed_at_any_instant_it_is_finished_by_the_next_run(settings) -> None:
    import random
    import time

    from tailorbird.streams.factory import expire_stream
    from tests.serving.privacy.which import WHICH

    rng, root = random.Random(5), Path(__file__).resolve().parents[3]
    numbers = iter(range(1_000_000))

    def fill(log) -> int:
        """Half of what is stored is of the type that goes; in the archive and live."""
        made = [
            event(n, type="stumble" if n % 2 else "view", event_time=float(n))
            for n in (next(numbers) for _ in range(4_000))
        ]
        log.append(made[:3_000])
        compact_stream(log)
        log.append(made[3_000:])
        return 2_000

    kept, typical = 0, 0.3
    with open_events(settings) as log:
        for _ in range(6):
            kept += fill(log)
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, str(settings.home)], cwd=root, stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            assert child.stdout.readline() == b"begins\n"
            time.sleep(rng.random() * typical)
            child.kill()
            child.communicate()
            expire_stream(log, WHICH)
            rows = [kind for batch in log.scan(columns=["type"]) for kind in batch["type"].to_pylist()]
            assert (len(rows), set(rows)) == (kept, {"view"})
            assert bytes_with([settings.folder], "stumble") == []

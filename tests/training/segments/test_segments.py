"""Segments of a workspace: fitted, tracked, registered, promoted, and told of everybody as the live path tells them."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.metrics import adjusted_rand_score

from feature_repo.command import build_features
from feature_repo.store import FeatureStoreRoom
from registry.gates.segments import judge_segments
from registry.promotion.promote import Order, promote
from registry.tracking.runs import Run, Tracker
from registry.versions.versions import Registry
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.cli import tailorbird
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import Event, user_key
from tailorbird.segments.model import SegmentModel
from tailorbird.segments.rules.rules import NO_SEGMENT_RULES, SegmentRules, rules_of
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from training.segments.assign import AssignedPeople
from training.segments.fit import Fitted, fit_segments
from training.segments.people import load_people

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
DAY = 86_400.0
START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC).timestamp()
SIZES = range(2, 5)


def story(
    user: str, kind: int, rng: np.random.Generator, *, start: float = START, visits: int = 6
) -> list[Event]:
    """Kind 0 looks at cheap things at night; kind 1 buys dear ones at noon."""
    events = []
    for visit in range(visits):
        clock = start + visit * DAY + (2 + 10 * kind + rng.uniform(0, 1)) * 3600.0
        for step in range(int(rng.integers(3, 6))):
            item = f"{'dear' if kind else 'cheap'}-{rng.integers(10)}"
            for deed in ("view", "add_to_cart", "purchase")[: 3 if kind and rng.random() < 0.7 else 1]:
                clock += float(rng.uniform(20, 60))
                events.append(
                    Event(
                        f"{user}-{start:.0f}-{visit}-{step}-{deed}",
                        deed,
                        clock,
                        clock,
                        user_id=user,
                        session_id=f"{user}-{visit}",
                        item_id=item,
                        context={"device": "desktop" if kind else "mobile"},
                    )
                )
    return events


def open_shop(settings: Settings) -> Settings:
    """Eighty people, half of each kind: u0, u2 … look at night."""
    names = [f"{band}-{n}" for band in ("cheap", "dear") for n in range(10)]
    Catalog.from_frame(
        pd.DataFrame(
            {"item_id": names, "price": [5.0 + n for n in range(10)] + [500.0 + n for n in range(10)]}
        )
    ).write(settings.catalog_folder)
    Users.from_frame(
        pd.DataFrame({"user_id": [f"u{n}" for n in range(80)], "age": [20.0 + n % 40 for n in range(80)]})
    ).write(settings.catalog_folder)
    rng = np.random.default_rng(0)
    with open_events(settings) as log:
        log.append([event for n in range(80) for event in story(f"u{n}", n % 2, rng)])
    return settings


def fitted(shop: Settings, **rest: int) -> Fitted:
    return fit_segments(load_people(shop), settings=shop, now=NOW, sizes_tried=SIZES, **rest)


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """A shop that a test may change."""
    return open_shop(settings)


@pytest.fixture(scope="module")
def found(mlflow_schema: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Fitted]:
    """A shop whose segments were found, and what was found. Tests may fit again, which changes no version of before."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "mlruns").mkdir()
    shutil.copy(mlflow_schema, folder / "mlruns" / "mlflow.db")
    shop = open_shop(load_settings(home=folder / "home", mlruns=folder / "mlruns", workspace="test"))
    return shop, fitted(shop)


@pytest.fixture(scope="module")
def champion(found: tuple[Settings, Fitted]) -> tuple[SegmentModel, int]:
    """The model that was found first, and its version."""
    shop, done = found
    assert done.registered is not None
    registry = Registry(shop, name=shop.segments_name)
    order = Order("champion", "ann", NOW)
    assert promote(registry, str(done.registered.version), order=order, judged_by=judge_segments).moved
    return done.registered.open().model, done.registered.version


def test_the_proposed_grouping_is_a_version_and_every_candidate_a_run(found: tuple[Settings, Fitted]) -> None:
    shop, done = found
    assert done.registered is not None
    assert done.model is not None
    people = load_people(shop)
    labels, _ = done.registered.open().model.labels(people.histories, people.told)
    kinds = [int(key.removeprefix("user:u")) % 2 for key in people.user_keys]
    assert adjusted_rand_score(kinds, labels) > 0.95
    tracker = Tracker.open(shop, name=shop.segments_name)
    runs = tracker.children(Run(tracker.client, done.run_id), status="FINISHED")
    assert len(runs) == len(done.found.candidates)
    assert {"stability", "silhouette", "davies_bouldin"} <= set(runs[0].data.metrics)
    files = Run(tracker.client, done.run_id).files("plots")
    assert {"plots/figures_by_size.png", "plots/profiles.png", "plots/sizes.png"} <= set(files)
    assert "card.md" in Run(tracker.client, done.run_id).files()
    drawn = [run for run in runs if Run(tracker.client, run.info.run_id).files("plots")]
    assert len(drawn) == min(6, len(runs))
    assert Registry(shop).aliases() == {}, "the recommender's model is another one"


def test_another_candidate_is_chosen_by_its_number(found: tuple[Settings, Fitted]) -> None:
    shop, first = found
    assert first.registered is not None
    other = next(each for each in first.found.candidates if each is not first.chosen)
    again = fitted(shop, choose=other.number)
    assert again.chosen is not None
    assert again.registered is not None
    assert again.chosen.method.words == other.method.words
    assert again.registered.version > first.registered.version
    with pytest.raises(UsageError, match="there is no candidate 999"):
        fitted(shop, choose=999)


def test_mlflow_opens_the_model_and_names_segments_of_packed_histories(
    found: tuple[Settings, Fitted], champion: tuple[SegmentModel, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc

    (shop, _), (model, version) = found, champion
    people = load_people(shop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.mlflow_uri)
    opened = mlflow.pyfunc.load_model(f"models:/{shop.segments_name}/{version}")
    told = opened.predict(pd.DataFrame({"history": [each.tobytes() for each in people.histories[:5]]}))
    labels, _ = model.labels(people.histories[:5])
    assert told["segment"].tolist() == [model.keys[label] for label in labels]


def test_a_model_whose_groups_do_not_come_again_is_refused(found: tuple[Settings, Fitted]) -> None:
    shop, done = found
    unstable = min(done.found.candidates, key=lambda each: each.stability)
    assert unstable.stability < 0.8
    fitted(shop, choose=unstable.number)
    registry = Registry(shop, name=shop.segments_name)
    refused = promote(registry, "latest", order=Order("champion", "ann", NOW), judged_by=judge_segments)
    assert (refused.moved, refused.refused) == (False, ["stability"])


def test_everybody_is_told_as_the_live_path_tells_them_and_only_news_is_looked_at(
    shop: Settings, champion: tuple[SegmentModel, int]
) -> None:
    model, version = champion
    everybody = AssignedPeople(shop)
    first = everybody.update(model, version)
    assert (first.looked, first.people) == (80, 80)
    assert everybody.update(model, version).looked == 0
    rng = np.random.default_rng(9)
    with open_events(shop) as log:
        log.append(story("u0", 1, rng, start=START + 40 * DAY, visits=4))
        log.append(story("stranger", 0, rng))
    second = everybody.update(model, version)
    assert (second.looked, second.moved, second.people) == (2, 2, 81)
    build_features(shop)
    told = pq.read_table(everybody.file).to_pandas().set_index("user_key")
    states = FeatureStoreRoom(shop).online_read(told.index.tolist())
    from tailorbird.features.demographics import NOBODY, demographics_of

    people = demographics_of(Users.read(shop.catalog_folder))
    for state in states:
        live = model.assign(state, people.get(state.user_key, NOBODY))
        assert (live.key, live.evidence) == pytest.approx(
            (told.loc[state.user_key, "segment"], told.loc[state.user_key, "evidence"])
        ) or live.key == told.loc[state.user_key, "segment"]


def test_the_file_says_which_rules_hold_of_whom_as_time_passes(
    shop: Settings, champion: tuple[SegmentModel, int]
) -> None:
    model, version = champion
    everybody = AssignedPeople(shop)
    everybody.update(model, version)
    rules = rules_of({"away": {"name": "away", "when": "days_since_visit > 14"}}, where="rules.toml")

    def held(of: SegmentRules, *, day: float) -> tuple[int, int]:
        done = everybody.update(model, version, rules=of, now=START + day * DAY)
        return done.looked, sum(map(len, pq.read_table(everybody.file)["rules"].to_pylist()))

    assert held(rules, day=10) == (80, 0)
    assert held(rules, day=30) == (80, 80), "nobody did anything, and everybody is in it"
    assert held(NO_SEGMENT_RULES, day=30) == (80, 0), "those of before are taken out once"
    assert held(NO_SEGMENT_RULES, day=30) == (0, 0)


def test_an_interrupted_run_is_gone_on_with(
    shop: Settings, champion: tuple[SegmentModel, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, version = champion
    monkeypatch.setattr("training.segments.assign.AT_ONCE", 30)
    everybody = AssignedPeople(shop)

    def interrupt(people: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        everybody.update(model, version, advance=interrupt)
    with open_events(shop) as log:
        log.append(story("late", 0, np.random.default_rng(1)))
    rest = everybody.update(model, version)
    assert (rest.looked, rest.people) == (51, 81)
    again = everybody.update(model, version + 1)
    assert again.looked == 81, "another version looks at everybody"


def test_events_under_a_linked_anonymous_id_move_their_user(
    shop: Settings, champion: tuple[SegmentModel, int]
) -> None:
    model, version = champion
    everybody = AssignedPeople(shop)
    link = Event("l1", "identify", START, START, user_id="u0", anonymous_id="a0")
    with open_events(shop) as log:
        log.append([link])
    everybody.update(model, version)
    before = pq.read_table(everybody.file).to_pandas().set_index("user_key")["segment"]["user:u0"]
    from dataclasses import replace

    as_anonymous = [
        replace(event, user_id=None, anonymous_id="a0")
        for event in story("a0", 1, np.random.default_rng(2), start=START + 30 * DAY, visits=6)
    ]
    with open_events(shop) as log:
        log.append(as_anonymous)
    everybody.update(model, version)
    after = pq.read_table(everybody.file).to_pandas().set_index("user_key")["segment"]
    assert after["user:u0"] != before
    assert user_key(user_id=None, anonymous_id="a0") in after.index


def test_the_commands_speak_json_and_say_what_is_missing(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("home", "mlruns", "workspace"):
        monkeypatch.setenv(f"TAILORBIRD_{name.upper()}", str(getattr(shop, name)))

    def call(*argv: str) -> dict[str, object]:
        said = CliRunner().invoke(tailorbird, ["segments", *argv, "--json"], catch_exceptions=False)
        assert said.exit_code == 0
        return json.loads(said.stdout)  # type: ignore[no-any-return]

    for argv in (["show"], ["compare"], ["assign"]):
        with pytest.raises(TailorbirdError) as missing:
            CliRunner().invoke(tailorbird, ["segments", *argv], catch_exceptions=False, standalone_mode=False)
        assert "segments fit" in missing.value.remedy
    made = call("fit", "--most", "4")
    assert made["version"] == 1
    compared = call("compare")
    assert str(made["candidate"]) == compared["proposed"]
    assert call("promote")["promoted"]
    assert [each["key"] for each in call("show")["segments"]]  # type: ignore[attr-defined, index]
    assert call("assign")["people"] == 80
    with pytest.raises(UsageError, match="is no time"):
        CliRunner().invoke(
            tailorbird,
            ["segments", "assign", "--every", "soon"],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_an_empty_workspace_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TailorbirdError, match="has no events"):
        load_people(settings)

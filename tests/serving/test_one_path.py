"""What a benchmark measures is what a running platform answers: 500 questions over HTTP, its clock set back."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import httpx
import numpy as np
import pytest

from feature_repo.command import build_features
from feature_repo.past_profiles import FeastProfiles
from serving.bench.harness.world import promote_folder
from serving.cluster import free_ports
from tailorbird.bundle import BUNDLE_PATH, Fallbacks, Origin, write_bundle
from tailorbird.catalog.catalog import Users
from tailorbird.evaluation.answers import answer_by_recommender
from tailorbird.evaluation.cases import Cases
from tailorbird.events.columns import EventColumns
from tailorbird.events.rows import table_of_frame
from tailorbird.events.schema import id_of
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.privacy.door.door import Door
from tailorbird.recipes.recipe import load_recipe
from tailorbird.settings import Settings, load_settings
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf
from tailorbird.streams.factory import open_events
from training.benchmarks.published.data import BenchmarkData, Question, cut
from training.benchmarks.published.shop import simulated
from training.data.dataset import epoch_seconds

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
QUESTIONS = 500
PAGE = 20


@dataclass
class Past:
    """A shop as it was when its benchmark begins, the model of that time, and what is asked of it."""

    settings: Settings
    data: BenchmarkData
    model: HybridModel
    cases: Cases
    callers: list[str]
    """The person keys of the cases as the data has them; the workspace knows pseudonyms."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    _, data = simulated(2000, seed=5)
    split = cut(data, Question("gts")).test
    events = data.fit_events(split)
    # What had not been received yet, a platform of that time does not know.
    events = events[epoch_seconds(events["received_time"]) <= split.until].reset_index(drop=True)
    recipe = load_recipe("quick").override(
        {"sequence.epochs": 1, "sequence.refit_epochs": 1, "ranker.epochs": 2, "ranker.cases": 1000}
    )
    model = fit_hybrid(
        split.fit,
        data.catalog,
        data.users,
        ReplayProfiles.of_frame(events, data.catalog),
        EventColumns.of_frame(events),
        recipe,
        contexts=PastContexts.of(events),
    ).model
    home = tmp_path_factory.mktemp("past")
    settings = load_settings(
        home=home / "home",
        mlruns=home / "mlruns",
        workspace="past",
        port=free_ports(1)[0],
        clock_at=model.items_at,
    )
    data.catalog.write(settings.catalog_folder)
    with closing(Door.of(settings)) as door, open_events(settings) as stream:
        users = Users(door.users(data.users.users), data.users.stamp)
        stream.append_table(table_of_frame(door.frame(events)))
        names = door.names
    users.write(settings.catalog_folder)
    build_features(settings)
    folder = settings.folder / "models" / "1"
    write_bundle(
        model,
        folder / BUNDLE_PATH,
        origin=Origin(name=settings.model_name, recipe=recipe.to_toml()),
        metrics={},
        fallbacks=Fallbacks(),
        now=dt.datetime.fromtimestamp(model.items_at, dt.UTC),
    )
    promote_folder(settings, folder)
    # Each user's first question after the cut, asked at the cut: until then nothing happened to the profile.
    opening = np.unique(split.cases.case_users, return_index=True)[1][:QUESTIONS]
    mask = np.zeros(len(split.cases), bool)
    mask[opening] = True
    cases = split.cases.take(mask)
    callers = [str(each) for each in cases.user_ids]
    cases = replace(
        cases,
        now=np.full(len(cases), model.items_at),
        known=replace(
            cases.known,
            user_ids=np.array(
                [names.person(id_of(str(each))) for each in cases.known.user_ids], dtype=object
            ),
        ),
    )
    return Past(settings, replace(data, users=users), model, cases, callers)


@pytest.fixture(scope="module")
def platform(past: Past) -> Iterator[httpx.Client]:
    settings = past.settings
    process = subprocess.Popen(
        [sys.executable, "-m", "tailorbird", "serve", "--json"],
        env={
            **os.environ,
            "TAILORBIRD_HOME": str(settings.home),
            "TAILORBIRD_MLRUNS": str(settings.mlruns),
            "TAILORBIRD_PORT": str(settings.port),
            "TAILORBIRD_WORKSPACE": settings.workspace,
            "TAILORBIRD_CLOCK_AT": repr(settings.clock_at),
            "TAILORBIRD_REPLICAS": "1",
            "TAILORBIRD_COLLECT_REPLICAS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=60)
    deadline = time.monotonic() + 240
    while True:
        try:
            if client.get("/health/ready").status_code == 200:
                break
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"serve did not start: {process.communicate()[1].decode()}")
        time.sleep(0.2)
    yield client
    client.close()
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_500_benchmark_questions_over_http_get_the_lists_that_are_measured(
    past: Past, platform: httpx.Client
) -> None:
    cases = past.cases
    assert cases.question_count == QUESTIONS
    contexts = PastContexts.of(past.data.known_events(cut(past.data, Question("gts")).test))
    spoken = contexts.at(past.callers, cases.known.times[cases.ends])

    class Then:
        """What each user's device and referrer were, at the one instant at which all are asked."""

        def at(self, user_keys: list[str], instants: np.ndarray) -> list[object]:
            by_user = dict(zip(cases.user_ids, spoken, strict=True))
            return [by_user[key] for key in user_keys]

    recommender = recommender_of(past.model, shelf=Shelf.of(past.data.catalog))

    def measured(recommender: Recommender, contexts: object) -> np.ndarray:
        return answer_by_recommender(
            recommender,
            cases,
            profiles=FeastProfiles(past.settings),
            people=demographics_of(past.data.users),
            contexts=contexts,  # type: ignore[arg-type]
            k=PAGE,
        ).rankings

    offline = measured(recommender, Then())
    # The lists tell apart what they are to tell apart: selection and context.
    plain = replace(recommender, policy=replace(recommender.policy, max_category_share=1.0))
    assert (measured(plain, Then()) != offline).any(axis=1).sum() > 50
    assert (measured(recommender, NO_CONTEXTS) != offline).any(axis=1).sum() > 50

    def ask(place: int) -> list[str]:
        body = {
            "userId": id_of(past.callers[place]),
            "numResults": PAGE,
            "context": spoken[place],
        }
        answer = platform.post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["fallback"] is None
        return [item["itemId"] for item in answer.json()["items"]]

    with ThreadPoolExecutor(8) as pool:
        served = list(pool.map(ask, range(QUESTIONS)))
    ids = past.data.catalog.item_ids
    lists = [[str(ids[row]) for row in rows] for rows in offline]
    assert [place for place in range(QUESTIONS) if served[place] != lists[place]] == []

"""Who was erased is forgotten by the versions in use: through the gates, whatever interrupts it; receipts say how far it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner, Result

from registry.versions.forgetting import followed
from registry.versions.versions import Registry
from serving.privacy.erasures import open_erasing
from tailorbird.features.demographics import segments_of
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.privacy.erasure.receipt import Receipt, is_signed
from tailorbird.settings import Settings
from tests.training.toy import POPULAR_ONLY, RECIPE, append, trained, walks
from training.data.dataset import Dataset
from training.data.training_set import training_set

GONE = [f"user:u{n}" for n in (1, 3, 5, 8, 13, 21)]


def run(settings: Settings, *argv: str, fails: bool = False) -> dict:
    from tailorbird.cli import tailorbird

    env = {"TAILORBIRD_HOME": str(settings.home), "TAILORBIRD_MLRUNS": str(settings.mlruns)}
    done: Result = CliRunner().invoke(tailorbird, [*argv, "--workspace", "test", "--json"], env=env)
    assert bool(done.exit_code) == fails, done.output
    return json.loads(done.stdout)


def erased(settings: Settings, people: list[str] = GONE) -> list[str]:
    erasing = open_erasing(settings)
    asked = [erasing.ask(person) for person in people]
    assert erasing.run() == len(people)
    return [each.id for each in asked]


def now_of(settings: Settings, receipt: str) -> Receipt:
    return followed(settings, [open_erasing(settings).ledger.find(receipt)])[0]


def state(settings: Settings, receipt: str) -> tuple[str, str]:
    (model,) = now_of(settings, receipt).models
    return model.state, model.now


def popularity_of(dataset: Dataset) -> np.ndarray:
    users = segments_of(dataset.users, dataset.interactions.user_ids)
    return Popularity(RECIPE.popularity, user_segments=users).fit(dataset.interactions, dataset.catalog).table


@pytest.fixture
def served(own_toy: Settings) -> Settings:
    """A workspace whose champion, version 1, learned from everybody."""
    trained(own_toy)
    run(own_toy, "promote")
    return own_toy


@pytest.mark.slow
def test_a_champion_forgets_its_counts_at_once_and_the_rest_by_training(served: Settings) -> None:
    registry = Registry(served)
    with_them = registry.version(1).open()
    first, *_ = receipts = erased(served)
    assert state(served, first) == ("trained", "1")
    would = run(served, "forget", "--dry-run")
    assert would["due"] == [{"version": 1, "aliases": ["champion"], "counted": 6, "learned": 6}]
    assert registry.aliases() == {"champion": 1}
    done = run(served, "forget")
    assert [(each["of"], each["version"], each["promoted"]) for each in done["made"]] == [
        (1, 2, ["champion"])
    ]
    assert {state(served, each) for each in receipts} == {("pending", "2")}
    forgot = registry.version("champion").open()
    rebuilt = popularity_of(training_set(served))
    np.testing.assert_allclose(forgot.model.popularity.table, rebuilt, atol=1e-6)
    assert np.abs(with_them.model.popularity.table - rebuilt).max() > 1e-4
    assert forgot.manifest.data_span[0] >= with_them.manifest.data_span[0]
    decision = run(served, "decisions")["decisions"][0]
    assert (decision["before"], decision["version"], decision["forced"]) == (1, 2, False)
    assert "6 people" in decision["why"]
    assert run(served, "forget")["made"] == []
    (late,) = erased(served, ["user:u34"])
    assert (state(served, late), state(served, first)) == (("trained", "2"), ("pending", "2"))
    assert run(served, "forget", "--now")["made"][0]["trained"]
    assert {state(served, each) for each in (*receipts, late)} == {("retrained", "3")}
    assert run(served, "forget")["due"] == []
    key = open_erasing(served).signing_key()
    assert is_signed(now_of(served, first), key)
    (model,) = now_of(served, first).models
    assert not is_signed(replace(now_of(served, first), models=(replace(model, held="no"),)), key)
    run(served, "rollback")
    run(served, "rollback")
    assert state(served, first) == ("trained", "1")
    registry.client.delete_registered_model_alias(registry.name, "champion")
    assert state(served, first) == ("retired", "")


@pytest.mark.slow
def test_a_version_of_counts_alone_has_forgotten_and_an_interrupted_call_goes_on(own_toy: Settings) -> None:
    trained(own_toy, POPULAR_ONLY)
    run(own_toy, "promote")
    (receipt,) = erased(own_toy, GONE[:1])
    registered = run(own_toy, "forget", "--no-promote")["made"]
    assert (registered[0]["version"], registered[0]["promoted"]) == (2, [])
    assert state(own_toy, receipt) == ("trained", "1")
    went_on = run(own_toy, "forget")["made"]
    assert (went_on[0]["version"], went_on[0]["fresh"], went_on[0]["promoted"]) == (2, False, ["champion"])
    assert state(own_toy, receipt) == ("forgotten", "2")
    shown = run(own_toy, "erase", "verify", receipt)
    assert (shown["erased"], shown["signed"]) == (True, True)
    assert [(each["state"], each["now"]) for each in shown["models"]] == [("forgotten", "2")]
    assert run(own_toy, "erase", "show", receipt)["models"][0]["state"] == "forgotten"


@pytest.mark.slow
def test_both_are_asked_what_is_newer_and_the_gate_judges_by_it(served: Settings) -> None:
    later = walks(60, days=1.0, seed=5, first=200)
    later["event_time"] += np.timedelta64(60, "D")
    later["received_time"] = later["event_time"]
    append(served, later)
    erased(served)
    run(served, "forget")
    registry = Registry(served)
    artifacts = [
        [entry.path for entry in registry.client.list_artifacts(registry.version(number).run_id, "cases")]
        for number in (1, 2)
    ]
    assert [len(each) for each in artifacts] == [1, 1]
    bundle = registry.version(2).open()
    assert bundle.manifest.data_span[1] <= registry.version(1).open().manifest.data_span[1]

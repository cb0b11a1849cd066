"""What a training leaves behind is true and on record: figures, cases, plots, the card, the bundle."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from registry.versions.cases import cases_of
from registry.versions.versions import Registry
from tailorbird.bundle import open_bundle
from tailorbird.evaluation.metrics import ndcg
from tailorbird.settings import Settings
from tests.training.toy import NOW, POPULAR_ONLY, RECIPE
from training.data.training_set import training_set
from training.fit.train import train


def test_the_model_finds_the_chains_and_popularity_does_not(store: Settings) -> None:
    metrics = open_bundle(Registry(store).version(1).folder).metrics
    ours = metrics["model"]["metrics"]["ndcg@10"]
    popular = metrics["beside"]["all-time popularity"]["metrics"]["ndcg@10"]
    assert ours["mean"] > 0.6
    assert popular["high"] < 0.5 * ours["low"]


def test_the_recorded_cases_give_the_recorded_figure(store: Settings) -> None:
    registry = Registry(store)
    version = registry.version(1)
    cases = cases_of(registry, version)
    figure = open_bundle(version.folder).metrics["model"]["metrics"]["ndcg@10"]["mean"]
    assert ndcg(cases["rank"].to_numpy(), 10).mean() == pytest.approx(figure, abs=1e-9)
    assert cases["case"].is_unique


def test_the_run_holds_parameters_figures_data_plots_and_the_card(store: Settings) -> None:
    registry = Registry(store)
    run = registry.client.get_run(registry.version(1).run_id)
    dataset = training_set(store)
    assert run.info.status == "FINISHED"
    assert run.data.params["cooccurrence.smoothing"] == "0.1"
    assert run.data.metrics["ndcg_at_10"] > 0.6
    assert "slice/country:DE/ndcg_at_10" in run.data.metrics
    assert run.inputs.dataset_inputs[0].dataset.digest == dataset.identity.digest
    artifacts = {entry.path for entry in registry.client.list_artifacts(run.info.run_id)}
    plots = {entry.path for entry in registry.client.list_artifacts(run.info.run_id, "plots")}
    assert {"card.md", "cases.parquet", "recipe.toml"} <= artifacts
    assert plots == {
        "plots/learning_curves.png",
        "plots/ndcg_by_segment.png",
        "plots/recall_by_source.png",
    }


def test_the_pages_of_the_run_and_the_version_open_with_the_card(store: Settings) -> None:
    registry = Registry(store)
    run = registry.client.get_run(registry.version(1).run_id)
    version = registry.client.get_model_version(registry.name, "1")
    card = registry.client.download_artifacts(run.info.run_id, "card.md")
    shown = run.data.tags["mlflow.note.content"]
    assert shown == version.description
    assert "## How good it is" in shown
    assert Path(card).read_text().startswith(shown)
    assert len(shown) <= 5000


def test_the_bundle_says_where_it_comes_from_and_what_to_show_without_the_model(store: Settings) -> None:
    dataset = training_set(store)
    bundle = open_bundle(Registry(store).version(1).folder)
    first, last = dataset.span
    assert bundle.manifest.data_span == (first.isoformat(), last.isoformat())
    assert bundle.manifest.data_digest == dataset.identity.digest
    assert bundle.manifest.recipe_digest == RECIPE.digest
    measured_before = dt.datetime.fromisoformat(bundle.manifest.measured_before)
    assert first < measured_before < last
    assert set(bundle.fallbacks.everyone) <= set(dataset.catalog.item_ids)
    assert set(bundle.fallbacks.everyone) == set(dataset.catalog.item_ids[dataset.interactions.items])


def test_the_version_that_is_registered_learned_from_all_events(store: Settings) -> None:
    """The registered model's item features and popularity know the newest events, which its twin never saw."""
    dataset = training_set(store)
    model = open_bundle(Registry(store).version(1).folder).model
    assert model.items_at > dataset.interactions.times.max()
    counts = np.bincount(dataset.interactions.items, minlength=len(dataset.catalog)).astype(float)
    ours = model.popularity.table[0]
    assert np.corrcoef(counts, ours)[0, 1] > 0.9
    assert (ours > 0).sum() == (counts > 0).sum()


def test_an_upgrade_of_the_code_trains_again(own_toy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.fit.train as module

    first = train(training_set(own_toy), POPULAR_ONLY, settings=own_toy, seed=0, now=NOW)
    assert first.registered.tags["code"] == module.model_code()
    monkeypatch.setattr(module, "model_code", lambda: "0.0.1+older")
    older = train(training_set(own_toy), POPULAR_ONLY, settings=own_toy, seed=0, now=NOW)
    assert older.fresh
    assert older.registered.tags["code"] == "0.0.1+older"
    assert not train(training_set(own_toy), POPULAR_ONLY, settings=own_toy, seed=0, now=NOW).fresh


def test_the_same_recipe_on_the_same_data_is_not_trained_twice(store: Settings) -> None:
    again = train(training_set(store), RECIPE, settings=store, seed=0, now=NOW)
    assert not again.fresh
    assert again.registered.version == 1

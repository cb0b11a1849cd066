"""From a workspace to a champion: the figures are true, everything is on record, a worse version is refused."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tailorbird.bundle import open_bundle
from tailorbird.errors import UsageError
from tailorbird.evaluation.metrics import ndcg
from tailorbird.recipe import Recipe
from tailorbird.settings import Settings, load_settings
from tests.training.toy import CHAIN, POPULAR_ONLY, RECIPE, append, walks
from training.data.dataset import Dataset
from training.data.workspace import training_set
from training.evaluation.evaluate import evaluate
from training.fit.train import train
from training.registry.gates import answer_gate, bundle_gate, quality_gate
from training.registry.promote import asker, cases_of, promote, roll_back
from training.registry.versions import Registered, Registry

NOW = dt.datetime(2026, 5, 6, tzinfo=dt.UTC)


def trained(settings: Settings, recipe: Recipe = RECIPE, *, dataset: Dataset | None = None) -> Registered:
    return train(dataset or training_set(settings), recipe, settings=settings, seed=0, now=NOW).registered


@pytest.fixture(scope="module")
def store(toy_home: Path, mlflow_schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store with version 1, the toy recipe, and version 2, popularity alone. Only read it."""
    mlruns = tmp_path_factory.mktemp("store") / "mlruns"
    mlruns.mkdir()
    shutil.copy(mlflow_schema, mlruns / "mlflow.db")
    settings = load_settings(home=toy_home, mlruns=mlruns, workspace="test")
    dataset = training_set(settings)
    assert trained(settings, dataset=dataset).version == 1
    assert trained(settings, POPULAR_ONLY, dataset=dataset).version == 2
    return settings


@pytest.fixture
def registry(store: Settings, tmp_path: Path) -> Registry:
    """A registry over a copy of that store's database: a test may move aliases."""
    mlruns = tmp_path / "own"
    mlruns.mkdir()
    shutil.copy(store.mlruns / "mlflow.db", mlruns / "mlflow.db")
    return Registry(load_settings(home=store.home, mlruns=mlruns, workspace="test"))


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
    assert len(bundle.fallbacks.everyone) == 2 * CHAIN


def test_the_version_that_is_registered_learned_from_all_events(store: Settings) -> None:
    """The registered model's item features and popularity know the newest events, which its twin never saw."""
    dataset = training_set(store)
    model = open_bundle(Registry(store).version(1).folder).model
    assert model.items_at > dataset.interactions.times.max()
    counts = np.bincount(dataset.interactions.items, minlength=len(dataset.catalog)).astype(float)
    ours = model.popularity.table[0]
    assert np.corrcoef(counts, ours)[0, 1] > 0.9
    assert (ours > 0).sum() == (counts > 0).sum()


def test_the_same_recipe_on_the_same_data_is_not_trained_twice(store: Settings) -> None:
    again = train(training_set(store), RECIPE, settings=store, seed=0, now=NOW)
    assert not again.fresh
    assert again.registered.version == 1


def test_mlflow_loads_a_version_by_its_alias_and_it_walks_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.client.tracking_uri)
    promote(registry, "1", alias="champion", force=False, reason="", now=NOW)
    model = mlflow.pyfunc.load_model(f"models:/{registry.name}@champion")
    asked = pd.DataFrame({"user_id": ["x", "y"], "history": [["tea-3", "tea-4", "tea-5"], []]})
    answered = model.predict(asked, params={"num_results": 5})
    assert answered["user_id"].tolist() == ["x", "y"]
    assert answered["item_ids"][0][0] == "tea-6"
    assert [len(items) for items in answered["item_ids"]] == [5, 5]
    assert not set(asked["history"][0]) & set(answered["item_ids"][0])
    assert len(model.predict(pd.DataFrame({"history": [["tea-1"]]}))["item_ids"][0]) == 10


def test_a_worse_version_is_refused_and_force_needs_a_reason(registry: Registry) -> None:
    assert promote(registry, "1", alias="champion", force=False, reason="", now=NOW).moved
    refused = promote(registry, "2", alias="champion", force=False, reason="", now=NOW)
    assert not refused.moved
    assert [gate.name for gate in refused.gates if not gate.passed] == ["not worse in ndcg@10"]
    assert registry.version("champion").version == 1
    with pytest.raises(UsageError, match="needs a reason"):
        promote(registry, "2", alias="champion", force=True, reason="", now=NOW)
    forced = promote(registry, "2", alias="champion", force=True, reason="a fire drill", now=NOW)
    assert forced.moved
    assert forced.forced
    tags = registry.version("champion").tags
    assert tags["champion.why"] == "a fire drill (forced against: not worse in ndcg@10)"
    assert json.loads(tags["champion.figures"])["not worse in ndcg@10"]["high"] < 0
    assert roll_back(registry, alias="champion", reason="drill over", now=NOW) == (2, 1)
    better = promote(registry, "1", alias="challenger", force=False, reason="", now=NOW)
    assert better.moved
    assert better.before is None


def test_a_damaged_bundle_does_not_become_champion(
    store: Settings, registry: Registry, tmp_path: Path
) -> None:
    version = registry.version(1)
    shutil.copytree(version.folder, tmp_path / "bundle")
    weights = next((tmp_path / "bundle" / "model").rglob("*.npy"))
    weights.write_bytes(weights.read_bytes()[:-1])
    gate, bundle = bundle_gate(lambda: open_bundle(tmp_path / "bundle"))
    assert not gate.passed
    assert bundle is None
    assert weights.name in gate.found


class Stubborn:
    """A model that always answers the same rows, whatever was asked."""

    def __init__(self, model: object, rows: list[int], score: float = 1.0) -> None:
        self.catalog = model.catalog  # type: ignore[attr-defined]
        self.rows, self.score = rows, score

    def rank(self, histories: object, states: list[object], *, k: int, **_: object) -> object:
        from tailorbird.models.base import Retrieved

        rows = np.array([self.rows] * len(states))
        return Retrieved(rows, np.full(rows.shape, self.score, np.float32))


@pytest.mark.parametrize(
    ("rows", "score", "trouble"),
    [
        ([], 1.0, "no item"),
        ([40, 40], 1.0, "twice"),
        ([40, 0], 1.0, "has seen"),
        ([40, 99], 1.0, "in a catalogue of"),
        ([40, 41], float("nan"), "no number"),
    ],
)
def test_an_unsound_answer_is_refused(store: Settings, rows: list[int], score: float, trouble: str) -> None:
    from dataclasses import replace

    bundle = open_bundle(Registry(store).version(1).folder)
    assert answer_gate(bundle).passed
    gate = answer_gate(replace(bundle, model=Stubborn(bundle.model, rows, score)))
    assert not gate.passed
    assert trouble in gate.found


def test_quality_is_judged_on_common_cases_only() -> None:
    rng = np.random.default_rng(0)
    ours = pd.DataFrame(
        {
            "case": np.arange(400),
            "user_id": [f"u{n % 40}" for n in range(400)],
            "rank": rng.integers(1, 30, 400),
        }
    ).astype({"rank": float})
    worse = ours.assign(rank=ours["rank"] * 3)
    assert quality_gate(ours, None).passed
    assert quality_gate(ours, ours).passed
    assert quality_gate(ours, worse).passed
    assert not quality_gate(worse, ours).passed
    strangers = ours.assign(case=ours["case"] + 350)
    found = quality_gate(ours, strangers)
    assert not found.passed
    assert "only 50 common cases" in found.found


def test_a_version_is_evaluated_on_what_happened_since(own_toy: Settings) -> None:
    trained(own_toy)
    bundle = Registry(own_toy).version(1).open()
    quiet = evaluate(bundle, training_set(own_toy), settings=own_toy, least=20)
    assert quiet.measured is None
    assert quiet.newer == 0
    later = walks(40, seed=5, first=300)
    later["event_time"] = later["received_time"] = later["event_time"] + pd.Timedelta(days=60)
    append(own_toy, later)
    found = evaluate(bundle, training_set(own_toy), settings=own_toy, least=20)
    assert found.measured is not None
    assert found.newer == len(later)
    assert found.measured.report.mean("ndcg@10") > 0.5


def test_a_champion_from_before_the_data_grew_is_asked_the_new_cases(own_toy: Settings) -> None:
    """The two were measured on different cases: the gate would refuse for want of common ones, so the champion answers."""
    registry = Registry(own_toy)
    trained(own_toy)
    assert promote(registry, "1", alias="champion", force=False, reason="", now=NOW).moved
    later = walks(90, seed=5, first=300)
    later["event_time"] = later["received_time"] = later["event_time"] + pd.Timedelta(days=60)
    append(own_toy, later)
    assert trained(own_toy).version == 2
    assert trained(own_toy, POPULAR_ONLY).version == 3
    blind = promote(registry, "2", alias="champion", force=False, reason="", now=NOW)
    assert [gate.found for gate in blind.gates if not gate.passed] == [
        "only 0 common cases with the champion, 100 are needed"
    ]
    worse = promote(registry, "3", alias="champion", force=False, reason="", now=NOW, ask=asker(own_toy))
    assert not worse.moved
    assert worse.gates[-1].figures["high"] < 0
    seeing = promote(registry, "2", alias="champion", force=False, reason="", now=NOW, ask=asker(own_toy))
    assert seeing.moved
    assert seeing.gates[-1].figures["cases"] >= 100


def run(settings: Settings, *argv: str) -> Result:
    from tailorbird.cli import tailorbird

    env = {"TAILORBIRD_HOME": str(settings.home), "TAILORBIRD_MLRUNS": str(settings.mlruns)}
    return CliRunner().invoke(tailorbird, [*argv, "--workspace", "test"], env=env)


def test_the_commands_walk_from_training_to_rollback(toy: Settings, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.to_toml())
    (tmp_path / "popular.toml").write_text(POPULAR_ONLY.to_toml())
    first = run(toy, "train", "--recipe", str(tmp_path / "toy.toml"), "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["version"] == 1
    assert json.loads(run(toy, "promote", "--json").stdout)["promoted"]
    assert not json.loads(run(toy, "promote", "--json").stdout)["promoted"]
    assert run(toy, "train", "--recipe", str(tmp_path / "popular.toml")).exit_code == 0
    refused = run(toy, "promote", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["gates"]["not worse in ndcg@10"] is False
    assert type(refused.exception).__name__ == "RefusedError"
    forced = run(toy, "promote", "--force", "--reason", "drill", "--json")
    assert json.loads(forced.stdout)["forced"]
    back = json.loads(run(toy, "rollback", "--reason", "over", "--json").stdout)
    assert (back["before"], back["version"]) == (2, 1)
    shown = json.loads(run(toy, "evaluate", "--version", "champion", "--json").stdout)
    assert shown["measured_on"] == "the twin's test part"
    assert shown["metrics"]["ndcg@10"] > 0.6

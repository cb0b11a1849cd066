"""MLflow stores for tests: the schema is made once, each test gets a copy."""

import shutil
from pathlib import Path

import pytest

from feature_repo.store import FeatureStoreRoom
from registry.tracking.store import open_client
from registry.versions.versions import Registry
from tailorbird.settings import Settings, load_settings
from tests.training.toy import POPULAR_ONLY, make_workspace, trained
from training.data.training_set import training_set


@pytest.fixture(scope="session")
def mlflow_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without rows."""
    blank = load_settings(mlruns=tmp_path_factory.mktemp("schema"))
    open_client(blank)
    return blank.mlruns / "mlflow.db"


@pytest.fixture(scope="session")
def toy_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose workspace `test` holds the toy world, ingested, with features."""
    home = tmp_path_factory.mktemp("toy") / "home"
    make_workspace(load_settings(home=home, workspace="test"))
    return home


@pytest.fixture
def toy(toy_home: Path, settings: Settings) -> Settings:
    """Settings of the toy workspace with an MLflow store of the test's own. The workspace is shared: only read it."""
    return load_settings(home=toy_home, mlruns=settings.mlruns, workspace="test")


@pytest.fixture
def own_toy(toy_home: Path, settings: Settings) -> Settings:
    """A copy of the toy workspace that a test may change."""
    shutil.copytree(toy_home, settings.home)
    FeatureStoreRoom(settings).apply()  # Feast's registry names the folder
    return settings


@pytest.fixture(scope="session")
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

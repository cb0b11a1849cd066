"""MLflow stores for tests: the schema is made once, each test gets a copy."""

import shutil
from pathlib import Path

import pytest

from tailorbird.settings import Settings, load_settings
from training.tracking import open_client


@pytest.fixture(scope="session")
def mlflow_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without rows."""
    blank = load_settings(mlruns=tmp_path_factory.mktemp("schema"))
    open_client(blank)
    return blank.mlruns / "mlflow.db"


@pytest.fixture
def settings(tmp_path: Path, mlflow_schema: Path) -> Settings:
    """Settings of an empty workspace in a temporary folder, its MLflow schema made."""
    own = load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test")
    own.mlruns.mkdir()
    shutil.copy(mlflow_schema, own.mlruns / "mlflow.db")
    return own

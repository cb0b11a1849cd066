"""Settings with an MLflow store of their own."""

import shutil
from pathlib import Path

import pytest

from tailorbird.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, mlflow_schema: Path) -> Settings:
    """Settings of an empty workspace in a temporary folder, its MLflow schema made."""
    own = load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test")
    own.mlruns.mkdir()
    shutil.copy(mlflow_schema, own.mlruns / "mlflow.db")
    return own

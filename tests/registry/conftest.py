"""Settings with an MLflow store of their own: SQLite, and PostgreSQL where the store is what is tested."""

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


@pytest.fixture
def postgres_settings(tmp_path: Path, mlflow_database: str) -> Settings:
    """The same with PostgreSQL."""
    return load_settings(
        home=tmp_path / "home", mlruns=tmp_path / "mlruns", tracking_uri=mlflow_database, workspace="test"
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Settings:
    """One after the other."""
    return request.getfixturevalue("settings" if request.param == "sqlite" else "postgres_settings")

"""Where the people of a test are kept: in files of this machine, then in a database that machines share."""

from pathlib import Path
from typing import Any

import pytest

from tailorbird.settings import Settings, load_settings


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.server)])
def either(request: Any, tmp_path: Path) -> Settings:
    """Settings of an empty workspace, for each of the two."""
    people = request.getfixturevalue("database") if request.param == "postgresql" else ""
    return load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test", people=people)


@pytest.fixture
def machines(database: str, tmp_path: Path) -> tuple[Settings, Settings]:
    """Two machines, with a disk of their own each and one master key, that share their people."""
    one, two = (
        load_settings(
            home=tmp_path / name,
            mlruns=tmp_path / "mlruns",
            workspace="test",
            people=database,
            master_key="a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
        )
        for name in ("one", "two")
    )
    return one, two

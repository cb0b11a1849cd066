"""A registered version is an MLflow model too: found by its alias, asked with a table."""

import pandas as pd
import pytest

from registry.versions.versions import Registry


def test_mlflow_loads_a_version_by_its_alias_and_it_walks_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.client.tracking_uri)
    registry.point("champion", 1)
    model = mlflow.pyfunc.load_model(f"models:/{registry.name}@champion")
    asked = pd.DataFrame({"user_id": ["x", "y"], "history": [["tea-3", "tea-4", "tea-5"], []]})
    answered = model.predict(asked, params={"num_results": 5})
    assert answered["user_id"].tolist() == ["x", "y"]
    assert answered["item_ids"][0][0] == "tea-6"
    assert [len(items) for items in answered["item_ids"]] == [5, 5]
    assert not set(asked["history"][0]) & set(answered["item_ids"][0])
    assert len(model.predict(pd.DataFrame({"history": [["tea-1"]]}))["item_ids"][0]) == 10

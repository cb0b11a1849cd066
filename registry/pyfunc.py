"""The bundle as an MLflow model (models-from-code): MLflow copies this file into the model and runs it on load.

Ask with a table: ``history`` is a list of item ids, oldest first (empty or absent: a new user). It answers without
the feature store: the profile is what the given history says and no more.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class TailorbirdModel(PythonModel):
    """Recommends for each row of a table, as of the last event the model was trained on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open and verify the bundle beside this file."""
        from registry.answers import HistoryRecommender
        from tailorbird.bundle import open_bundle

        bundle = open_bundle(Path(context.artifacts["bundle"]))
        last = dt.datetime.fromisoformat(bundle.manifest.data_span[1])
        self._item_ids = bundle.model.catalog.item_ids
        self._asker = HistoryRecommender(bundle.model, now=last.timestamp())

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank for each row: ``user_id``, ``item_ids`` (best first) and their ``scores``."""
        from registry.answers import answer_table

        k = int((params or {}).get("num_results", 10))
        return answer_table(self._asker, model_input, item_ids=self._item_ids, k=k)


set_model(TailorbirdModel())

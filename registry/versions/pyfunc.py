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
        from tailorbird.bundle import open_bundle
        from tailorbird.models.hybrid.stages import recommender_of

        bundle = open_bundle(Path(context.artifacts["bundle"]))
        self._now = dt.datetime.fromisoformat(bundle.manifest.data_span[1]).timestamp()
        self._recommender = recommender_of(bundle.model, version=bundle.version)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank for each row: ``user_id``, ``item_ids`` (best first) and their ``scores``."""
        from registry.answers import answer_table

        k = int((params or {}).get("num_results", 10))
        return answer_table(self._recommender, model_input, now=self._now, k=k)


set_model(TailorbirdModel())

"""The bundle as an MLflow model (models-from-code): MLflow copies this file into the model and runs it on load.

Ask with a table: ``history`` is a list of item ids, oldest first (empty or absent: a new user). It answers without
the feature store: the profile is what the given history says and no more.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class TailorbirdModel(PythonModel):
    """Recommends for each row of a table."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open and verify the bundle beside this file."""
        from tailorbird.bundle import open_bundle

        self._bundle = open_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank for each row: ``user_id``, ``item_ids`` (best first) and their ``scores``."""
        from training.answers import answer_table

        return answer_table(self._bundle.model, model_input, k=int((params or {}).get("num_results", 10)))


set_model(TailorbirdModel())

"""A segment model as an MLflow model (models-from-code): MLflow copies this file into the model and runs it on load.

Ask with a table whose ``history`` holds packed histories, as the feature store keeps them (the feature ``history`` of a user).
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class TailorbirdSegments(PythonModel):
    """Names the segment of each row of a table."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open and verify the bundle beside this file."""
        from tailorbird.bundle import open_bundle

        self._model = open_bundle(Path(context.artifacts["bundle"])).model

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Assign each row: the ``segment``'s key, its ``name`` and the ``evidence``, "" where too little was done."""
        from tailorbird.segments.model import state_of_history

        found = [self._model.assign(state_of_history(history)) for history in model_input["history"]]
        return pd.DataFrame(
            {
                "segment": [each.key for each in found],
                "name": [self._model.name_of(each.key) for each in found],
                "evidence": [each.evidence for each in found],
            },
            index=model_input.index,
        )


set_model(TailorbirdSegments())

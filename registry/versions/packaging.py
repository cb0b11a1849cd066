"""A bundle as an MLflow model folder: models-from-code, no pickle, nothing but the bundle and the code that opens it."""

import importlib.metadata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

Kind = Literal["recommender", "segments"]
"""What a bundle holds: each has code of its own that MLflow opens it with."""
CODE: dict[Kind, str] = {"recommender": "pyfunc.py", "segments": "segments_pyfunc.py"}

REQUIREMENTS = (
    "tailorbird",
    "mlflow",
    "numpy",
    "pandas",
    "torch",
    "faiss-cpu",
    "scikit-learn",
    "safetensors",
)


def save_model_folder(bundle: Path, folder: Path, *, kind: Kind, run_id: str, model_id: str) -> None:
    """Write the new ``folder`` that ``mlflow.pyfunc.load_model`` opens; the bundle lies in ``artifacts/bundle``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its libraries deprecate of each other
        import mlflow.pyfunc
    from mlflow.models import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow advises type hints; the signature below says more
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name(CODE[kind])),
            artifacts={"bundle": str(bundle)},
            signature=_of_recommender() if kind == "recommender" else _of_segments(),
            pip_requirements=[_pinned(name) for name in REQUIREMENTS],
            mlflow_model=Model(run_id=run_id, model_uuid=model_id, model_id=model_id),
        )


def _of_recommender() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    ids = Array(DataType.string)
    return ModelSignature(
        inputs=Schema(
            [ColSpec(DataType.string, "user_id", required=False), ColSpec(ids, "history", required=False)]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, "user_id"),
                ColSpec(ids, "item_ids"),
                ColSpec(Array(DataType.double), "scores"),
            ]
        ),
        params=ParamSchema([ParamSpec("num_results", DataType.long, 10)]),
    )


def _of_segments() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "history")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "segment"),
                ColSpec(DataType.string, "name"),
                ColSpec(DataType.double, "evidence"),
            ]
        ),
    )


def _pinned(name: str) -> str:
    try:
        return f"{name}=={importlib.metadata.version(name).split('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return name

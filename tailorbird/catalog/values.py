"""Values of any table as the catalogue's columns hold them."""

import json
from contextlib import suppress

import numpy as np
import pandas as pd


def names_of(column: pd.Series) -> np.ndarray:
    """The values as text; what is text already is not made again, which would keep other threads waiting."""
    if pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column.to_numpy(object)
    return column.astype(str).to_numpy()


def texts_of(column: pd.Series) -> np.ndarray:
    """The same, "" for what is not there."""
    if pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column.to_numpy(object)
    return names_of(column.fillna(""))


def strings_of(value: object) -> list[str]:
    """Categories as a list: of a list, its JSON, or names joined by |."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return []
    if isinstance(value, str):
        if value.startswith("["):
            with suppress(json.JSONDecodeError):  # "[NEW] Shoes" is a name, not a list
                return [str(part) for part in json.loads(value)]
        return [part.strip() for part in value.split("|") if part.strip()]
    return [str(part) for part in value]  # type: ignore[attr-defined]

"""Rows that are records within records: a dotted name reads inside, and a list of a record becomes one row an element."""

from collections.abc import Iterable

import numpy as np
import pandas as pd


def with_paths(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """The frame with a column for each of ``names``: ``context.page.url`` reads within; what a record lacks is None."""
    wanted = [name for name in dict.fromkeys(names) if name not in frame]
    if not wanted:
        return frame
    made = pd.DataFrame({name: _values(frame, name) for name in wanted}, index=frame.index, dtype=object)
    return pd.concat([frame, made], axis=1)


def unfolded(frame: pd.DataFrame, each: str) -> tuple[pd.DataFrame, np.ndarray]:
    """One row for each element of the list at the dotted name ``each``, where that element then stands alone.

    A record without such a list, or with an empty one, stays one row. Beside the rows: (rows,) the place of each one's
    element in its list, from 0.
    """
    lists = _values(frame, each)
    counts = np.array([max(len(found), 1) if isinstance(found, list) else 1 for found in lists], np.int64)
    rows = frame.loc[frame.index.repeat(counts)].reset_index(drop=True)
    ends = np.cumsum(counts)
    places = np.arange(len(rows)) - np.repeat(ends - counts, counts)
    top, *inner = each.split(".")
    if top not in rows:
        return rows, places
    elements = iter(element for found in lists if isinstance(found, list) for element in found or (None,))
    listed = np.repeat([isinstance(found, list) for found in lists], counts)
    rows[top] = pd.Series(
        [
            _replaced(value, inner, next(elements)) if has else value
            for value, has in zip(rows[top], listed, strict=True)
        ],
        index=rows.index,
        dtype=object,
    )
    return rows, places


def _values(frame: pd.DataFrame, name: str) -> list[object]:
    top, *inner = name.split(".")
    return [_within(value, inner) for value in frame[top]] if top in frame else [None] * len(frame)


def _within(value: object, inner: list[str]) -> object:
    for key in inner:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _replaced(value: object, inner: list[str], element: object) -> object:
    """``value`` with ``element`` at the path ``inner``; what other rows share is copied, never changed."""
    if not inner:
        return element
    assert isinstance(value, dict)
    return {**value, inner[0]: _replaced(value[inner[0]], inner[1:], element)}

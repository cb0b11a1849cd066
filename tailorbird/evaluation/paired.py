"""Two models on the same cases: how much better one is, case by case."""

import numpy as np
import pandas as pd

from tailorbird.evaluation.bootstrap import Interval, paired_difference
from tailorbird.evaluation.metrics import ndcg


def paired(ours: pd.DataFrame, theirs: pd.DataFrame, *, k: int = 10) -> tuple[Interval, int]:
    """How much better ``ours`` is in NDCG@k on the cases that both tables hold: the interval and how many they are."""
    both = ours.merge(theirs[["case", "rank"]], on="case", suffixes=("", "_theirs"), validate="one_to_one")
    if not len(both):
        return Interval(np.nan, np.nan, np.nan), 0
    difference = paired_difference(
        ndcg(both["rank"].to_numpy(), k),
        ndcg(both["rank_theirs"].to_numpy(), k),
        clusters=both["user_id"].to_numpy(),
    )
    return difference, len(both)

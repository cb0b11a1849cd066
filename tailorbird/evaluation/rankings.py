"""The rankings file: one row a case with its target and the best items, so that anyone can recompute the figures."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tailorbird.catalog.catalog import Catalog
from tailorbird.evaluation.cases import Cases
from tailorbird.events.schema import id_of


def write_rankings(
    path: Path, rankings: np.ndarray, cases: Cases, *, catalog: Catalog, ranks: np.ndarray
) -> None:
    """Write ``case_id, user_id, target, items, question, rank``: ids as strings, items best first.

    ``rankings`` (q, k) catalogue rows of each question, -1 where empty; ``ranks`` (n,) mid-rank of each
    target, null where it was not offered. Written aside and moved into place, so that a broken run leaves
    no half file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = pa.array(catalog.item_ids, pa.string())
    schema = pa.schema(
        [
            ("case_id", pa.int64()),
            ("user_id", pa.string()),
            ("target", pa.string()),
            ("items", pa.list_(pa.string())),
            ("question", pa.int64()),
            ("rank", pa.float64()),
        ]
    )
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for low in range(0, len(cases), 8192):
            rows = slice(low, low + 8192)
            listed = rankings[cases.question[rows]]
            offered = listed >= 0
            offsets = np.concatenate([[0], np.cumsum(offered.sum(axis=1))]).astype(np.int32)
            writer.write_table(
                pa.table(
                    [
                        pa.array(np.arange(low, low + len(listed))),
                        pa.array([id_of(key) for key in cases.user_ids[rows]], pa.string()),
                        ids.take(pa.array(cases.targets[rows])),
                        pa.ListArray.from_arrays(pa.array(offsets), ids.take(pa.array(listed[offered]))),
                        pa.array(cases.question[rows]),
                        pa.array(np.where(np.isfinite(ranks[rows]), ranks[rows], np.nan), from_pandas=True),
                    ],
                    schema=schema,
                )
            )
    part.replace(path)

"""Events of one user at one instant: the file's order, or one that is drawn so that it tells nothing."""

from pathlib import Path

import pandas as pd

from tailorbird.ingest.mapping import identity_mapping
from tailorbird.ingest.sources import read_tables


def items_in_order(folder: Path, **more: int) -> list[str]:
    events = read_tables(identity_mapping(), events=folder / "e.parquet", **more).events
    return events.sort_values("event_time")["item_id"].tolist()


def test_ties_keep_the_order_of_the_file_or_a_drawn_one(tmp_path: Path) -> None:
    ids = [f"i{number:02}" for number in range(30)]
    instant = pd.Timestamp("2024-01-01", tz="UTC")
    frame = pd.DataFrame({"type": "view", "user_id": "ann", "item_id": ids, "event_time": instant})
    frame.to_parquet(tmp_path / "e.parquet")
    assert items_in_order(tmp_path) == ids
    drawn = items_in_order(tmp_path, tie_seed=1)
    assert sorted(drawn) == ids
    assert drawn != ids
    assert drawn == items_in_order(tmp_path, tie_seed=1)

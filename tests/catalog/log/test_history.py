"""The catalogue remembers: at any instant of the past it has the values of that time."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.history import VERSIONED
from tailorbird.catalog.patches import patched_items, write_patched
from tests.proving import tries

START = 1_000.0
FIRST = pd.DataFrame(
    {
        "item_id": ["cup", "lamp", "vase"],
        "title": ["Cup", "Lamp", "Vase"],
        "categories": [["home", "kitchen"], ["home"], []],
        "brand": ["acme", "", "brew"],
        "price": [5.0, 20.0, np.nan],
        "stock": [3.0, np.nan, 0.0],
    }
)


def patch(folder: Path, frame: pd.DataFrame, *, now: float) -> None:
    """Patch the catalogue in ``folder`` as ingest does."""
    known = Catalog.read(folder)
    write_patched(known, patched_items(known, frame), folder, now=now)


def test_prices_and_stock_of_the_past_come_back(tmp_path: Path) -> None:
    Catalog.from_frame(FIRST).write(tmp_path)
    patch(tmp_path, pd.DataFrame({"item_id": ["lamp"], "price": [25.0]}), now=2_000.0)
    patch(tmp_path, pd.DataFrame({"item_id": ["lamp", "cup"], "price": [30.0, 5.0], "stock": [1.0, 0.0]}), now=3_000.0)  # fmt: skip
    catalog = Catalog.read_with_history(tmp_path)
    seen = {
        at: (catalog.as_of(at).items["price"].tolist()[:2], catalog.as_of(at).items["stock"].tolist()[0])
        for at in (0.0, 1_999.9, 2_000.0, 2_999.9, 3_000.0, 9_000.0)
    }
    assert seen == {
        0.0: ([5.0, 20.0], 3.0),  # the first values hold from the beginning
        1_999.9: ([5.0, 20.0], 3.0),
        2_000.0: ([5.0, 25.0], 3.0),
        2_999.9: ([5.0, 25.0], 3.0),
        3_000.0: ([5.0, 30.0], 0.0),
        9_000.0: ([5.0, 30.0], 0.0),
    }
    assert catalog.as_of(9_000.0) is catalog
    assert catalog.as_of(0.0).row_of == catalog.row_of


def test_the_same_file_again_keeps_no_version(tmp_path: Path) -> None:
    Catalog.from_frame(FIRST).write(tmp_path)
    patch(tmp_path, FIRST, now=2_000.0)
    assert Catalog.read_with_history(tmp_path).history.empty
    assert not (tmp_path / "changes").exists()


def test_a_crash_before_the_catalogue_is_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Catalog.from_frame(FIRST).write(tmp_path)
    cheaper = pd.DataFrame({"item_id": ["lamp"], "price": [1.0]})
    with monkeypatch.context() as patched:
        patched.setattr("tailorbird.catalog.patches.write_table", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            patch(tmp_path, cheaper, now=2_000.0)
    half = Catalog.read_with_history(tmp_path)
    assert {at: half.as_of(at).items["price"][1] for at in (1_000.0, 2_500.0)} == {
        1_000.0: 20.0,
        2_500.0: 20.0,
    }
    patch(tmp_path, cheaper, now=3_000.0)
    whole = Catalog.read_with_history(tmp_path)
    assert [whole.as_of(at).items["price"][1] for at in (1_000.0, 2_500.0, 3_000.0)] == [20.0, 20.0, 1.0]


def test_a_clock_set_back_keeps_the_order_of_the_changes(tmp_path: Path) -> None:
    Catalog.from_frame(FIRST).write(tmp_path)
    for price, now in ((21.0, 3_000.0), (22.0, 2_000.0)):
        patch(tmp_path, pd.DataFrame({"item_id": ["lamp"], "price": [price]}), now=now)
    catalog = Catalog.read_with_history(tmp_path)
    assert [catalog.as_of(at).items["price"][1] for at in (2_500.0, 3_000.0, 3_001.0)] == [20.0, 21.0, 22.0]


def test_a_bundles_catalogue_learns_the_past_of_the_workspace(tmp_path: Path) -> None:
    Catalog.from_frame(FIRST).write(tmp_path)
    patch(tmp_path, pd.DataFrame({"item_id": ["cup"], "stock": [0.0]}), now=2_000.0)
    bundled = Catalog.from_frame(Catalog.read(tmp_path).items.iloc[::-1])  # other rows, no history
    past = bundled.with_history_of(Catalog.read_with_history(tmp_path)).as_of(1_500.0)
    assert past.items.set_index("item_id")["stock"]["cup"] == 3.0


number = st.one_of(st.just(np.nan), st.floats(0, 100, width=16))
change = st.fixed_dictionaries(
    {"item_id": st.sampled_from("abc")},
    optional={"price": number, "stock": number, "brand": st.sampled_from(["", "x", "y"])},
)


@settings(max_examples=tries(25, 200), deadline=None)
@given(changes=st.lists(st.tuples(st.floats(0.001, 50), change), max_size=8), moment=st.floats(0, 500))
@pytest.mark.slow
def test_as_of_is_the_catalogue_as_it_then_was(
    changes: list[tuple[float, dict[str, object]]], moment: float
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Catalog.from_frame(pd.DataFrame({"item_id": list("abc"), "price": [1.0, 2.0, np.nan]})).write(folder)
        then, now, moment = Catalog.read(folder), START, round(START + moment, 6)
        for step, values in changes:
            now = round(now + step, 6)
            patch(folder, pd.DataFrame([values]), now=now)
            if now <= moment:
                then = Catalog.read(folder)
        past = Catalog.read_with_history(folder).as_of(moment)
        pd.testing.assert_frame_equal(
            past.items[list(VERSIONED)], then.items[list(VERSIONED)], check_dtype=False
        )

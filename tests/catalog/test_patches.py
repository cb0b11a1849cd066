"""What a patch does not say stays as it is."""

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.patches import patched_items, patched_users

KNOWN = Catalog.from_frame(
    pd.DataFrame(
        {
            "item_id": ["cup", "lamp"],
            "title": ["Cup", "Lamp"],
            "categories": [["home"], ["light"]],
            "price": [5.0, 20.0],
            "stock": [1.0, 2.0],
        }
    )
)


def test_absent_columns_stay_and_new_items_follow() -> None:
    after = patched_items(KNOWN, pd.DataFrame({"item_id": ["vase", "cup"], "price": [7.0, 6.0]})).items
    assert after["item_id"].tolist() == ["cup", "lamp", "vase"]
    assert after["price"].tolist() == [6.0, 20.0, 7.0]
    assert after["title"].tolist() == ["Cup", "Lamp", ""]
    assert after["categories"].tolist() == [["home"], ["light"], []]
    assert after["stock"].tolist()[:2] == [1.0, 2.0]


def test_a_missing_value_in_a_row_stays_too_and_an_empty_text_empties() -> None:
    patch = pd.DataFrame({"item_id": ["cup", "lamp"], "title": [None, ""], "price": [np.nan, 3.0]})
    after = patched_items(KNOWN, patch).items
    assert after["title"].tolist() == ["Cup", ""]
    assert after["price"].tolist() == [5.0, 3.0]


def test_of_an_item_that_comes_twice_the_last_row_counts() -> None:
    patch = pd.DataFrame({"item_id": ["cup", "cup"], "price": [8.0, 9.0], "title": ["Mug", None]})
    after = patched_items(KNOWN, patch).items
    assert (after["price"][0], after["title"][0], len(after)) == (9.0, "Cup", 2)


def test_users_are_patched_by_the_same_rule() -> None:
    known = Users.from_frame(pd.DataFrame({"user_id": ["ann"], "age": [30.0], "country": ["DE"]}))
    after = patched_users(known, pd.DataFrame({"user_id": ["ann", "bob"], "country": ["FR", "IT"]})).users
    assert after["age"].tolist()[0] == 30.0
    assert after["country"].tolist() == ["FR", "IT"]
    assert patched_users(known, pd.DataFrame({"user_id": []})).users.equals(known.users)

"""Patches: items and users told anew in part. What a patch does not say stays as it is."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.files import ITEMS_FILE, USERS_FILE, Stamp, write_table
from tailorbird.catalog.log.history import append_history, read_history, replaced_by
from tailorbird.catalog.log.log import LOG_FILE, PatchLog, stamp_over
from tailorbird.events.schema import USER
from tailorbird.streams.stream import Refuses, nobody


def patched_items(catalog: Catalog, patch: pd.DataFrame) -> Catalog:
    """The catalogue after ``patch`` (``item_id`` and any of ITEM_COLUMNS): known items keep their row, new ones follow.

    A column that is absent and a value that is missing leave what is known; of an item that comes twice the last row counts.
    """
    merged = _merged(catalog.items, Catalog.from_frame(patch).items, _told(patch, "item_id"), key="item_id")
    if "deleted_at" not in patch and len(catalog):  # what is told again is there again
        merged.loc[merged["item_id"].isin(patch["item_id"].astype(str)), "deleted_at"] = np.nan
    return Catalog(merged, catalog.history, catalog.stamp)


def patched_users(users: Users, patch: pd.DataFrame) -> Users:
    """The users after ``patch`` (``user_id`` and any of USER_COLUMNS), by the same rule."""
    merged = _merged(users.users, Users.from_frame(patch).users, _told(patch, "user_id"), key="user_id")
    return Users(merged, users.stamp)


def write_patched(before: Catalog, after: Catalog, folder: Path, *, now: float) -> None:
    """Put ``after`` in the place of ``before`` in ``folder``; what it replaces held until ``now`` (epoch seconds).

    ``before`` is the table as it was stored; patches told since then stay newer than what is written here.
    """
    history = read_history(folder)
    replaced = replaced_by(before.items, after.items, now=now, history=history)
    append_history(folder, replaced)
    write_table(after.items, folder / ITEMS_FILE, stamp=stamp_over(folder, holding=before.stamp or Stamp()))
    if len(replaced) and (folder / LOG_FILE).exists():
        with closing(PatchLog(folder / LOG_FILE)) as log:
            log.pass_by(instant=int(replaced["valid_until"].max()))


def write_patched_users(before: Users, after: Users, folder: Path, *, refuses: Refuses = nobody) -> None:
    """Put ``after`` in the place of ``before`` in ``folder``, by the same rule, without people of whom nothing may be kept."""
    keys = USER + after.users["user_id"]
    kept = after.users[~keys.isin(list(refuses(keys.tolist())))].reset_index(drop=True)
    write_table(kept, folder / USERS_FILE, stamp=stamp_over(folder, holding=before.stamp or Stamp()))


def _told(patch: pd.DataFrame, key: str) -> pd.DataFrame:
    """Which values a patch tells: (n, columns) bool, of the last row of each key."""
    told = patch.notna().assign(**{key: patch[key].astype(str)})
    return told.drop_duplicates(key, keep="last").set_index(key)


def _merged(known: pd.DataFrame, new: pd.DataFrame, told: pd.DataFrame, *, key: str) -> pd.DataFrame:
    if known.empty:
        return new
    row_of = pd.Series(np.arange(len(known)), index=known[key])
    place = row_of.reindex(new[key]).to_numpy(float)
    fresh = np.isnan(place)
    rows = place[~fresh].astype(np.int64)
    merged = known.copy()
    changed = new[~fresh]
    says = told.loc[changed[key]]
    for name in known.columns:
        if name == key or name not in says:
            continue
        mask = says[name].to_numpy(bool)
        values = merged[name].to_numpy(copy=True)
        values[rows[mask]] = changed[name].to_numpy()[mask]
        merged[name] = values
    return pd.concat([merged, new[fresh]], ignore_index=True) if fresh.any() else merged

"""MovieLens through Feast: the profiles that training gets are the profiles that replaying the ratings gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_repo.past_profiles import FeastProfiles
from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.rows import table_of_frame
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events


@pytest.mark.real_data
def test_profiles_of_two_hundred_raters_agree(settings: Settings, data_root: Path) -> None:
    ratings = pd.read_parquet(data_root / "movielens-1m" / "ratings.parquet").iloc[:30_000]
    movies = pd.read_parquet(data_root / "movielens-1m" / "movies.parquet")
    catalog = Catalog.from_frame(
        pd.DataFrame({"item_id": movies["movie_id"].astype(str), "categories": movies["genres"]})
    )
    users = ratings["user_id"].astype(str).to_numpy()
    log = pd.DataFrame(
        {
            "message_id": [f"r{n}" for n in range(len(ratings))],
            "type": "rating",
            "item_id": ratings["movie_id"].astype(str).to_numpy(),
            "value": ratings["rating"].to_numpy(float),
            "event_time": pd.to_datetime(ratings["timestamp"].to_numpy(), unit="s", utc=True),
            "user_id": users,
        }
    )
    log["received_time"] = log["event_time"]
    FeatureStoreRoom(settings).apply()
    catalog.write(settings.catalog_folder)
    with open_events(settings) as stream:
        stream.append_table(table_of_frame(log))
    chosen = np.random.default_rng(0).choice(len(ratings), 3_000)
    instants = ratings["timestamp"].to_numpy(float)[chosen] + 0.5
    asked = [f"user:{user}" for user in users[chosen]]
    offline = FeastProfiles(settings).states_at(asked, instants)
    replay = ReplayProfiles.of_frame(log.assign(user_key="user:" + users), catalog).states_at(asked, instants)
    for one, other in zip(offline, replay, strict=True):
        assert (one.user_key, one.total) == (other.user_key, other.total)
        assert one.history.tobytes() == other.history.tobytes()
        np.testing.assert_allclose(one.sums, other.sums, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.affinity, other.affinity, rtol=0, atol=1e-6)
    assert max(len(state.affinity) for state in replay) == 18

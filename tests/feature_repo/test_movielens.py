"""MovieLens through Feast: the profiles that training gets are the profiles that replaying the ratings gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_repo.offline import FeastProfiles
from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog
from tailorbird.features.replay import ReplayProfiles
from tailorbird.settings import Settings


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
            "user_key": users,
        }
    )
    room = FeatureStoreRoom(settings)
    room.apply()
    built = room.build(log, catalog)
    assert (built.users, built.items) == (len(set(users)), len(catalog))
    chosen = np.random.default_rng(0).choice(len(ratings), 3_000)
    instants = ratings["timestamp"].to_numpy(float)[chosen] + 0.5
    offline = FeastProfiles(settings).states_at(users[chosen].tolist(), instants)
    replay = ReplayProfiles(log, catalog).states_at(users[chosen].tolist(), instants)
    for one, other in zip(offline, replay, strict=True):
        assert (one.user_key, one.total) == (other.user_key, other.total)
        assert one.history.tobytes() == other.history.tobytes()
        np.testing.assert_allclose(one.sums, other.sums, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.affinity, other.affinity, rtol=0, atol=1e-6)
    assert max(len(state.affinity) for state in replay) == 18

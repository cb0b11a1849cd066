"""Every engine of the online store passes the laws."""

from tests.feature_repo.laws import OnlineLaws


class TestSqlite(OnlineLaws):
    """The embedded store: what the settings choose where they say nothing."""

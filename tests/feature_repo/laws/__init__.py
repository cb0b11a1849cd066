"""The laws of the online store: every engine has a test class that inherits them, with ``settings`` that choose it."""

from tests.feature_repo.laws.damage import DamageLaws
from tests.feature_repo.laws.folding import FoldingLaws
from tests.feature_repo.laws.following import FollowingLaws
from tests.feature_repo.laws.forgetting import ForgettingLaws
from tests.feature_repo.laws.rebuild import RebuildLaws
from tests.feature_repo.laws.store import StoreLaws


class OnlineLaws(StoreLaws, FollowingLaws, FoldingLaws, DamageLaws, ForgettingLaws, RebuildLaws):
    """Inherit, and override the fixture ``settings`` to choose the engine."""

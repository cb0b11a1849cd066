"""The toy world of one test."""

import pytest

from tests.serving.world import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()

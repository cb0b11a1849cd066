"""Whoever starts a platform is told of one that serves the same workspace, not of another's of the same name."""

import threading
import time

import pytest
import uvicorn

from serving.cluster import free_ports
from serving.command import _serves_already
from serving.http.schemas import Health


@pytest.fixture
def served(make_world):
    """A world behind a port, and the settings that lead there."""
    world = make_world()
    port = free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(world.front, port=port, log_level="error"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield world, world.settings.model_copy(update={"port": port})
    server.should_exit = True
    running.join(10)


def test_the_same_name_in_another_home_is_another_workspace(served, tmp_path):
    _, settings = served
    assert _serves_already(settings)
    elsewhere = type(settings)(home=tmp_path / "elsewhere", workspace=settings.workspace, port=settings.port)
    assert not _serves_already(elsewhere)
    assert not _serves_already(settings.model_copy(update={"port": free_ports(1)[0]}))


def test_health_tells_no_folder(served):
    world, settings = served
    answer = world.call("GET", "/health/ready")
    assert Health.model_validate(answer.json()).workspace_key == settings.workspace_key
    assert str(settings.home) not in answer.text

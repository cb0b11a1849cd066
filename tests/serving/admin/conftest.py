"""An operator before the admin application, on a real registry."""

import asyncio
import datetime as dt
import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from feature_repo.portraits import Portraits
from registry.versions.versions import Registry
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import LoopbackGuard
from serving.admin.models.moves import Moves
from serving.admin.models.reach import RegistryReach
from serving.admin.pages import Desk, build_admin
from serving.heartbeat import Beat
from serving.http.access import Access
from serving.notice import Notice
from serving.privacy.erasures import open_erasing
from serving.segments.live import LiveSegments
from tailorbird.privacy.door.door import Door
from tailorbird.segments.rules.file import RulesFile
from tailorbird.settings import Settings, load_settings

NOW = dt.datetime(2026, 5, 7, tzinfo=dt.UTC)


@dataclass
class Operator:
    """Calls admin the way a program of this machine does."""

    app: LoopbackGuard
    access: Access
    settings: Settings
    notice: Notice
    beats: list[Beat]
    segments: LiveSegments

    def call(
        self, method: str, path: str, *, client=("127.0.0.1", 5000), headers=None, **more
    ) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as caller:
                return await caller.request(method, path, headers=headers, **more)

        return asyncio.run(once())

    def get(self, path: str) -> dict:
        response = self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def promote(self, version: object, **body: object) -> httpx.Response:
        return self.call("POST", f"/v1/models/{version}:promote", json=body)


@pytest.fixture
def operator(registry: Registry, tmp_path: Path) -> Operator:
    beats: list[Beat] = []
    notice = Notice(tmp_path)
    # A workspace of its own: tests tell it things, and the one of the registry is everybody's.
    shutil.copytree(registry.settings.home, tmp_path / "home")
    settings = load_settings(
        home=tmp_path / "home",
        mlruns=registry.settings.mlruns,
        workspace=registry.settings.workspace,
        keys=str(tmp_path / "keys.json"),
    )
    segments = LiveSegments(settings)
    rules = RulesFile(settings.folder, clock=itertools.count(step=2.0).__next__)
    reach = RegistryReach(settings)
    desk = Desk(
        settings,
        registry=reach,
        moves=Moves(reach, notice=notice, clock=lambda: NOW),
        beats=lambda: beats,
        goods=Goods(settings, door=Door.of(settings)),
        portraits=Portraits(settings, segments=segments, rules=rules),
        segments=segments,
        rules=rules,
        erasing=open_erasing(settings),
        door=Door.of(settings),
    )
    access = Access.of(settings)
    app = LoopbackGuard(build_admin(desk), access=access, max_body_bytes=5_000)
    return Operator(app, access, settings, notice, beats, segments)

"""Erasure over HTTP: 202 and a receipt to poll, a dry run, one receipt while one is under way."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from feature_repo.portraits import Portraits
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import LoopbackGuard
from serving.admin.models.moves import Moves
from serving.admin.models.reach import RegistryReach
from serving.admin.pages import Desk, build_admin
from serving.admin.people.erasure_schemas import ReceiptOut
from serving.notice import Notice
from serving.privacy.erasures import open_erasing
from serving.segments.live import LiveSegments
from tailorbird.segments.rules.file import RulesFile
from tests.serving.world import World

Call = Callable[..., httpx.Response]


@pytest.fixture
def call(world: World, tmp_path: Path) -> Call:
    settings = world.settings
    reach = RegistryReach(settings)
    desk = Desk(
        settings,
        registry=reach,
        moves=Moves(reach, notice=Notice(tmp_path), clock=lambda: dt.datetime(2026, 5, 7, tzinfo=dt.UTC)),
        beats=list,
        goods=Goods(settings, door=world.door),
        portraits=Portraits(settings),
        segments=LiveSegments(settings),
        rules=RulesFile(settings.folder, clock=time.monotonic),
        erasing=open_erasing(settings),
        door=world.door,
    )
    app = LoopbackGuard(build_admin(desk), max_body_bytes=5_000)

    def called(method: str, path: str, **more: object) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as caller:
                return await caller.request(method, path, **more)  # type: ignore[arg-type]

        return asyncio.run(once())

    return called


def test_erased_over_http_with_a_receipt_to_poll(world: World, call: Call) -> None:
    erasing = open_erasing(world.settings)
    dry = call("DELETE", "/v1/users/p0?dryRun=true")
    assert dry.status_code == 200
    assert (dry.json()["dryRun"], dry.json()["people"], dry.json()["found"] > 0) == (
        True,
        [world.key("user:p0")],
        True,
    )
    assert call("GET", "/v1/erasures").json()["receipts"] == []
    asked = call("DELETE", "/v1/users/p0")
    assert asked.status_code == 202
    assert call("DELETE", "/v1/users/p0").json() == asked.json()
    url = asked.json()["receiptUrl"]
    assert (asked.json()["state"], call("GET", url).json()["state"]) == ("pending", "pending")
    late = {"batch": [{"messageId": "late", "type": "view", "itemId": "i1", "userId": "p0"}]}
    assert world.post("/v1/events", late).json()["accepted"] == 0
    told = call("PUT", "/v1/users/p0", json={"age": 30})
    assert (told.status_code, told.json()["type"].rsplit(":", 1)[-1]) == (409, "erased")
    erasing.run()
    done = ReceiptOut.model_validate(call("GET", url).json())
    assert (done.state, done.found, done.problem) == ("done", dry.json()["found"], "")
    assert {each.name: each.found for each in done.places} == {
        each["name"]: each["found"] for each in dry.json()["places"]
    }
    assert [each.version for each in done.models] == ["1"]
    assert [each["receiptId"] for each in call("GET", "/v1/erasures?limit=1").json()["receipts"]] == [
        done.receipt_id
    ]


def test_nobody_is_erased_by_an_id_that_is_too_long_and_no_receipt_is_invented(call: Call) -> None:
    assert call("DELETE", f"/v1/users/{'x' * 300}").status_code == 422
    missing = call("GET", "/v1/erasures/er_none")
    assert (missing.status_code, missing.json()["type"].rsplit(":", 1)[-1]) == (404, "unknown-receipt")


def test_keys_joined_to_the_live_profile_are_refused_at_once(world: World, call: Call) -> None:
    world.post(
        "/v1/events", {"batch": [{"messageId": "a", "type": "view", "itemId": "i1", "anonymousId": "c1"}]}
    )
    world.post("/v1/users/ann/merge", {"anonymousId": "c1"})
    call("DELETE", "/v1/users/ann")
    late = {"batch": [{"messageId": "late", "type": "view", "itemId": "i1", "anonymousId": "c1"}]}
    assert world.post("/v1/events", late).json()["accepted"] == 0


def test_an_export_is_one_file_and_goes_on_where_it_broke_off(world: World, call: Call) -> None:
    whole = call("GET", "/v1/users/p0/export")
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "application/json"
    assert {each["name"] for each in whole.json()["sections"]} >= {"events", "profile", "consents", "models"}
    tag = {"if-range": whole.headers["etag"]}
    world.post(
        "/v1/events", {"batch": [{"messageId": "new", "type": "view", "itemId": "i1", "userId": "p0"}]}
    )
    rest = call("GET", "/v1/users/p0/export", headers={"range": "bytes=100-", **tag})
    assert rest.status_code == 206
    assert whole.content[100:] == rest.content
    anew = call("GET", "/v1/users/p0/export")
    assert anew.content != whole.content
    stale = call("GET", "/v1/users/p0/export", headers={"range": "bytes=100-", **tag})
    assert (stale.status_code, stale.content) == (200, anew.content)
    table = call("GET", "/v1/users/p0/export?format=parquet")
    assert table.headers["content-type"] == "application/vnd.apache.parquet"
    assert call("GET", "/v1/users/p0/export?format=xml").status_code == 422

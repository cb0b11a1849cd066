"""The catalogue over HTTP: patches are kept or refused one by one, files come through mappings, nothing is a 500."""

import asyncio
import datetime as dt
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import pytest

from feature_repo.command import build_features
from feature_repo.portraits import Portraits
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import LoopbackGuard
from serving.admin.models.moves import Moves
from serving.admin.pages import Desk, build_admin
from serving.http.schemas import Problem
from serving.notice import Notice
from serving.privacy.erasures import open_erasing
from serving.segments.live import LiveSegments
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.privacy.door.door import Door
from tailorbird.segments.rules.file import RulesFile
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tests.streams.embedded import event

NOW = 1_000_000.0


@dataclass
class Shopkeeper:
    """Calls admin the way a program of this machine does."""

    app: LoopbackGuard
    settings: Settings
    door: Door

    def call(self, method: str, path: str, **more: object) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as caller:
                return await caller.request(method, path, **more)  # type: ignore[arg-type]

        return asyncio.run(once())

    def put(self, *items: object, **more: object) -> dict:
        response = self.call("PUT", "/v1/items", json={"items": items, **more})
        assert response.status_code == 200, response.text
        return response.json()

    def show(self, item_id: str) -> dict:
        response = self.call("GET", f"/v1/items/{item_id}")
        assert response.status_code == 200, response.text
        return response.json()

    def upload(self, content: bytes, kind: str, *, what: str = "items", mapping: str = "") -> httpx.Response:
        path = f"/v1/{what}:upload" + (f"?mapping={mapping}" if mapping else "")
        return self.call("POST", path, content=content, headers={"content-type": kind})

    @property
    def items(self) -> dict[str, dict]:
        return Catalog.read(self.settings.catalog_folder).items.set_index("item_id").to_dict("index")


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Shopkeeper]:
    settings = load_settings(home=tmp_path, workspace="toy")
    door = Door.of(settings)
    goods = Goods(settings, door=door, clock=lambda: NOW)

    def nobody() -> object:
        raise AssertionError("the registry is not asked")

    registry: Callable = nobody
    moves = Moves(registry, notice=Notice(tmp_path), clock=lambda: dt.datetime(2026, 5, 7, tzinfo=dt.UTC))
    desk = Desk(
        settings,
        registry=registry,
        moves=moves,
        beats=list,
        goods=goods,
        portraits=Portraits(settings),
        segments=LiveSegments(settings),
        rules=RulesFile(settings.folder, clock=time.monotonic),
        erasing=open_erasing(settings),
        door=door,
    )
    app = LoopbackGuard(build_admin(desk), max_body_bytes=100_000, max_upload_bytes=50_000)
    yield Shopkeeper(app, settings, door)
    goods.store.close()


def test_patches_are_kept_and_followers_hear_of_them(keeper: Shopkeeper) -> None:
    follower = CatalogFollower(keeper.settings.catalog_folder)
    told = keeper.put(
        {
            "itemId": "mug",
            "title": "Mug",
            "price": 8,
            "categories": ["home", "cups"],
            "attributes": {"color": "red"},
        },
        {"itemId": "lamp", "launchedAt": "2026-05-07T00:00:00Z", "stock": 0},
    )
    assert (told["accepted"], told["rejected"], told["sequence"]) == (2, [], 2)
    keeper.put({"itemId": "mug", "price": None, "attributes": {"size": 3}})
    mug = keeper.show("mug")
    assert (mug["title"], mug["price"], mug["attributes"]) == ("Mug", None, {"color": "red", "size": 3})
    assert keeper.show("lamp")["launchedAt"] == "2026-05-07T00:00:00Z"
    delta = follower.changes()
    assert delta is not None
    assert set(delta.items) == {"mug", "lamp"}
    follower.close()


def test_each_patch_is_judged_by_itself(keeper: Shopkeeper) -> None:
    told = keeper.put(
        {"itemId": "good"},
        {"itemId": "x" * 257},
        {"itemId": "a", "price": -1},
        {"itemId": "a", "price": "dear"},
        {"itemId": "a", "colour": "red"},
        {"price": 3},
        "mug",
        {"itemId": "a", "attributes": {"deep": {"er": 1}}},
        {"itemId": "a", "launchedAt": "2026-05-07T00:00:00"},
        {"itemId": "a", "price": 1e300},
        {"itemId": "nul\x00l"},
        {"itemId": "a", "categories": ["c"] * 33},
        {"itemId": "a", "price": True},
    )
    assert told["accepted"] == 1
    reasons = {each["index"]: each["reason"] for each in told["rejected"]}
    assert sorted(reasons) == list(range(1, 13))
    assert reasons[2] == "price: Input should be greater than or equal to 0, got -1.0"
    assert reasons[4].startswith("colour: Extra inputs are not permitted")
    assert reasons[5] == "itemId: Field required"
    assert list(keeper.items) == ["good"]


def test_a_batch_that_comes_again_under_its_id_changes_nothing(keeper: Shopkeeper) -> None:
    keeper.put({"itemId": "mug", "price": 8}, batchId="b1")
    keeper.put({"itemId": "mug", "price": 9})
    again = keeper.put({"itemId": "mug", "price": 8}, batchId="b1")
    assert (again["repeated"], again["accepted"]) == (True, 0)
    assert keeper.show("mug")["price"] == 9.0


def test_a_deleted_item_is_known_and_gone_until_it_is_told_again(keeper: Shopkeeper) -> None:
    keeper.put({"itemId": "mug", "price": 8}, {"itemId": "a/b c"})
    assert keeper.call("DELETE", "/v1/items/mug").status_code == 200
    assert keeper.show("mug")["deletedAt"] == "1970-01-12T13:46:40Z"
    assert Catalog.read(keeper.settings.catalog_folder).deleted(NOW).tolist() == [0]
    keeper.put({"itemId": "mug"})
    assert keeper.show("mug")["deletedAt"] is None
    assert keeper.call("DELETE", "/v1/items/a%2Fb%20c").status_code == 200
    unknown = keeper.call("DELETE", "/v1/items/never")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:tailorbird:problem:unknown-item")


def test_users_are_told(keeper: Shopkeeper) -> None:
    assert keeper.call("PUT", "/v1/users/ann", json={"age": 30, "country": "FR"}).status_code == 200
    assert (
        keeper.call("PUT", "/v1/users/ann", json={"age": None, "attributes": {"vip": True}}).status_code
        == 200
    )
    (ann,) = Users.read(keeper.settings.catalog_folder).users.to_dict("records")
    assert (ann["country"], ann["age"] != ann["age"], ann["attributes"]) == ("FR", True, '{"vip":true}')


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("PUT", "/v1/items", {"json": {"items": []}}, 422),
        ("PUT", "/v1/items", {"json": {"items": [{}] * 5_001}}, 422),
        ("PUT", "/v1/items", {"json": {"items": [{"itemId": "x" * 100_001}]}}, 413),
        ("PUT", "/v1/items", {"json": {"things": []}}, 422),
        ("PUT", "/v1/items", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("PUT", "/v1/items", {"content": b"a,b", "headers": {"content-type": "text/csv"}}, 415),
        ("PUT", "/v1/users/ann", {"json": {"age": 400}}, 422),
        ("PUT", "/v1/users/ann", {"json": {"shoe": 40}}, 422),
        ("PUT", f"/v1/users/{'x' * 300}", {"json": {}}, 422),
        ("DELETE", f"/v1/items/{'x' * 300}", {}, 422),
        ("POST", "/v1/items:upload", {"json": {}}, 415),
        ("POST", "/v1/items:upload?mapping=no-such", {"content": b"a", "headers": {"content-type": "text/csv"}}, 422),
        ("POST", "/v1/items:upload", {"content": b"x" * 50_001, "headers": {"content-type": "text/csv"}}, 413),
        ("POST", "/v1/items:upload", {"content": b"", "headers": {"content-type": "text/csv"}}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_as_a_problem(
    keeper: Shopkeeper, method: str, path: str, more: dict, status: int
) -> None:
    refused = keeper.call(method, path, **more)
    assert refused.status_code == status, refused.text
    assert Problem.model_validate(refused.json()).detail
    assert not (keeper.settings.catalog_folder / "items.parquet").exists() or keeper.items == {}


def test_no_number_is_refused_and_changes_nothing(keeper: Shopkeeper) -> None:
    body = b'{"items": [{"itemId": "mug", "price": NaN}, {"itemId": "cup", "price": 1e999}]}'
    answer = keeper.call("PUT", "/v1/items", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json()["accepted"] == 0


def test_a_file_comes_through_a_mapping_and_its_bad_rows_go_into_quarantine(keeper: Shopkeeper) -> None:
    mappings = keeper.settings.folder / "mappings"
    mappings.mkdir(parents=True)
    (mappings / "stock-list.toml").write_text(
        '[events]\nsame_names = true\n[items]\nsame_names = true\n[items.columns]\nitem_id = "sku"\nprice = "EUR"\n'
    )
    keeper.put({"itemId": "007", "title": "Mug", "stock": 4})
    content = b"sku,EUR,brand,stock\n007,8.5,,2\nlamp,cheap,Acme,1\n,3,,\nlamp,20,Acme,1\nbad,-3,,1\n"
    report = keeper.upload(content, "text/csv", mapping="stock-list").json()
    assert (report["rowsIn"], report["accepted"], report["quarantined"]) == (5, 2, 3)
    assert report["lostValues"] == {"price": 1}
    assert [each["row"] for each in report["rejected"]] == [1, 2, 4]
    assert (keeper.settings.quarantine_folder / report["quarantineFiles"][0]).exists()
    assert keeper.show("007")["title"] == "Mug"
    assert (keeper.show("007")["price"], keeper.show("007")["stock"]) == (8.5, 2.0)
    assert keeper.show("lamp")["brand"] == "Acme"
    assert [path.name for path in keeper.settings.folder.glob(".upload*")] == []


def test_files_of_other_kinds_and_of_users_come_too(
    keeper: Shopkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        b"\n".join(json.dumps({"item_id": f"i{n}", "attributes": {"n": n}}).encode() for n in range(3))
        + b"\n"
    )
    assert keeper.upload(lines, "application/x-ndjson").json()["accepted"] == 3
    file = io.BytesIO()
    pd.DataFrame({"user_id": ["ann"], "age": [30], "country": ["FR"]}).to_parquet(file)
    kind = "application/vnd.apache.parquet"
    assert keeper.upload(file.getvalue(), kind, what="users").json()["accepted"] == 1
    assert Users.read(keeper.settings.catalog_folder).users["age"].tolist() == [30.0]
    assert keeper.show("i2")["attributes"] == {"n": 2}
    assert keeper.upload(b"PAR1 not", kind).status_code == 422
    monkeypatch.setattr("tailorbird.ingest.upload.MOST_ROWS", 0)
    refused = keeper.upload(file.getvalue(), kind, what="users")
    assert (refused.status_code, "an upload may have 0" in refused.json()["detail"]) == (422, True)


def test_the_description_names_what_a_batch_holds(keeper: Shopkeeper) -> None:
    document = keeper.call("GET", "/openapi.json").json()
    assert "itemId" in document["components"]["schemas"]["ItemPatch"]["properties"]
    assert {"/v1/items", "/v1/items/{item_id}", "/v1/users/{user_id}", "/v1/items:upload"} <= set(
        document["paths"]
    )


def test_a_profile_is_shown_as_json(keeper: Shopkeeper) -> None:
    keeper.put({"itemId": "mug", "categories": ["home"], "price": 8})
    with open_events(keeper.settings) as stream:
        stream.append(keeper.door.events([event(0, item_id="mug")]))
    build_features(keeper.settings)
    found = keeper.call("GET", "/v1/users/user-0/profile").json()
    assert (found["userKey"], found["events"], found["demographics"]["age"]) == ("user:user-0", 1, None)
    assert found["lastEvents"][0]["itemId"] == "mug"
    assert set(found["windows"]) == {"15m", "1h", "24h", "30d"}
    assert keeper.call("GET", "/v1/users/a/b/profile?anonymous=true").json()["userKey"] == "anon:a/b"
    past = keeper.call("GET", "/v1/users/user-0/profile?at=2001-01-01T00:00:00Z").json()
    assert (past["events"], past["firstSeen"]) == (0, None)
    assert keeper.call("GET", "/v1/users/user-0/profile?at=2999-01-01T00:00:00Z").status_code == 422
    assert keeper.call("GET", "/v1/users/user-0/profile?at=2001-01-01").status_code == 422

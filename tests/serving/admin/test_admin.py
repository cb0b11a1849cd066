"""Admin over HTTP on a real registry: versions, cards, moves, who was first, arms and streams."""

import asyncio
import threading
import time

import httpx
import pytest

from registry.who import whoami
from serving.heartbeat import ArmBeat, Beat
from serving.http.schemas import Problem
from tests.segments.carters import CARTS, LOOKS, carters, damage, register_segments


def test_versions_are_listed_with_figures_and_aliases(operator):
    operator.promote(1)
    listed = operator.get("/v1/models")
    assert [(each["version"], each["aliases"], each["recipe"]) for each in listed["models"]] == [
        (2, [], "popular"),
        (1, ["champion"], "toy"),
    ]
    assert listed["models"][1]["figures"]["ndcg_at_10"] > listed["models"][0]["figures"]["ndcg_at_10"]


def test_a_version_shows_its_card_its_manifest_and_its_decisions(operator):
    operator.promote(1, reason="the first")
    shown = operator.get("/v1/models/champion")
    assert shown["version"] == 1
    assert "# " in shown["card"]
    assert shown["manifest"]["files"]
    assert shown["decisions"][0]["why"].startswith("the first")
    assert operator.get("/v1/decisions?alias=champion")["decisions"][0]["who"] == whoami()
    assert operator.get("/v1/decisions?alias=other")["decisions"] == []


def test_a_promotion_moves_the_alias_and_gives_notice(operator):
    before = operator.notice.stamp()
    moved = operator.promote("latest").json()
    assert (moved["alias"], moved["version"], moved["before"], moved["moved"]) == ("champion", 2, None, True)
    assert operator.notice.stamp() != before
    assert operator.get("/v1/arms")["arms"][0]["version"] == "2"


def test_triggers_are_shown_with_what_is_wrong(operator):
    assert operator.get("/v1/triggers") == {"targets": [], "problems": []}
    operator.settings.folder.mkdir(parents=True, exist_ok=True)
    file = operator.settings.folder / "triggers.toml"
    crm = '[targets.crm]\nurl = "https://crm.example.com"\nsecret_env = "NO_SUCH_SECRET"\n'
    file.write_text(crm + '[[triggers]]\ntarget = "crm"\nrule = "away"\n')
    (target,) = operator.get("/v1/triggers")["targets"]
    assert (target["name"], target["calls"], target["waiting"]) == ("crm", ["enters rule away"], 0)
    assert "not among TAILORBIRD_TRIGGER_ORIGINS" in target["problem"]
    file.write_text(crm + "retries = 3\n")
    answer = operator.get("/v1/triggers")
    assert answer["targets"] == []
    assert "targets.crm.retries = 3" in answer["problems"][0]
    file.unlink()


def test_segments_are_listed_with_the_version_that_is_followed(operator, tmp_path):
    none = operator.get("/v1/segments")
    assert (none["model"]["version"], none["segments"], none["problem"]) == ("", [], "")
    register_segments(operator.settings, carters(), tmp_path)
    operator.segments.check()
    listed = operator.get("/v1/segments")
    assert listed["model"] == {"name": operator.settings.segments_name, "version": "1"}
    assert listed["method"] == "toy 2"
    assert [(each["key"], each["share"]) for each in listed["segments"]] == [(LOOKS, 0.75), (CARTS, 0.25)]
    assert listed["segments"][1]["words"] == ["fills carts"]
    assert listed["segments"][1]["traits"] == {"carting": 1.5}
    register_segments(operator.settings, carters(), tmp_path)
    damage(tmp_path)
    operator.segments.check()
    kept = operator.get("/v1/segments")
    assert kept["model"]["version"] == "1"
    assert "version 2 of the segment model is refused" in kept["problem"]


def test_rules_are_listed_beside_the_learned_segments(operator, tmp_path):
    register_segments(operator.settings, carters(), tmp_path)
    operator.segments.check()
    operator.settings.folder.mkdir(parents=True, exist_ok=True)
    file = operator.settings.folder / "rules.toml"
    file.write_text('[away]\nname = "stays away"\nwhen = "days_since_visit > 14"\n')
    listed = operator.get("/v1/segments")
    assert [(each["kind"], each["key"]) for each in listed["segments"]] == [
        ("learned", LOOKS),
        ("learned", CARTS),
        ("rule", "away"),
    ]
    assert (listed["segments"][2]["when"], listed["segments"][2]["share"]) == ("days_since_visit > 14", None)
    file.write_text('[away]\nname = "stays away"\nwhen = "days > 14"\n')
    broken = operator.get("/v1/segments")
    assert len(broken["segments"]) == 3
    assert "there is no fact days" in broken["problem"]
    file.write_text(f'[{CARTS}]\nname = "carts"\nwhen = "carts_1h > 1"\n')
    assert f"learned segments are called {CARTS}, too" in operator.get("/v1/segments")["problem"]
    file.unlink()


def test_a_dry_run_moves_nothing(operator):
    tried = operator.promote(2, dryRun=True).json()
    assert (tried["moved"], tried["dryRun"]) == (False, True)
    assert [gate["passed"] for gate in tried["gates"]] == [True, True, True]
    assert operator.get("/v1/arms")["arms"][0]["version"] is None
    assert operator.notice.stamp() == ""


def test_what_the_gates_refuse_stays_where_it_was_until_forced_with_a_reason(operator):
    operator.promote(1)
    refused = operator.promote(2)
    assert refused.status_code == 422
    assert "not worse" in refused.json()["detail"]
    assert any(not gate["passed"] for gate in refused.json()["errors"])
    assert operator.promote(2, force=True).status_code == 422
    assert operator.promote(2, force=True, reason="no stock left").json()["forced"]
    back = operator.call("POST", "/v1/models:rollback", json={"reason": "stock is back"}).json()
    assert (back["version"], back["before"]) == (1, 2)


def test_whoever_decides_on_what_is_gone_hears_who_was_first(operator):
    operator.promote(2, reason="first")
    late = operator.promote(1, expectedBefore=0)
    assert late.status_code == 409
    assert f"is not at no version: {whoami()} moved it to version 2 at 2026-05-07" in late.json()["detail"]
    assert operator.promote(1, expectedBefore=2.0).json()["moved"]
    stale = operator.call("POST", "/v1/models:rollback", json={"expectedBefore": 2})
    assert stale.status_code == 409


def test_of_three_operators_at_once_one_moves_and_two_hear_of_it(operator, registry):
    at_work, go = threading.Barrier(3), []

    def decide(version: int) -> None:
        at_work.wait()
        go.append(operator.promote(version, alias="challenger", force=True, reason="race", expectedBefore=0))

    workers = [threading.Thread(target=decide, args=(version,)) for version in (1, 2, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(response.status_code for response in go) == [200, 409, 409]
    (moved,) = [response.json() for response in go if response.status_code == 200]
    assert registry.version("challenger").version == moved["version"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/v1/models/77", None, 404),
        ("GET", "/v1/models/No!", None, 422),
        ("GET", "/v1/decisions?limit=0", None, 422),
        ("GET", "/v1/nothing", None, 404),
        ("PUT", "/v1/models", b"{}", 405),
        ("POST", "/v1/models/77:promote", b"{}", 404),
        ("POST", "/v1/models/1:promote", b"{", 400),
        ("POST", "/v1/models/1:promote", b'{"alias": "No Alias"}', 422),
        ("POST", "/v1/models/1:promote", b'{"aliass": "x"}', 422),
        ("POST", "/v1/models/1:promote", b" " * 5_001, 413),
        ("POST", "/v1/models:rollback", b"{}", 404),
    ],
)
def test_bad_input_is_a_problem(operator, method, path, content, status):
    response = operator.call(method, path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate(response.json()).remedy
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"client": ("10.0.0.7", 5000)}, 403),
        ({"headers": {"host": "evil.example:8001"}}, 403),
        ({"headers": {"origin": "https://evil.example"}}, 403),
        ({"headers": {"content-type": "text/plain"}}, 415),
        ({"headers": {"host": "localhost:8001", "content-type": "application/json"}}, 200),
        (
            {"client": ("::1", 5000), "headers": {"host": "[::1]:8001", "content-type": "application/json"}},
            200,
        ),
    ],
)
def test_only_programs_of_this_machine_are_answered(operator, how, status):
    response = operator.call("POST", "/v1/models/1:promote", content=b"{}", **how)
    assert response.status_code == status
    assert (operator.get("/v1/arms")["arms"][0]["version"] is None) == (status != 200)


def test_a_body_whose_length_is_not_said_is_not_read(operator):
    async def pieces():
        yield b"{}"

    response = operator.call(
        "POST", "/v1/models/1:promote", content=pieces(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 411


def test_a_registry_that_is_away_is_said_and_moves_nothing(operator):
    database = operator.settings.mlruns / "mlflow.db"
    kept = database.read_bytes()
    database.write_bytes(b"this is no database" * 1000)
    for response in (operator.promote(1), operator.call("GET", "/v1/models")):
        assert response.status_code == 503
        assert "cannot be read" in Problem.model_validate(response.json()).detail
    assert "cannot be read" in operator.get("/v1/arms")["problems"][0]
    database.write_bytes(kept)
    assert operator.promote(1).json()["moved"]


def test_what_breaks_on_our_side_is_a_problem_too(operator, monkeypatch):
    def fail(registry):
        raise ZeroDivisionError

    monkeypatch.setattr("serving.admin.pages.list_models", fail)
    transport = httpx.ASGITransport(app=operator.app, client=("127.0.0.1", 5), raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as caller:
            return await caller.get("/v1/models")

    response = asyncio.run(ask())
    assert response.status_code == 500
    assert "ZeroDivisionError" in Problem.model_validate(response.json()).detail


def test_arms_say_which_version_every_live_replica_serves(operator):
    operator.settings.folder.mkdir(parents=True, exist_ok=True)
    operator.promote(2)
    operator.beats += [
        Beat("a", time.time(), [ArmBeat("champion", "champion", "2", "")], {"waiting": 3}),
        Beat(
            "b", time.time(), [ArmBeat("champion", "champion", "1", "version 2 is refused")], {"waiting": 4}
        ),
    ]
    (arm,) = operator.get("/v1/arms")["arms"]
    assert (arm["name"], arm["alias"], arm["version"]) == ("champion", "champion", "2")
    assert [(each["replica"], each["version"]) for each in arm["replicas"]] == [("a", "2"), ("b", "1")]
    assert arm["replicas"][1]["trouble"] == "version 2 is refused"


def test_streams_say_where_they_end_and_how_far_their_readers_are(operator):
    operator.beats.append(Beat("a", time.time(), [], {"waiting": 3}))
    events, exposures = operator.get("/v1/streams")["streams"]
    assert events["name"] == "events"
    assert events["end"]["0"] >= events["readers"]["profiles"]["0"] > 0
    assert events["lag"]["profiles"] == events["end"]["0"] - events["readers"]["profiles"]["0"]
    assert (exposures["name"], exposures["waiting"]) == ("exposures", 3)


def test_every_route_is_described_with_its_problems(operator):
    paths = operator.get("/openapi.json")["paths"]
    assert {
        "/v1/models",
        "/v1/models/{version}",
        "/v1/models/{version}:promote",
        "/v1/models:rollback",
        "/v1/decisions",
        "/v1/arms",
        "/v1/streams",
    } <= set(paths)
    assert "409" in paths["/v1/models/{version}:promote"]["post"]["responses"]


def test_a_consent_is_not_taken_for_what_is_told_of_a_user(operator):
    said = operator.call("PUT", "/v1/users/u1/consent", json={"purposes": {"personalization": False}})
    assert said.status_code == 200, said.text
    assert operator.get("/v1/users/u1/consent")["purposes"] == {"personalization": False}
    assert operator.call("PUT", "/v1/users/u/1", json={"age": 30}).status_code == 200

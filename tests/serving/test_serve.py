"""The whole service as an operator runs it: `tailorbird serve` with real Ray Serve, Feast, MLflow and a fitted hybrid."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from tailorbird_client import Client, RefusedError
from tailorbird_client import Event as ClientEvent

from serving.bench.faults.faults import replicas_of
from serving.bench.faults.tally import Tally
from serving.bench.harness.callers import Ask, Callers
from serving.bench.harness.world import make_world, promote_folder, register_folder
from serving.cluster import free_ports
from tailorbird.access.changes import Wish, add_key
from tailorbird.features.vectors.user import user_vector
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue
from tests.segments.carters import CARTS, carters, register_segments
from tests.segments.moves import moved
from tests.serving.triggers.subscriber import SECRET, Subscriber, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
START_SECONDS = 240


@dataclass
class Service:
    settings: Settings
    process: subprocess.Popen[bytes]
    folder: Path
    client: httpx.Client
    admin: httpx.Client

    def recommend(self, **body: object) -> dict:
        response = self.client.post("/v1/recommendations", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def wait_for_version(self, version: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.recommend(userId="user-1", numResults=1)["model"]["version"] == version:
                return
            time.sleep(0.1)
        raise AssertionError(f"version {version} never served: {self.client.get('/health/ready').text}")


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "TAILORBIRD_HOME": str(settings.home),
        "TAILORBIRD_MLRUNS": str(settings.mlruns),
        "TAILORBIRD_ALIAS_POLL_SECONDS": "0.2",
        "TAILORBIRD_EXPOSURE_SAMPLE": "1.0",
        "TAILORBIRD_PORT": str(settings.port),
        "TAILORBIRD_TRIGGER_ORIGINS": settings.trigger_origins,
        "CRM_SECRET": SECRET,
        "TAILORBIRD_WORKSPACE": settings.workspace,
    }


def command(settings: Settings, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tailorbird", "serve", "--json", *more],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ours(folder: Path) -> list[str]:
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def wait_for_answer(
    client: httpx.Client, path: str, process: subprocess.Popen[bytes], deadline: float
) -> None:
    """The applications start side by side: each says itself when it answers."""
    while True:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            _, errors = process.communicate()
            raise AssertionError(f"serve did not start: {errors.decode()}")
        time.sleep(0.2)


@pytest.fixture(scope="module")
def subscriber() -> Iterator[Subscriber]:
    opened = Subscriber()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory, subscriber) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("serve")
    settings = load_settings(
        home=home / "home",
        mlruns=home / "mlruns",
        workspace="small",
        port=free_ports(1)[0],
        trigger_origins=subscriber.origin(),
    )
    make_world(settings, items=300, users=120, seed=3, on_step=lambda name: None)
    process = command(settings)
    base = f"http://127.0.0.1:{settings.port}"
    deadline = time.monotonic() + START_SECONDS
    client = httpx.Client(base_url=base, timeout=60)
    wait_for_answer(client, "/health/ready", process, deadline)
    record = json.loads((settings.folder / "serving.json").read_text())
    admin = httpx.Client(base_url=record["admin"], timeout=60)
    wait_for_answer(admin, "/health/live", process, deadline)
    made = Service(settings, process, Path(record["folder"]), client, admin)
    yield made
    admin.close()
    client.close()
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_the_model_answers_a_known_user_in_full(service):
    answer = service.recommend(userId="user-1", numResults=20)
    assert len({item["itemId"] for item in answer["items"]}) == 20
    assert (answer["fallback"], answer["partial"], answer["model"]["version"]) == (None, False, "1")
    assert all(item["sources"] for item in answer["items"])


def test_an_event_counts_for_the_very_next_request(service):
    before = service.recommend(userId="reader", numResults=5)
    assert before["fallback"] == "cold_start"
    first = before["items"][0]["itemId"]
    event = {"messageId": "rw-1", "type": "view", "userId": "reader", "itemId": first}
    stored = service.client.post("/v1/events", json={"batch": [event]})
    assert stored.status_code == 202, stored.text
    assert stored.json()["accepted"] == 1
    assert not stored.json()["profileDelayed"]
    after = service.recommend(userId="reader", numResults=5)
    assert after["fallback"] is None
    assert first not in [item["itemId"] for item in after["items"]]
    assert service.client.post("/v1/events", json={"batch": [event]}).json()["duplicates"] == 1


def test_a_login_counts_for_the_very_next_request_and_so_does_its_withdrawal(service):
    first = service.recommend(userId="guest", numResults=5)["items"][0]["itemId"]
    event = {"messageId": "login-1", "type": "view", "anonymousId": "phone", "itemId": first}
    assert service.client.post("/v1/events", json={"batch": [event]}).status_code == 202
    answers = []
    for _ in range(2):
        joined = service.client.post("/v1/users/guest/merge", json={"anonymousId": "phone"})
        assert joined.status_code == 202, joined.text
        answers.append(service.recommend(userId="guest", numResults=5))
        parted = service.client.delete("/v1/users/guest/merge", params={"anonymousId": "phone"})
        assert parted.status_code == 202, parted.text
        answers.append(service.recommend(userId="guest", numResults=5))
    shown = [first in [item["itemId"] for item in answer["items"]] for answer in answers]
    assert shown == [False, True, False, True]


def test_the_python_client_reads_the_profile_that_an_event_has_just_changed(service):
    base = f"http://127.0.0.1:{service.settings.port}"
    with Client(base, admin_url=str(service.admin.base_url), deadline=60, timeout=60) as client:
        before = client.profile("reader of profiles")
        client.collect([ClientEvent("view", user_id="reader of profiles", item_id="item-1")])
        after = client.profile("reader of profiles")
    assert (before.events, after.events, after.last_events[0].item_id) == (0, 1, "item-1")
    assert before.version != after.version


def test_a_word_of_a_page_holds_for_the_very_next_request_of_every_replica(service):
    base = f"http://127.0.0.1:{service.settings.port}"
    with Client(base, deadline=60, timeout=60) as client:
        for given in (False, True):
            said = client.consent("sayer", {"personalization": given}, version="2026-11")
            assert said.purposes == {"personalization": given}
            answers = [client.recommend(user_id="sayer", num_results=3).fallback for _ in range(4)]
            assert [each == "no_consent" for each in answers] == [not given] * 4
        with pytest.raises(RefusedError, match="no purpose"):
            client.consent("sayer", {"fun": True})


def test_every_answer_is_in_the_exposures_with_the_features_it_used(service):
    from feature_repo.store import FeatureStoreRoom
    from tailorbird.catalog.catalog import Users
    from tailorbird.features.demographics import demographics_of

    identity = service.recommend(userId="user-2", numResults=3)["recommendationId"]
    with open_exposures(service.settings) as stream:
        deadline, shown = time.monotonic() + 20, None
        while shown is None and time.monotonic() < deadline:
            shown = stream.find(identity)
            time.sleep(0.1)
    assert shown is not None
    key = Pseudonyms(open_keyring(service.settings).pseudonyms).person("user-2")
    state = FeatureStoreRoom(service.settings).online_read([key])[0]
    person = demographics_of(Users.read(service.settings.catalog_folder))[key]
    offline = user_vector(state, now=shown.scored_at, demographics=person)
    assert shown.inputs is not None
    assert shown.inputs.user == pytest.approx(offline, abs=1e-6)


def test_any_replica_explains_an_answer_that_another_gave(service):
    answer = service.recommend(userId="user-3", numResults=5)
    path = f"/v1/recommendations/{answer['recommendationId']}/trace"
    deadline = time.monotonic() + 20
    while (response := service.client.get(path)).status_code == 404 and time.monotonic() < deadline:
        time.sleep(0.1)  # its exposure is on its way
    for _ in range(4):
        assert response.status_code == 200, response.text
        told = response.json()
        assert [item["itemId"] for item in told["items"]] == [item["itemId"] for item in answer["items"]]
        assert told["profile"]["rebuilt"], told["notes"]
        assert any(item["because"] for item in told["items"])
        response = service.client.get(path)
    assert service.client.get("/v1/recommendations/nonsense/trace").status_code == 404


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v1/recommendations", b"{", 400),
        ("/v1/recommendations", b'{"numResults": -5}', 422),
        ("/v1/recommendations", b"x" * 10_000_000, 413),
        ("/v1/events", b"x" * 10_000_000, 413),
        ("/v1/events", b'{"batch": 5}', 422),
        ("/v1/nothing", b"{}", 404),
    ],
)
def test_bad_input_passes_the_proxy_as_a_4xx(service, path, content, status):
    response = service.client.post(path, content=content)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_only_this_machine_reaches_the_service(service):
    mine = {
        process.pid
        for process in psutil.process_iter()
        if str(service.folder) in " ".join(_environment(process))
    }
    reachable = {
        (connection.laddr.port, psutil.Process(connection.pid).name())
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.pid in mine
        and connection.laddr.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1")
    }
    assert reachable == set()


def test_a_taken_port_and_a_second_start_are_said_plainly(service):
    again = command(service.settings)
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert json.loads(output)["recommendations"].endswith(f":{service.settings.port}/v1/recommendations")
    other = service.settings.folder.parent / "other" / "catalog"
    other.mkdir(parents=True)
    shutil.copy(service.settings.catalog_folder / "items.parquet", other)
    refused = command(service.settings, "--workspace", "other")
    _, errors = refused.communicate(timeout=120)
    assert refused.returncode == 2
    assert f"port {service.settings.port}" in errors.decode()
    assert "Traceback" not in errors.decode()


def test_a_promotion_swaps_every_replica_under_load_without_a_failed_request(service):
    statuses, versions, stop = [], [], threading.Event()

    def ask(worker: int) -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=60) as client:
            while not stop.is_set():
                response = client.post(
                    "/v1/recommendations", json={"userId": f"user-{worker}", "numResults": 5}
                )
                statuses.append(response.status_code)
                versions.append(response.json()["model"]["version"])

    folder = service.settings.folder / "models"
    shutil.copytree(folder / "1", folder / "2")
    assert register_folder(service.settings, folder / "2") == "2"
    workers = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    there = move(service.settings, "promote", "--version", "2", "--force", "--reason", "a drill")
    back = move(service.settings, "rollback")
    again = move(service.settings, "promote", "--version", "2", "--force", "--reason", "a drill")
    stop.set()
    for worker in workers:
        worker.join()
    assert [each["version"] for each in (there, back, again)] == [2, 1, 2]
    assert {each["followers"] for each in (there, back, again)} == {"2 of 2"}
    assert set(statuses) == {200}
    assert set(versions) == {"1", "2"}


def move(settings: Settings, *argv: str) -> dict:
    """Run a command of the registry beside the platform."""
    done = subprocess.run(
        [sys.executable, "-m", "tailorbird", *argv, "--json"],
        env=environment(settings),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_damaged_bundle_leaves_the_old_one_serving(service):
    folder = service.settings.folder / "models"
    shutil.copytree(folder / "1", folder / "3")
    weights = next((folder / "3").rglob("ranker.safetensors"))
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    before = service.recommend(userId="user-1", numResults=1)["model"]["version"]
    promote_folder(service.settings, folder / "3")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        health = service.client.get("/health/ready").json()
        if health["problems"]:
            break
        time.sleep(0.1)
    assert "version 3 is refused" in health["problems"][0]
    assert service.recommend(userId="user-1", numResults=1)["model"]["version"] == before


def test_admin_answers_on_a_port_of_its_own_and_not_where_people_ask(service):
    deadline, troubles = time.monotonic() + 60, [""]
    while not all(troubles) and time.monotonic() < deadline:  # each replica sees for itself
        (champion,) = service.admin.get("/v1/arms").json()["arms"]
        troubles = [each["trouble"] for each in champion["replicas"]]
    assert champion["version"] == "3"
    assert {each["version"] for each in champion["replicas"]} == {"2"}
    assert all("version 3 is refused" in trouble for trouble in troubles), troubles
    for path in ("/v1/models", "/v1/arms", "/v1/streams", "/v1/decisions"):
        assert service.admin.get(path).status_code == 200
        assert service.client.get(path).status_code == 404
    refused = service.client.post("/v1/models:rollback", json={})
    assert refused.status_code == 404
    (events, exposures) = service.admin.get("/v1/streams").json()["streams"]
    assert events["end"]["0"] >= events["readers"]["profiles"]["0"] > 0
    assert exposures["waiting"] < 100


def test_an_absent_online_store_is_a_marked_answer_and_loses_no_event(service):
    online = service.settings.feature_folder / "online.db"
    away = [path for path in service.settings.feature_folder.glob("online.db*") if path.is_file()]
    assert online in away
    for path in away:
        damaged = path.with_name(path.name + ".kept")
        shutil.copy(path, damaged)
    online.write_bytes(b"this is no database" * 1000)
    try:
        answer = service.recommend(userId="user-3", numResults=5)
        assert len(answer["items"]) == 5
        event = {"messageId": "away-1", "type": "view", "userId": "user-3", "itemId": "item-1"}
        stored = service.client.post("/v1/events", json={"batch": [event]})
        assert stored.status_code == 202
        assert stored.json()["accepted"] == 1
    finally:
        for path in away:
            shutil.copy(path.with_name(path.name + ".kept"), path)


def test_a_move_calls_a_subscriber_and_a_broken_file_is_told_to_operators(service, subscriber):
    file = service.settings.folder / "triggers.toml"
    crm = f'[targets.crm]\nurl = "{subscriber.origin()}/hooks"\nsecret_env = "CRM_SECRET"\n'
    file.write_text(crm + '[[triggers]]\ntarget = "crm"\nto = ["luxury-evening"]\n')
    wait_until(lambda: (service.settings.folder / QUEUE_FILE).exists() and _position(service) is not None)
    move = moved(user_id="user-1", at=time.time()).to_event()
    with open_events(service.settings) as events:
        events.append([move])
    wait_until(lambda: subscriber.calls)
    (call,) = subscriber.calls
    assert (call.path, call.json["userId"], call.signed()) == ("/hooks", "user-1", True)
    assert service.admin.get("/v1/triggers").json()["problems"] == []
    delivered = 'tailorbird_trigger_deliveries_total{outcome="delivered",target="crm"} 1.0'
    wait_until(lambda: delivered in service.client.get("/metrics").text)
    file.write_text("[targets.crm]\nform = 1\n")
    wait_until(lambda: "targets.crm" in str(service.client.get("/health/ready").json()["problems"]))
    file.unlink()
    wait_until(lambda: "targets.crm" not in str(service.client.get("/health/ready").json()["problems"]))


def _position(service: Service) -> object:
    with closing(DeliveryQueue(service.settings.folder)) as queue:
        return queue.position


def test_every_replica_names_the_segment_by_the_model_that_was_promoted(service, tmp_path):
    deeds = [
        {"messageId": f"s-{n}", "type": "add_to_cart", "userId": "carter", "itemId": f"item-{n}"}
        for n in range(4)
    ]
    assert service.client.post("/v1/events", json={"batch": deeds}).json()["accepted"] == 4
    assert service.admin.get("/v1/segments").json()["segments"] == []
    assert service.recommend(userId="carter", explain=True)["segment"] is None
    register_segments(service.settings, carters(), tmp_path)
    wait_until(lambda: service.admin.get("/v1/segments").json()["model"]["version"] == "1")
    told = [""]

    def everybody_knows() -> bool:  # whichever replica answers
        told.append((service.recommend(userId="carter", explain=True)["segment"] or {}).get("key", ""))
        return told[-10:] == [CARTS] * 10

    wait_until(everybody_knows)
    profile = service.admin.get("/v1/users/carter/profile").json()["segment"]
    assert (profile["key"], profile["modelVersion"]) == (CARTS, "1")


def test_metrics_add_up_the_replicas_and_nothing_else(service):
    text = service.client.get("/metrics").text
    assert 'tailorbird_requests_total{route="recommend",status="200"}' in text
    assert 'tailorbird_requests_total{route="events",status="202"}' in text
    assert "autoscaler" not in text


def test_callers_that_hang_up_leave_collection_running(service):
    for n in range(100):
        body = json.dumps(
            {"batch": [{"messageId": f"gone-{n}", "type": "view", "userId": "gone", "itemId": "item-1"}]}
        )
        head = f"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        with socket.create_connection(("127.0.0.1", service.settings.port)) as caller:
            caller.sendall(f"{head}\r\n\r\n{body}".encode())
            time.sleep(0.012)
    for n in range(8):  # whichever replica answers
        event = {"messageId": f"stayed-{n}", "type": "view", "userId": "gone", "itemId": "item-1"}
        assert service.client.post("/v1/events", json={"batch": [event]}).status_code == 202
        assert service.client.get("/v1/events/health").json()["status"] in ("ready", "degraded")


@pytest.mark.parametrize("part", ["proxy", "collect", "recommend"])
def test_a_killed_part_costs_no_event_and_no_caller_more_than_the_request_in_hand(service, part):
    tally = Tally(f"killed-{part}")
    base = str(service.client.base_url)
    question = Ask("/v1/recommendations", b'{"userId": "user-1", "numResults": 5}')
    victim = proxy_of(service.folder) if part == "proxy" else replicas_of(part, service.folder)[0]
    acting = Callers(base, count=4, ask=tally.ask, pause_seconds=0.01)
    asking = Callers(base, count=4, ask=lambda caller: question, pause_seconds=0.01)
    with acting, asking:
        time.sleep(0.5)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        time.sleep(3)
    calls = [*acting.calls, *asking.calls]
    assert sum(not call.good for call in calls) <= 8
    for callers in (acting, asking):  # all of them go on
        assert {call.caller for call in callers.calls if call.good and call.started > killed} == {0, 1, 2, 3}
    names = Pseudonyms(open_keyring(service.settings).pseudonyms)
    with open_events(service.settings) as log:
        assert all(log.find(names.message(each)) is not None for each in tally.acknowledged)
    deadline = time.monotonic() + 90
    while part != "proxy" and len(replicas_of(part, service.folder)) < 2:
        assert time.monotonic() < deadline, "the replica was not replaced"
        time.sleep(0.5)


def test_the_platform_itself_serves_the_script_that_is_committed(service):
    script = service.client.get("/sdk.js", follow_redirects=True)
    assert script.content == (Path(__file__).parents[2] / "serving/http/sdk.js").read_bytes()


def test_the_first_key_closes_every_door_of_every_replica_and_limits_are_counted_by_all_of_them(service):
    now = time.time()
    _, admin = add_key(service.settings, Wish("operator", ("admin",)), now=now)
    _, shop = add_key(service.settings, Wish("shop", ("recommend",), limits=("30/hour",)), now=now)
    doors = (
        (service.client, "/v1/recommendations/user-1"),
        (service.client, "/metrics"),
        (service.client, "/v1/events"),
        (service.admin, "/v1/arms"),
    )

    def closed() -> bool:  # whichever replica answers
        return all(client.get(path).status_code == 401 for client, path in doors for _ in range(8))

    wait_until(closed)
    assert service.client.get("/health/ready").status_code == 200
    operator = {"authorization": f"Bearer {admin}"}
    assert service.client.get("/metrics", headers=operator).status_code == 200
    assert service.admin.get("/v1/arms", headers=operator).status_code == 200
    answers = [
        service.client.get("/v1/recommendations/user-1", headers={"x-api-key": shop}).status_code
        for _ in range(40)
    ]
    assert answers == [200] * 30 + [429] * 10


def test_ctrl_c_ends_every_process_and_removes_the_private_folder(service):
    assert ours(service.folder)
    service.process.send_signal(signal.SIGINT)
    _, errors = service.process.communicate(timeout=60)
    assert service.process.returncode in (0, 130), errors
    assert "Traceback" not in errors.decode()
    assert ours(service.folder) == []
    assert not service.folder.exists()
    assert not (service.settings.folder / "serving.json").exists()


def proxy_of(folder: Path) -> int:
    """The newest HAProxy that callers reach."""
    mine = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder / "door" / "haproxy.cfg") in (process.info["cmdline"] or ())
    ]
    return max(mine, key=lambda process: process.create_time()).pid


def _environment(process: psutil.Process) -> list[str]:
    try:
        return [f"{key}={value}" for key, value in process.environ().items()]
    except psutil.Error:
        return []

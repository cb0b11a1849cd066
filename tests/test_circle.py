"""The circle turns: from raw events to an answer over HTTP that the next event changes, every part real."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from tailorbird import cli
from tailorbird.privacy.door.door import Door
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.scan import read_log

ROOT = Path(__file__).resolve().parents[1]
TINY = """
width = 16
[sequence]
epochs = 2
refit_epochs = 1
[ranker]
epochs = 2
cases = 400
"""


def tailorbird(*argv: str, settings: Settings) -> dict:
    """Run one command as a user would and return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tailorbird", *argv],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in argv else {}


def quickly(*argv: str, settings: Settings) -> None:
    """The same in this process, which has imported everything already."""
    done = CliRunner().invoke(cli.tailorbird, list(argv), env=environment(settings))
    assert done.exit_code == 0, done.output


def environment(settings: Settings) -> dict[str, str]:
    ours = {
        "HOME": settings.home,
        "MLRUNS": settings.mlruns,
        "WORKSPACE": settings.workspace,
        "PORT": settings.port,
    }
    return os.environ | {f"TAILORBIRD_{name}": str(value) for name, value in ours.items()}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("circle")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return load_settings(home=folder / "home", mlruns=folder / "mlruns", workspace="shop", port=port)


@pytest.fixture(scope="module")
def prepared(settings: Settings) -> Settings:
    """A tiny shop, ingested, with features and one promoted version."""
    source, recipe = settings.home / "source", settings.home / "tiny.toml"
    quickly("simulate", "--size", "150", "--seed", "3", "--out", str(source), settings=settings)
    report = tailorbird("ingest", "--data", "shop", "--path", str(source), "--json", settings=settings)
    assert report["rows_in"] == report["accepted"] + report["quarantined"] > 1_000
    quickly("features", settings=settings)
    recipe.write_text(TINY)
    quickly("train", "--recipe", str(recipe), settings=settings)
    assert tailorbird("promote", "--json", settings=settings)["promoted"]
    return settings


@pytest.fixture(scope="module")
def service(prepared: Settings) -> Iterator[httpx.Client]:
    """The service as `tailorbird serve` starts it, and stopped as Ctrl-C does."""
    log = prepared.home / "serve.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailorbird", "serve"], env=environment(prepared), stdout=sink, stderr=sink
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{prepared.port}", timeout=10) as client:
                wait_until(lambda: ready(client) or process.poll() is not None, seconds=240)
                assert process.poll() is None, log.read_text()
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)
    folder = Path(re.search(r"logs are in (/\S+?)/ray/", log.read_text()).group(1))
    assert not folder.exists(), "serving leaves nothing behind"


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def wait_until(condition, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def ask(client: httpx.Client, **body: object) -> dict:
    answer = client.post("/v1/recommendations", json={"numResults": 10, **body})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


@pytest.mark.ray
@pytest.mark.timeout(1200)
class TestTheCircle:
    def test_a_user_with_a_past_is_answered_by_the_model(
        self, service: httpx.Client, prepared: Settings
    ) -> None:
        events = read_log(prepared)
        person = str(events.loc[events["user_id"].notna(), "user_key"].iloc[-1])
        with closing(Door.of(prepared)) as door:
            user_id = door.callers_ids([person])[person]
        answer = ask(service, userId=user_id)
        assert len({item["itemId"] for item in answer["items"]}) == 10
        assert answer["model"] == {"name": prepared.model_name, "version": "1"}
        assert answer["fallback"] is None

    def test_a_newcomer_is_answered_too(self, service: httpx.Client) -> None:
        answer = ask(service, userId="nobody-ever-saw-me")
        assert len(answer["items"]) == 10

    def test_the_answer_after_an_event_reflects_it(self, service: httpx.Client) -> None:
        first = ask(service, anonymousId="visitor-1")["items"][0]["itemId"]
        event = {"messageId": "circle-1", "type": "purchase", "anonymousId": "visitor-1", "itemId": first}
        posted = service.post("/v1/events", json={"batch": [event]})
        assert posted.status_code == httpx.codes.ACCEPTED
        assert posted.json()["accepted"] == 1
        after = [item["itemId"] for item in ask(service, anonymousId="visitor-1")["items"]]
        assert first not in after
        again = service.post("/v1/events", json={"batch": [event]}).json()
        assert (again["accepted"], again["duplicates"]) == (0, 1)

    def test_what_was_shown_is_in_the_exposures(self, service: httpx.Client, prepared: Settings) -> None:
        shown = ask(service, userId="watched")["recommendationId"]
        with open_exposures(prepared) as stream:
            wait_until(lambda: stream.find(shown) is not None, seconds=20)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b'{"userId": "u1"', 400),
            (b'{"userId": 7}', 422),
            (b'{"userId": "u1", "numResults": 0}', 422),
            (b'{"userId": "u1", "numResults": -3}', 422),
            (b'{"userId": "u1", "numResults": 1000}', 200),
            (b'{"userId": "u1", "itemId": "no such item"}', 200),
            (b"x" * 10_000_000, 413),
        ],
    )
    def test_bad_input_is_told_so(self, service: httpx.Client, body: bytes, status: int) -> None:
        answer = service.post(
            "/v1/recommendations", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == status, answer.text
        if status != httpx.codes.OK:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]

    def test_the_api_page_names_every_route(self, service: httpx.Client) -> None:
        page = (ROOT / "docs" / "http-api.md").read_text()
        paths = service.get("/openapi.json").json()["paths"]
        missing = [path for path in paths if re.sub(r"\{\w+\}", "", path) not in re.sub(r"\{\w+\}", "", page)]
        assert paths
        assert missing == []

    def test_a_promotion_is_followed_without_a_failed_request(
        self, service: httpx.Client, prepared: Settings
    ) -> None:
        recipe = prepared.home / "tiny.toml"
        quickly("train", "--recipe", str(recipe), "--seed", "1", settings=prepared)
        statuses: list[int] = []
        versions: list[str] = []
        done = threading.Event()

        def hammer() -> None:
            while not done.is_set():
                answer = service.post("/v1/recommendations", json={"userId": "u1", "numResults": 3})
                statuses.append(answer.status_code)
                versions.append(answer.json()["model"]["version"])

        thread = threading.Thread(target=hammer)
        thread.start()
        try:
            tailorbird(
                "promote", "--version", "2", "--force", "--reason", "the test swaps", settings=prepared
            )
            wait_until(lambda: "2" in versions[-1:], seconds=150)
            tailorbird("rollback", "--reason", "the test swaps back", settings=prepared)
            wait_until(lambda: "1" in versions[-1:], seconds=150)
        finally:
            done.set()
            thread.join()
        assert set(statuses) == {200}
        assert set(versions) == {"1", "2"}

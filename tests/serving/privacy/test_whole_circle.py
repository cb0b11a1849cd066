"""Nothing that was planted stands in a byte that the whole platform writes, Ray's folders among them, nor after it was killed; nor do the erased.

One round of the circle as an operator runs it: files are ingested, segments found, a model trained, tuned on Ray, judged and promoted;
the platform is served, asked and told; an experiment and triggers run; it is killed while it collects, and learns anew from what it had.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from serving.privacy.erasures import open_erasing
from tailorbird.events.schema import id_of
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.triggers.queue import DeliveryQueue
from tests.serving.privacy.life import bytes_holding
from tests.serving.privacy.planted import (
    CARD,
    COOKIE,
    IDS,
    MAIL,
    NAME,
    PERSONAL,
    USER,
    WORDS,
    asked,
    collected,
    holding,
)
from tests.serving.privacy.platform import SPACE, TINY, Platform, opened_platform
from tests.serving.triggers.subscriber import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]
GONE = 12
"""People of the shop who are erased; so many each searched for."""
EXPERIMENT = """
hypothesis = "Bold headlines bring more clicks."
unit = "person"
days = 7

[metrics]
primary = "clicks_per_slate"
minimum_effect = 0.1

[variants.control]

[variants.bold]
slate = {max_category_share = 0.4}
"""


def learned(platform: Platform) -> None:
    """Segments, a promoted version, and a study on Ray."""
    recipe, space = platform.scratch / "tiny.toml", platform.scratch / "space.toml"
    recipe.write_text(TINY)
    space.write_text(SPACE)
    platform.run("features")
    platform.run("segments", "fit", "--most", "2", "--choose", "1")
    platform.run("segments", "promote", "--force", "--reason", "few people")
    platform.run("segments", "assign")
    platform.run("train", "--recipe", str(recipe))
    platform.run("promote", "--json")
    platform.run("evaluate", "--version", "1", codes=(0, 1))
    given = ("--recipe", str(recipe), "--space", str(space), "--trials", "2", "--parallel", "1")
    platform.run_alone("tune", *given, "--json")


def lived(platform: Platform, client: httpx.Client, admin: httpx.Client, people: list[str]) -> None:
    """Everything that callers may do, rightly and wrongly."""
    assert platform.call(
        admin, "POST", "/v1/experiments", {"key": "bold", "declaration": EXPERIMENT}
    ).is_success
    assert platform.call(admin, "POST", "/v1/experiments/bold:start", {"reason": "it is ready"}).is_success
    platform.call(client, "POST", "/v1/events", {"batch": collected()})
    for method, path, body in asked():
        platform.call(client, method, path, body)
    platform.call(client, "POST", f"/v1/users/{USER}/merge", {"anonymousId": COOKIE})
    for number, name in enumerate(people):
        answer = platform.call(
            client, "POST", "/v1/recommendations", {"userId": name, "sessionId": NAME, "numResults": 5}
        ).json()
        shown = [each["itemId"] for each in answer["items"]]
        deeds = [
            {
                **IDS,
                "messageId": f"{MAIL} {number} {place}",
                "type": "click" if place else "view",
                "itemId": item,
                "userId": name,
                "recommendationId": answer["recommendationId"],
                "context": PERSONAL,
                "properties": PERSONAL,
            }
            for place, item in enumerate(shown)
        ]
        assert platform.call(client, "POST", "/v1/events", {"batch": deeds}).json()["accepted"] == 5
    of_mail = f"/v1/users/{quote(MAIL)}"
    said = {"purposes": {"analytics": True}, "version": NAME, "source": MAIL, "proof": f"signed {NAME}"}
    for door, method, path, body in (
        (client, "PUT", f"{of_mail}/consent", said),
        (client, "PUT", f"{of_mail}/consent", {**said, "purposes": {MAIL: True}}),
        (admin, "PUT", f"{of_mail}/consent", said),
        (admin, "PUT", of_mail, {"age": 40, "gender": NAME, "attributes": {"name": NAME}}),
        (admin, "PUT", of_mail, {"age": MAIL, "country": [NAME]}),
        (admin, "PUT", f"/v1/users/{quote(people[-1])}/restriction", {"restricted": True, "reason": NAME}),
        (admin, "PUT", f"{of_mail}/objection", {"purposes": ["advertising"], "reason": NAME}),
        (admin, "PUT", f"{of_mail}/objection", {"purposes": [MAIL]}),
        (admin, "POST", f"/v1/models/{quote(MAIL)}:promote", {"alias": MAIL, "reason": "none"}),
        (admin, "GET", f"/v1/erasures/{quote(MAIL)}", None),
        (admin, "GET", f"/v1/items/{quote(MAIL)}", None),
        (admin, "GET", f"/v1/experiments/{quote(MAIL)}", None),
        (admin, "DELETE", f"{of_mail}?dryRun=true", None),
        (client, "GET", "/metrics", None),
        (client, "GET", "/health/ready", None),
        (admin, "GET", "/v1/triggers", None),
        (admin, "GET", "/v1/streams", None),
    ):
        platform.call(door, method, path, body)
    wait_until(lambda: dead_letters(platform) > 0, seconds=60)


def dead_letters(platform: Platform) -> int:
    with closing(DeliveryQueue(platform.settings.folder)) as queue:
        return len(queue.dead(target="crm"))


def collecting_until(
    client: httpx.Client, people: list[str], ended: threading.Event, done: list[int]
) -> None:
    """Send events until the platform is gone."""
    while not ended.is_set():
        batch = [
            {
                "messageId": f"{NAME} {len(done)} {place}",
                "type": "view",
                "itemId": f"item-{place:05}",
                "userId": people[(len(done) + place) % len(people)],
                "properties": PERSONAL,
            }
            for place in range(20)
        ]
        try:
            answer = client.post("/v1/events", json={"batch": batch})
        except httpx.HTTPError:
            return
        done.append(answer.status_code)


def served(platform: Platform, people: list[str]) -> None:
    """The platform lives, is killed while it collects, and what it left is read, told of and learned from."""
    platform.write_operators_files()
    ended, done = threading.Event(), list[int]()
    with platform.serving() as (client, admin):
        lived(platform, client, admin, people[: 4 * GONE])
        sender = threading.Thread(target=collecting_until, args=(client, people, ended, done))
        sender.start()
        wait_until(lambda: len(done) > 30, seconds=60)
    ended.set()
    sender.join()
    assert set(done) == {202}
    platform.run("experiment", "readout", "bold", "--html", str(platform.scratch / "tmp" / "readout.html"))
    platform.run("triggers", "dead")
    platform.run("retrain", "--without-canary", codes=(0, 3))
    platform.run("segments", "assign")


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, list[str]]]:
    with opened_platform(tmp_path_factory.mktemp("whole")) as platform:
        people = platform.ingest_shop(people=120)
        learned(platform)
        served(platform, people)
        yield platform, people


def test_what_was_planted_stands_in_no_byte(lived_in: tuple[Platform, list[str]]) -> None:
    platform, _ = lived_in
    kept = platform.settings
    for each in ("studies/*", "retraining.db", "experiments.db", "segments/*", "archive/events/*"):
        assert list(kept.folder.glob(each)), each
    assert list((platform.scratch / "ray").rglob("session_*/logs/*"))
    assert platform.served is not None
    assert list(platform.served.rglob("session_*/logs/*"))
    assert list(kept.mlruns.rglob("*.html"))
    assert platform.subscriber.calls
    looked = bytes_holding(platform.folders, ("raylet", "click"))
    for folder in (kept.home, platform.scratch / "ray", platform.served):  # what is looked for would be found
        assert [path for path in looked if path.startswith(str(folder))], folder
    assert holding({**platform.said, "log": platform.logged.getvalue()}) == {}
    assert bytes_holding(platform.folders, WORDS) == {}


def test_who_is_erased_stands_in_no_byte_but_where_it_is_said(lived_in: tuple[Platform, list[str]]) -> None:
    platform, people = lived_in
    with closing(Door.of(platform.settings)) as door:
        gone = [door.person(each) for each in (*people[:GONE], USER, MAIL, CARD, NAME)]
        gone.append(door.person(COOKIE, anonymous=True))
    erasing = open_erasing(platform.settings)
    before = left_of(erasing.places, gone)
    for place in (
        "events",
        "exposures",
        "profiles",
        "past profiles",
        "users",
        "segments",
        "deliveries",
        "runs",
    ):
        assert before[place] > 0, before
    for person in gone:
        erasing.ask(person)
    while erasing.run():
        time.sleep(0.01)
    assert sum(left_of(erasing.places, gone).values()) == 0
    names = tuple(id_of(person).lower() for person in gone)
    held = bytes_holding(platform.folders, names)
    assert {Path(path).name.split("-")[0] for path in held} == {"suppressed.db", "erasures.db"}
    assert bytes_holding(platform.folders, WORDS) == {}

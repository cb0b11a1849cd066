"""Names, addresses, ids and card numbers, planted in every field of everything that comes in, stand in no byte that is written.

One round of the circle in one workspace: files are ingested, events collected, people told of, recommendations asked for, rows refused,
profiles and segments made, a model trained, a process killed while it stores. Then every file is read: as it lies, and opened.
"""

import datetime as dt
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from feature_repo.command import build_features
from serving.privacy.erasures import open_erasing
from tailorbird.catalog.log.told import Patch
from tailorbird.events.schema import id_of
from tailorbird.ingest.command import ingest
from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.recipes.recipe import Recipe
from tests.serving.privacy.life import bytes_holding, keep_cases, settle
from tests.serving.privacy.planted import (
    ADDRESS,
    CARD,
    COOKIE,
    HEADERS,
    MAIL,
    NAME,
    PAGE,
    PERSONAL,
    SEARCH,
    USER,
    WORDS,
    asked,
    collected,
    holding,
)
from tests.serving.world import World
from tests.slate import toy
from training.data.dataset import load_dataset
from training.fit.train import train


def browsing() -> list[dict[str, object]]:
    """What two of them looked at over ten days, so that models learn of them."""
    return [
        {
            "messageId": f"b{day}-{name}",
            "type": "view",
            "itemId": f"i{day // 3}",
            "userId": name,
            "timestamp": dt.datetime.fromtimestamp(toy.NOW - (20 - day) * 43_000, dt.UTC).isoformat(),
        }
        for day in range(20)
        for name in (USER, MAIL)
    ]


def ingested(folder: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Files with people in every column, good rows and bad ones; what the command says."""

    def at_hour(number: int) -> str:
        return dt.datetime.fromtimestamp(toy.NOW - 800_000 + 3_600 * number, dt.UTC).isoformat()

    at = at_hour(100)
    good = {
        "message_id": f"file of {MAIL}",
        "type": "view",
        "user_id": MAIL,
        "item_id": "i1",
        "event_time": at,
    }
    rows = [
        {**good, "session_id": NAME, "context": PERSONAL, "properties": PERSONAL, "recommendation_id": PAGE},
        {
            **good,
            "message_id": "f2",
            "anonymous_id": COOKIE,
            "user_id": None,
            "type": "search",
            "properties": PERSONAL,
        },
        {**good, "message_id": "f3", "event_time": NAME},
        {**good, "message_id": "f4", "item_id": MAIL},
        {**good, "message_id": "f5", "value": CARD},
        {**good, "message_id": "f6", "value": float(CARD)},
        {**good, "message_id": "f7", "type": NAME},
        *({**good, "message_id": f"loud-{n}", "event_time": at_hour(n)} for n in range(200)),
    ]
    (folder / "e.jsonl").write_bytes(
        b"\n".join(map(orjson.dumps, rows)) + b"\nno row of " + NAME.encode() + b"\n"
    )
    people = [
        {"user_id": MAIL, "age": 40, "gender": NAME, "country": ADDRESS, "attributes": PERSONAL},
        {"user_id": USER, "age": CARD, "nickname": NAME},
        {"user_id": None, "nickname": NAME},
    ]
    (folder / "u.jsonl").write_bytes(b"\n".join(map(orjson.dumps, people)))
    (folder / "i.csv").write_text("item_id,title\ni1,Tea\n")
    monkeypatch.setenv("TAILORBIRD_HOME", str(world.settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(world.settings.mlruns))
    words = [*("--events", folder / "e.jsonl", "--users", folder / "u.jsonl"), "--workspace", "toy"]
    done = CliRunner().invoke(ingest, [str(each) for each in words])
    assert done.exit_code == 0, done.output
    return str(done.output)


def killed(world: World) -> None:
    """A process that stores events of these people is killed in the middle."""
    script = (
        "import sys\nfrom tailorbird.settings import load_settings\nfrom tailorbird.streams.factory import open_events\n"
        "from tailorbird.events.schema import Event\nfrom tailorbird.privacy.door.door import Door\n"
        f"settings = load_settings(home={str(world.settings.home)!r}, workspace='toy')\n"
        "door, log, n = Door.of(settings), open_events(settings), 0\n"
        "while True:\n"
        f"    made = [Event(f'k{{n}}-{{i}}', 'search', {toy.NOW}, {toy.NOW}, user_id={MAIL!r}, properties={{'query': {SEARCH!r}}}) for i in range(50)]\n"
        "    log.append(door.events(made)); n += 1\n"
        "    print(n, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    while child.stdout.readline().strip() != b"5":
        assert child.poll() is None
    child.kill()
    child.communicate()


@pytest.fixture
def circle(
    make_world: Callable[..., World], tmp_path: Path, monkeypatch, caplog
) -> tuple[World, dict[str, str]]:
    """The circle, and all that it said: of commands, of every answer, of the logs."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(
        logging.getLogger("httpx"), "disabled", True
    )  # the caller's own word, not the platform's
    source = tmp_path / "source"
    source.mkdir()
    world = make_world(body=1_000_000)
    said = {"ingest": ingested(source, world, monkeypatch)}
    for number, (method, path, body) in enumerate([("POST", "/v1/events", {"batch": collected()}), *asked()]):
        found = world.call(method, path, json=body, headers=HEADERS)
        assert found.status_code < 500, found.text
        if not ("/merge" in path and found.status_code == 202):  # a login is confirmed by both ids
            said[f"{number} {method} {body and sorted(body)}"] = f"{found.headers} {found.text}"
    assert world.post(f"/v1/users/{USER}/merge", {"anonymousId": COOKIE}).status_code == 202
    assert world.post("/v1/events", {"batch": browsing()}).json()["accepted"] == 40
    for name in (USER, MAIL):
        world.tell(
            world.door.user(Patch.of_user(name, {"age": 40.0, "gender": NAME, "attributes": PERSONAL}))
        )
    said["metrics"] = world.call("GET", "/metrics").text
    killed(world)
    settle(world)
    build_features(world.settings)
    dataset = load_dataset(world.settings)
    recipe = Recipe.of(
        {"name": "tiny", "width": 8, "sources": ["popularity"], "ranker": {"cases": 50, "epochs": 1}}
    )
    train(
        dataset, recipe, settings=world.settings, seed=0, now=dt.datetime.fromtimestamp(world.clock, dt.UTC)
    )
    keep_cases(world.settings, [world.key(f"user:{name}") for name in (USER, MAIL, NAME)])
    said["log"] = caplog.text
    assert len(said) > 20
    return world, said


def test_what_was_planted_stands_in_no_byte_before_and_after_erasure(
    circle: tuple[World, dict[str, str]],
) -> None:
    world, said = circle
    folders = [world.settings.home, world.settings.mlruns]
    people = [*(world.key(f"user:{name}") for name in (USER, MAIL, CARD, NAME)), world.key(f"anon:{COOKIE}")]
    assert holding(said) == {}
    assert bytes_holding(folders, WORDS) == {}
    erasing = open_erasing(world.settings)
    before = left_of(erasing.places, people)
    assert min(before[name] for name in ("events", "exposures", "profiles", "users", "quarantine")) > 0, (
        before
    )
    assert before["runs"] > 0
    for person in people:
        erasing.ask(person)
    while erasing.run():
        pass
    assert sum(left_of(erasing.places, people).values()) == 0
    assert bytes_holding(folders, WORDS) == {}
    for person in people:  # nor do the names that they had behind the door
        held = bytes_holding(folders, (id_of(person).lower(),))
        assert {path for path in held if "/privacy/" not in path} == set()


def test_what_is_looked_for_would_be_found(tmp_path: Path) -> None:
    """The look itself: compressed, in a database, in a table, in a name."""
    import gzip
    import sqlite3

    import pandas as pd
    import pyarrow as pa

    (tmp_path / "log.gz").write_bytes(gzip.compress(NAME.encode()))
    (tmp_path / "part").write_bytes(pa.compress(MAIL.encode() * 9, codec="zstd", asbytes=True))
    pd.DataFrame({"a": [NAME] * 9}).to_parquet(tmp_path / "t.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "d") as database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (ADDRESS,))
    database.close()
    (tmp_path / CARD).write_text("")
    (tmp_path / "nothing").write_text("of anybody")
    assert {Path(path).name for path in bytes_holding([tmp_path], WORDS)} == {
        "log.gz",
        "part",
        "t.parquet",
        "d",
        CARD,
    }

"""``tailorbird bench privacy``: what keys, pseudonyms and consent cost a recommendation and an event, in this process, side by side."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import orjson

from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from serving.bench.harness.inside import Inside
from serving.bench.harness.machine import Steps, machine
from serving.bench.harness.world import make_world
from serving.collect.door import check
from serving.http.access import FOR_COLLECT, FOR_RECOMMEND, Access
from serving.http.front import Request
from serving.lasting import keep_for_good
from serving.recommend.request.visit import Who
from serving.recommend.slate.exposures import NoExposures
from serving.segments.live import LiveSegments
from tailorbird.access.changes import Wish, add_key
from tailorbird.access.keys import COLLECT, RECOMMEND
from tailorbird.events.contract import as_sent
from tailorbird.events.schema import CONSENT, Event
from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.policy.policy import POLICY_FILE
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.segments.rules.file import RulesFile
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures

BLOCK = 40
"""Requests of a block; blocks of both kinds take turns, so that a busy machine slows both alike."""
PARTS = ("recommendations", "events")
BATCH = 100
"""Events of a request, as a busy page or a server sends them."""
POLICY = '[basis]\nname = "contract"\npurposes = ["personalization", "analytics"]\n'


@click.command("privacy")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for privacy.json.")
@click.option("--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items.")
@click.option("--users", default=2_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option("--blocks", default=50, show_default=True, type=click.IntRange(3), help="Of each kind.")
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only this; by default both.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def privacy(out: Path, items: int, users: int, blocks: int, part: Sequence[str], as_json: bool) -> None:
    r"""Answer requests and store events with and without keys, pseudonyms and consent, by turns; medians of the blocks.

    Without: people come under the names that are stored, nobody has said a word, no key is asked for. With: callers' own ids, a
    consent of each, texts that are sealed, a key among many.

    \b
    Examples:
        tailorbird bench privacy --out build/bench
        tailorbird bench privacy --out build/bench --items 1000 --users 200 --blocks 5
        tailorbird bench privacy --out build/bench --part events --items 200 --blocks 120
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        settings = load_settings(
            home=Path(scratch), mlruns=Path(scratch) / "mlruns", workspace="bench", tls_cert=""
        )
        settings.folder.mkdir(parents=True)
        (settings.folder / POLICY_FILE).write_text(POLICY, "utf-8")
        callers = make_world(settings, items=items, users=users, seed=7, on_step=Steps())
        result: dict[str, Any] = measured(settings, callers, blocks=blocks, parts=part or PARTS)
    result |= {**machine(), "items": items, "users": users, "blocks": blocks, "batch": BATCH}
    (out / "privacy.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'privacy.json'}")
    shown = ("recommendation_cost", "event_cost", "recommendation_us", "event_us")
    emit(result if as_json else {name: result[name] for name in shown if name in result}, as_json=as_json)


def measured(
    settings: Settings, callers: Sequence[str], *, blocks: int, parts: Sequence[str] = PARTS
) -> dict[str, Any]:
    """Microseconds a recommendation and an event without, and what share is added with; medians."""
    found: dict[str, Any] = {}
    silent, said = callers[::2], callers[1::2]
    now = time.time()
    with closing(Door.of(settings)) as door, open_events(settings) as log:
        log.append([_consent(door, name, now) for name in said])
        ProfileUpdater(settings, room=FeatureStoreRoom(settings), log=log).catch_up(log)
        tokens = [add_key(settings, Wish("bench", (RECOMMEND, COLLECT)), now=now)[1] for _ in range(20)]
        access, scope = Access.of(settings), _scope(tokens[-1])
        if "recommendations" in parts:
            answered = asyncio.run(
                _answered(settings, door, access, scope, silent=silent, said=said, blocks=blocks)
            )
            found |= _medians("recommendation", answered)
        if "events" in parts:
            found |= _medians("event", _stored(door, log, access, scope, callers, blocks=blocks))
    return found


def _medians(name: str, pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Microseconds without, and what share is added with."""
    return {
        f"{name}_us": statistics.median(without for without, _ in pairs),
        f"{name}_cost": statistics.median(held / without - 1 for without, held in pairs),
    }


async def _answered(
    settings: Settings,
    door: Door,
    access: Access,
    scope: Mapping[str, Any],
    *,
    silent: Sequence[str],
    said: Sequence[str],
    blocks: int,
) -> list[tuple[float, float]]:
    """Microseconds a recommendation without and with, a pair of blocks each."""
    policy = PolicyFile(settings, clock=time.monotonic)
    drawn: dict[str, Any] = {
        "segments": LiveSegments(settings),
        "segment_rules": RulesFile(settings.folder, clock=time.monotonic),
        "covers": lambda: policy().covers,
    }
    with closing(Inside(settings)) as inside, open_exposures(settings) as shown:
        exposures = NoExposures(shown)
        bare = inside.service(exposures, named=Who.of, **drawn)
        whole = inside.service(exposures, **drawn)
        without = [_asked(door.names.user(name), "s") for name in silent]
        held = [_asked(name, f"session of {name}") for name in said]

        async def ask_bare(body: bytes) -> None:
            await bare.recommend(Request(body))

        async def ask_whole(body: bytes) -> None:
            access.admit(scope, FOR_RECOMMEND)
            await whole.recommend(Request(body))

        async def block(ask: Callable[[bytes], Any], bodies: Sequence[bytes], number: int) -> float:
            chosen = [bodies[(number * BLOCK + place) % len(bodies)] for place in range(BLOCK)]
            started = time.perf_counter()
            for body in chosen:
                await ask(body)
            return (time.perf_counter() - started) / BLOCK * 1e6

        await block(ask_bare, without, 0)
        await block(ask_whole, held, 0)
        keep_for_good()  # as a replica does before its first request
        pairs = []
        for number in range(1, blocks + 1):
            pairs.append((await block(ask_bare, without, number), await block(ask_whole, held, number)))
        exposures.close()
    return pairs


def _stored(
    door: Door, log: Any, access: Access, scope: Mapping[str, Any], callers: Sequence[str], *, blocks: int
) -> list[tuple[float, float]]:
    """Microseconds an event without and with, a pair of batches each; both are checked, stored and on the disk."""
    names = {name: door.names.user(name) for name in callers}
    pairs = []
    for number in range(blocks + 1):
        bare = [_event(names[_of(callers, number, place)], f"a{number}-{place}") for place in range(BATCH)]
        held = [_event(_of(callers, number, place), f"b{number}-{place}") for place in range(BATCH)]
        started = time.perf_counter()
        kept = check(orjson.loads(orjson.dumps(bare)), now=time.time(), known_items=frozenset()).kept
        log.append(as_sent(kept))
        between = time.perf_counter()
        access.admit(scope, FOR_COLLECT)
        kept = check(orjson.loads(orjson.dumps(held)), now=time.time(), known_items=frozenset()).kept
        log.append(door.events(kept))
        ended = time.perf_counter()
        pairs.append(((between - started) / BATCH * 1e6, (ended - between) / BATCH * 1e6))
    return pairs[1:]


def _of(callers: Sequence[str], number: int, place: int) -> str:
    return callers[(number * BATCH + place) % len(callers)]


def _event(name: str, message: str) -> dict[str, object]:
    return {
        "messageId": message,
        "type": "view",
        "userId": name,
        "itemId": "item-1",
        "sessionId": f"of {name}",
        "context": {"device": "mobile", "page": 3},
    }


def _consent(door: Door, name: str, at: float) -> Event:
    context = {"purposes": {"personalization": True, "analytics": True}}
    return Event(f"consent-{name}", CONSENT, at, at, user_id=door.names.user(name), context=context)


def _asked(name: str, session: str) -> bytes:
    return orjson.dumps(
        {"userId": name, "sessionId": session, "numResults": 10, "context": {"device": "mobile"}}
    )


def _scope(token: str) -> Mapping[str, Any]:
    return {
        "method": "POST",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "query_string": b"",
    }

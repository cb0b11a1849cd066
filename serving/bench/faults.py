"""``tailorbird bench faults``: kills each part of the platform under load and counts what callers notice."""

import itertools
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import click
import orjson
import psutil

from serving.bench.callers import Ask, Callers, longest_gap
from serving.bench.machine import machine
from serving.bench.world import make_world
from serving.cluster import Started, free_ports
from serving.command import addresses, base_url, running
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING

REPLICAS = {"recommend": "recommend", "collect": "collect", "admin": "admin", "updater": "collect"}
"""Whose replicas hold each part: the updater is a thread of every collect replica."""
PARTS = ("recommend", "collect", "proxy", "admin", "updater")
CALLERS = 4
OPERATORS = 2
"""Who ask the admin application while it is killed."""
PAUSE_SECONDS = 0.005
BATCH = 5
BEFORE_SECONDS = 1.0
AFTER_SECONDS = 3.0
WHOLE_SECONDS = 120.0
"""How long the platform may take to be whole again before the next kill."""


@dataclass
class Tally:
    """Events as their sender knows them: a batch is sent again until it is acknowledged."""

    prefix: str
    acknowledged: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _unanswered: dict[int, list[str]] = field(default_factory=dict)

    def ask(self, caller: int) -> Ask:
        """The caller's unanswered batch again, or the next one."""
        ids = self._unanswered.get(caller)
        if ids is None:
            first = next(self._numbers) * BATCH
            ids = self._unanswered[caller] = [f"{self.prefix}-{n}" for n in range(first, first + BATCH)]
        batch = [
            {
                "messageId": message,
                "type": "view",
                "userId": f"fault-{self.prefix}-{caller}",
                "itemId": f"item-{hash(message) % 200}",
            }
            for message in ids
        ]

        def answered(status: int, body: bytes) -> None:
            if status == 202:
                self.acknowledged += self._unanswered.pop(caller)

        return Ask("/v1/events", orjson.dumps({"batch": batch}), answered)


@dataclass(frozen=True)
class Outcome:
    """What callers noticed of the kills of one part, all together, and what became of their events."""

    part: str
    kills: int
    requests: int
    failed: int
    failed_per_kill: float
    most_failed: int
    longest_gap_s: float
    acknowledged: int
    lost: int
    doubled: int
    whole_again_s: float


@click.command("faults")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for faults.json.")
@click.option("--kills", default=10, show_default=True, type=click.IntRange(1), help="Kills of each part.")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only these parts.  [default: all]"
)
@click.option("--seed", default=7, show_default=True, help="Seed of the world and of the choice of replica.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def faults(out: Path, kills: int, parts: tuple[str, ...], seed: int, as_json: bool) -> None:
    r"""Kill -9 one part after the other while people ask and act, and count what they notice.

    Eight callers without a pause: four ask for recommendations, four send batches of events and send a batch again until
    it is acknowledged; while admin is killed, two more ask it for the models. `failed` counts requests that got no answer or a 5xx, `longest_gap_s` is the longest time that one
    caller went without a good answer, `lost` and `doubled` compare what was acknowledged with the log and the profiles.
    The updater is a thread of the collect replicas: its row kills one of those while events are all the load there is.

    \b
    Examples:
        tailorbird bench faults --out build/bench
        tailorbird bench faults --out build/bench --kills 3 --part proxy --part collect
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0]
        )
        with progress("Making the world") as step:
            people = make_world(
                settings, items=500, users=200, seed=seed, on_step=lambda name: step.update(description=name)
            )
        outcomes = []
        wanted = [part for part in PARTS if part in parts or not parts]
        with running(settings) as started, progress("Killing", total=len(wanted) * kills) as bar:
            for part in wanted:
                bar.update(description=f"killing {part}")
                outcomes.append(
                    kill_under_load(
                        part,
                        settings,
                        started,
                        people=people,
                        kills=kills,
                        rng=random.Random(seed),
                        on_kill=bar.advance,
                    )
                )
    rows = [asdict(outcome) for outcome in outcomes]
    (out / "faults.json").write_text(json.dumps({"parts": rows, **machine()}, indent=2) + "\n", "utf-8")
    table(rows, title=f"Killed {kills} times each, under load")
    say(f"wrote {out / 'faults.json'}")
    emit(
        {"parts": rows} if as_json else {row["part"]: row["failed_per_kill"] for row in rows}, as_json=as_json
    )


def kill_under_load(
    part: str,
    settings: Settings,
    started: Started,
    *,
    people: Sequence[str],
    kills: int,
    rng: random.Random,
    on_kill: Callable[[], object] = lambda: None,
) -> Outcome:
    """Kill ``part`` ``kills`` times while callers ask and send; what they noticed."""
    tally = Tally(f"{part}-{rng.randrange(10**9)}")
    base = base_url(settings)

    def wish(caller: int) -> Ask:
        body = {"userId": rng.choice(people), "numResults": 10}
        return Ask("/v1/recommendations", orjson.dumps(body))

    asking = Callers(base, count=CALLERS if part != "updater" else 1, ask=wish, pause_seconds=PAUSE_SECONDS)
    acting = Callers(base, count=CALLERS, ask=tally.ask, pause_seconds=PAUSE_SECONDS)
    operating = Callers(
        str(addresses(settings)["admin"]),
        count=OPERATORS if part == "admin" else 0,
        ask=lambda _: Ask("/v1/models", method="GET"),
        pause_seconds=PAUSE_SECONDS,
    )
    at: list[float] = []
    whole: list[float] = []
    _wait_until_whole(settings, started)
    with asking, acting, operating:
        for _ in range(kills):
            time.sleep(BEFORE_SECONDS)
            victim = _victim(part, started, rng)
            at.append(time.monotonic())
            os.kill(victim, signal.SIGKILL)
            time.sleep(AFTER_SECONDS)
            _wait_until_whole(settings, started)
            whole.append(time.monotonic() - at[-1])
            on_kill()
    groups = (asking, acting, operating)
    calls = [
        replace(call, caller=call.caller + n * CALLERS)
        for n, each in enumerate(groups)
        for call in each.calls
    ]
    failed = [call for call in calls if not call.good]
    each = Counter(sum(call.ended >= instant for instant in at) for call in failed)
    lost, doubled = compare(settings, tally)
    return Outcome(
        part=part,
        kills=kills,
        requests=len(calls),
        failed=len(failed),
        failed_per_kill=round(len(failed) / kills, 2),
        most_failed=max(each.values(), default=0),
        longest_gap_s=round(longest_gap(calls), 2),
        acknowledged=len(tally.acknowledged),
        lost=lost,
        doubled=doubled,
        whole_again_s=round(max(whole), 1),
    )


def replicas_of(application: str, folder: Path) -> list[int]:
    """Process ids of an application's replicas in the cluster that lives in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if line.startswith(f"ray::ServeReplica:{application}:") and _lives_in(process, folder):
            found.append(process.pid)
    return found


def _lives_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.environ().get("RAY_AUTH_TOKEN_PATH", "/")).parent == folder
    except psutil.Error:
        return False


def _victim(part: str, started: Started, rng: random.Random) -> int:
    if part == "proxy":
        pid = started.proxy.pid
        assert pid is not None
        return pid
    found = replicas_of(REPLICAS[part], started.folder)
    if not found:
        raise TailorbirdError(f"no replica of {REPLICAS[part]} runs", remedy="see the log of the cluster")
    return rng.choice(found)


def _wait_until_whole(settings: Settings, started: Started) -> None:
    """Wait until every application has all its replicas in the proxy's list, and the proxy runs."""
    from ray import serve

    deadline = time.monotonic() + WHOLE_SECONDS
    while time.monotonic() < deadline:
        states = [
            deployment
            for application in serve.status().applications.values()
            for deployment in application.deployments.values()
        ]
        if (
            states
            and all(state.status == "HEALTHY" for state in states)
            and started.proxy.replicas >= settings.replicas + settings.collect_replicas
            and all(
                len(replicas_of(application, started.folder)) >= count
                for application, count in (
                    ("recommend", settings.replicas),
                    ("collect", settings.collect_replicas),
                    ("admin", settings.admin_replicas),
                )
            )
        ):
            return
        time.sleep(0.2)
    raise TailorbirdError(
        f"the platform is not whole again after {WHOLE_SECONDS:.0f} s", remedy="see the log of the cluster"
    )


def compare(settings: Settings, tally: Tally) -> tuple[int, int]:
    """How many acknowledged events are missing from the log or the profiles, and how many count twice there."""
    from feature_repo.store import FeatureStoreRoom

    stored: Counter[str] = Counter()
    owners: Counter[str] = Counter()
    with open_events(settings) as log:
        position = BEGINNING
        while chunk := log.read(position):
            for entry in chunk.entries:
                if entry.record.message_id.startswith(f"{tally.prefix}-"):
                    stored[entry.record.message_id] += 1
                    owners[entry.record.user_key] += 1
            position = chunk.position
    room = FeatureStoreRoom(settings)
    keys = sorted(owners)
    deadline = time.monotonic() + 30.0
    while True:  # a profile that was delayed follows
        folded = {state.user_key: state.total for state in room.online_read(keys)}
        if all(folded[key] >= owners[key] for key in keys) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    lost = sum(stored[message] == 0 for message in tally.acknowledged)
    lost += sum(max(0, owners[key] - folded[key]) for key in keys)
    doubled = sum(count - 1 for count in stored.values())
    doubled += sum(max(0, folded[key] - owners[key]) for key in keys)
    return lost, doubled

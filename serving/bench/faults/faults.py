"""``tailorbird bench faults``: kills each part of the platform under load and counts what callers notice."""

import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import orjson
import psutil

from serving.bench.faults.broker import BrokerProcess, kill_broker_under_load
from serving.bench.faults.tally import Tally, compare
from serving.bench.harness.callers import Ask, Callers, longest_gap
from serving.bench.harness.machine import machine
from serving.bench.harness.world import shown_world
from serving.cluster import Started, free_ports
from serving.command import addresses, running
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings

REPLICAS = {"recommend": "recommend", "collect": "collect", "admin": "admin", "updater": "collect"}
"""Whose replicas hold each part: the updater is a thread of every collect replica."""
PARTS = ("recommend", "collect", "proxy", "admin", "updater")
BROKER = "broker"
CALLERS = 4
OPERATORS = 2
"""Who ask the admin application while it is killed."""
PAUSE_SECONDS = 0.005
BEFORE_SECONDS = 1.0
AFTER_SECONDS = 3.0
WHOLE_SECONDS = 120.0
"""How long the platform may take to be whole again before the next kill."""


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
    "--part",
    "parts",
    multiple=True,
    type=click.Choice([*PARTS, BROKER]),
    help="Only these parts.  [default: all]",
)
@click.option(
    "--broker", metavar="COMMAND", help="What runs the broker that TAILORBIRD_EVENTS names; it is killed too."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the world and of the choice of replica.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def faults(
    out: Path, kills: int, parts: tuple[str, ...], broker: str | None, seed: int, as_json: bool
) -> None:
    r"""Kill -9 one part after the other while people ask and act, and count what they notice.

    Eight callers without a pause: four ask for recommendations, four send batches of events and send a batch again until
    it is acknowledged; while admin is killed, two more ask it for the models. `failed` counts requests that got no answer or a 5xx, `longest_gap_s` is the longest time that one
    caller went without a good answer, `lost` and `doubled` compare what was acknowledged with the log and the profiles.
    The updater is a thread of the collect replicas: its row kills one of those while events are all the load there is.

    With --broker the command is started first; its storage must outlive it. Its row kills it and starts it again some seconds later.

    \b
    Examples:
        tailorbird bench faults --out build/bench
        tailorbird bench faults --out build/bench --kills 3 --part proxy --part collect
        tailorbird bench faults --out build/bench --part broker --broker "tansu broker …"
    """
    if BROKER in parts and not broker:
        raise UsageError("--part broker needs --broker", remedy="give the command that runs the broker")
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch,
        BrokerProcess(broker) as process,
    ):
        home = Path(scratch)
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0]
        )
        people = shown_world(settings, items=500, users=200, seed=seed)
        outcomes = []
        wanted = [part for part in PARTS if part in parts or not parts]
        broken = None
        total = (len(wanted) + (process.command is not None)) * kills
        with running(settings) as started, progress("Killing", total=total) as bar:
            if process.command is not None and (BROKER in parts or not parts):
                bar.update(description="killing the broker")
                broken = kill_broker_under_load(
                    settings,
                    process,
                    people=people,
                    kills=kills,
                    rng=random.Random(seed),
                    on_kill=bar.advance,
                )
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
    if broken is not None:
        (out / "broker.json").write_text(
            json.dumps({**asdict(broken), **machine()}, indent=2) + "\n", "utf-8"
        )
        table([asdict(broken)], title=f"The broker killed {kills} times, under load")
    rows = [asdict(outcome) for outcome in outcomes]
    (out / "faults.json").write_text(json.dumps({"parts": rows, **machine()}, indent=2) + "\n", "utf-8")
    if rows:
        table(rows, title=f"Killed {kills} times each, under load")
    say(f"wrote {out / 'faults.json'}")
    emit(
        {"parts": rows, "broker": asdict(broken) if broken else None}
        if as_json
        else {row["part"]: row["failed_per_kill"] for row in rows},
        as_json=as_json,
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

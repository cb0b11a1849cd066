"""The broker of the events under load: killed, away for some seconds, back again."""

import contextlib
import random
import shlex
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import orjson

from serving.bench.faults.tally import Tally, compare
from serving.bench.harness.callers import Ask, Call, Callers
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.served import base_url
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.kafka.address import KafkaAddress

CALLERS = 4
PAUSE_SECONDS = 0.02
BEFORE_SECONDS = 2.0
AWAY_SECONDS = 4.0
AFTER_SECONDS = 8.0
_UP_SECONDS = 30.0


class BrokerProcess:
    """Runs ``command`` while the block runs; does nothing without one."""

    def __init__(self, command: str | None) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self.command is not None:
            self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it listens where TAILORBIRD_EVENTS says."""
        host, port = _first_server(load_settings())
        self._process = subprocess.Popen(  # noqa: S603
            shlex.split(str(self.command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
                return
            time.sleep(0.02)
        self.kill()
        raise TailorbirdError(
            f"--broker {self.command!r}: nothing listens on {host}:{port}",
            remedy="let it listen on the first address of TAILORBIRD_EVENTS",
        )

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class BrokerOutcome:
    """What callers noticed of the kills, all together, and what became of their events.

    ``otherwise``: batches of events that were answered neither 202 nor 503 with Retry-After, by status; 0: no answer.
    ``normal_again_s``: from the broker's return until every caller's events are taken again, at the latest; the median of
    the kills beside it. ``slowest_s``: the longest time that a batch waited for its answer.
    """

    kills: int
    recommendations: int
    recommendations_failed: int
    batches: int
    refused: int
    otherwise: dict[int, int]
    normal_again_s: float
    normal_again_median_s: float
    slowest_s: float
    acknowledged: int
    lost: int
    doubled: int


def kill_broker_under_load(
    settings: Settings,
    broker: BrokerProcess,
    *,
    people: Sequence[str],
    kills: int,
    rng: random.Random,
    on_kill: Callable[[], object] = lambda: None,
) -> BrokerOutcome:
    """Kill the broker ``kills`` times while people ask and act; what they noticed."""
    tally = Tally(f"broker-{rng.randrange(10**9)}")
    base = base_url(settings)

    def wish(caller: int) -> Ask:
        return Ask("/v1/recommendations", orjson.dumps({"userId": rng.choice(people), "numResults": 10}))

    asking = Callers(base, count=CALLERS, ask=wish, pause_seconds=PAUSE_SECONDS)
    acting = Callers(base, count=CALLERS, ask=tally.ask, pause_seconds=PAUSE_SECONDS)
    back: list[float] = []
    with asking, acting:
        for _ in range(kills):
            time.sleep(BEFORE_SECONDS)
            broker.kill()
            time.sleep(AWAY_SECONDS)
            broker.start()
            back.append(time.monotonic())
            time.sleep(AFTER_SECONDS)
            on_kill()
    lost, doubled = compare(settings, tally)
    normal = sorted(_normal_after(instant, acting.calls) for instant in back)
    return BrokerOutcome(
        kills=kills,
        recommendations=len(asking.calls),
        recommendations_failed=sum(not call.good for call in asking.calls),
        batches=len(acting.calls),
        refused=sum(call.status == 503 for call in acting.calls),
        otherwise=_otherwise(acting.calls),
        normal_again_s=round(normal[-1], 2),
        normal_again_median_s=round(normal[len(normal) // 2], 2),
        slowest_s=round(max(call.ended - call.started for call in acting.calls), 2),
        acknowledged=len(tally.acknowledged),
        lost=lost,
        doubled=doubled,
    )


def _otherwise(calls: Sequence[Call]) -> dict[int, int]:
    """How many batches were answered neither 202 nor 503 with Retry-After, by status."""
    return dict(
        Counter(
            call.status for call in calls if call.status != 202 and not (call.status == 503 and call.later)
        )
    )


def _normal_after(instant: float, calls: Sequence[Call]) -> float:
    """Seconds until each caller got a good answer to a request that ended after ``instant``; infinite where one did not."""
    waits: dict[int, float] = {}
    for call in sorted(calls, key=lambda call: call.ended):
        if call.good and call.ended > instant:
            waits.setdefault(call.caller, call.ended - instant)
    return max(waits.values()) if len(waits) == len({call.caller for call in calls}) else float("inf")


def _first_server(settings: Settings) -> tuple[str, int]:
    if not settings.events.startswith("kafka:"):
        raise UsageError(
            f"--broker with TAILORBIRD_EVENTS={without_secret(settings.events)!r}",
            remedy="let it name the broker: kafka://127.0.0.1:PORT/",
        )
    host, _, port = KafkaAddress.parse(settings.events).servers.split(",")[0].rpartition(":")
    return host, int(port)

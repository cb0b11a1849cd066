"""``tailorbird bench redis``: kills or empties the Redis that keeps live profiles, under load, and counts what callers notice."""

import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import orjson

from serving.bench.faults.faults import CALLERS, PAUSE_SECONDS
from serving.bench.faults.tally import Tally, compare
from serving.bench.harness.callers import Ask, Callers, longest_gap
from serving.bench.harness.machine import machine
from serving.bench.harness.world import shown_world
from serving.cluster import free_ports
from serving.command import running
from tailorbird.errors import TailorbirdError
from tailorbird.features.profile.state import UserState
from tailorbird.plumbing.addresses import reaches
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.position import BEGINNING, Position

BEFORE_SECONDS = 1.0
AWAY_SECONDS = 1.0
"""How long a killed server stays away."""
WHOLE_SECONDS = 60.0
WHOLE_ANSWERS = 20
"""So many unmarked answers in a row mean that all is as before."""


@dataclass
class Server:
    """A Redis of the benchmark's own, which keeps nothing when it ends."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise TailorbirdError("there is no redis-server on the path", remedy="install Redis")
        command = [
            binary,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.process = subprocess.Popen(  # noqa: S603 - fixed words
            [*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while trouble := reaches("127.0.0.1", self.port, seconds=1.0):
            if self.process.poll() is not None:
                raise TailorbirdError(
                    f"redis-server did not start: {trouble}", remedy="start it by hand to see why"
                )
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def empty(self) -> None:
        """Have it forget everything."""
        import redis

        with redis.Redis(port=self.port) as client:
            client.flushall()


@dataclass(frozen=True)
class Outcome:
    """What callers noticed of one kind of trouble, all times together, and what became of their events."""

    trouble: str
    times: int
    requests: int
    failed: int
    longest_gap_s: float
    marked: int
    unmarked_without_profile: int
    normal_again_s: float
    normal_again_median_s: float
    acknowledged: int
    lost: int
    doubled: int


@click.command("redis")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for redis.json.")
@click.option("--times", default=10, show_default=True, type=click.IntRange(1), help="Times of each trouble.")
@click.option("--seed", default=7, show_default=True, help="Seed of the world and of who asks.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def redis(out: Path, times: int, seed: int, as_json: bool) -> None:
    r"""Kill -9 the Redis of live profiles, which comes back empty a second later; then have one forget everything.

    Four callers ask for recommendations of people with a history, four send events. `failed` counts requests without a good answer;
    `unmarked_without_profile` answers that do not say that the profile was not read (from the stored exposures);
    `normal_again_s` is the longest time from the trouble to answers with profiles; `lost` and `doubled` compare what was
    acknowledged with the log and the profiles. Needs `redis-server` on the path.

    \b
    Examples:
        tailorbird bench redis --out build/bench
        tailorbird bench redis --out build/bench --times 3 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home, (port, own) = Path(scratch), free_ports(2)
        server = Server(home, own)
        server.start()
        try:
            settings = load_settings(
                home=home / "home",
                mlruns=home / "mlruns",
                workspace="bench",
                port=port,
                online=f"redis://127.0.0.1:{own}/0",
            )
            people = shown_world(settings, items=500, users=200, seed=seed)
            with running(settings), progress("Troubling", total=2 * times) as bar:
                outcomes = [
                    trouble_under_load(
                        name,
                        settings,
                        act,
                        people=people,
                        times=times,
                        rng=random.Random(seed),
                        on_time=bar.advance,
                    )
                    for name, act in (("killed", lambda: _kill(server)), ("emptied", server.empty))
                ]
        finally:
            server.kill()
    rows = [asdict(outcome) for outcome in outcomes]
    (out / "redis.json").write_text(json.dumps({"troubles": rows, **machine()}, indent=2) + "\n", "utf-8")
    table(rows, title=f"Each {times} times, under load")
    say(f"wrote {out / 'redis.json'}")
    emit({"troubles": rows} if as_json else {row["trouble"]: row["failed"] for row in rows}, as_json=as_json)


def trouble_under_load(
    trouble: str,
    settings: Settings,
    act: Callable[[], object],
    *,
    people: Sequence[str],
    times: int,
    rng: random.Random,
    on_time: Callable[[], object] = lambda: None,
) -> Outcome:
    """Let ``act`` happen ``times`` times while callers ask and send; what they noticed."""
    tally = Tally(f"{trouble}-{rng.randrange(10**9)}")
    row: list[int] = [0]  # unmarked answers in a row

    def answered(status: int, body: bytes) -> None:
        whole = status == 200 and not orjson.loads(body)["partial"]
        row[0] = row[0] + 1 if whole else 0

    def wish(caller: int) -> Ask:
        body = {"userId": rng.choice(people), "numResults": 10}
        return Ask("/v1/recommendations", orjson.dumps(body), answered)

    base, since = base_url(settings), _end_of_exposures(settings)
    asking = Callers(base, count=CALLERS, ask=wish, pause_seconds=PAUSE_SECONDS)
    acting = Callers(base, count=CALLERS, ask=tally.ask, pause_seconds=PAUSE_SECONDS)
    took: list[float] = []
    with asking, acting:
        for _ in range(times):
            time.sleep(BEFORE_SECONDS)
            started = time.monotonic()
            act()
            time.sleep(0.2)  # answers on their way at the trouble are none of after it
            row[0] = 0
            while row[0] < WHOLE_ANSWERS:
                if time.monotonic() - started > WHOLE_SECONDS:
                    raise TailorbirdError(
                        f"answers are still marked after {WHOLE_SECONDS:.0f} s",
                        remedy="see the logs of the replicas",
                    )
                time.sleep(0.01)
            took.append(time.monotonic() - started)
            on_time()
    calls = [*asking.calls, *acting.calls]
    lost, doubled = compare(settings, tally)
    marked, silent = _marks(settings, since, people=set(people))
    return Outcome(
        trouble=trouble,
        times=times,
        requests=len(calls),
        failed=sum(not call.good for call in calls),
        longest_gap_s=round(max(longest_gap(asking.calls), longest_gap(acting.calls)), 2),
        marked=marked,
        unmarked_without_profile=silent,
        normal_again_s=round(max(took), 1),
        normal_again_median_s=round(sorted(took)[len(took) // 2], 1),
        acknowledged=len(tally.acknowledged),
        lost=lost,
        doubled=doubled,
    )


def _kill(server: Server) -> None:
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()


def _end_of_exposures(settings: Settings) -> Position:
    with open_exposures(settings) as exposures:
        return exposures.end()


def _marks(settings: Settings, since: Position, *, people: set[str]) -> tuple[int, int]:
    """Of the answers to people with a history: how many are marked, and how many lacked the profile and are not."""
    marked = silent = 0
    nobody = UserState.empty("").version
    time.sleep(1.0)  # what was shown last is stored by then
    names = Pseudonyms(open_keyring(settings).pseudonyms)
    known = {names.user(each) for each in people}
    with open_exposures(settings) as exposures:
        position = since or BEGINNING
        while chunk := exposures.read(position):
            for _, _, shown in chunk.entries:
                if shown.user_id in known:
                    marked += shown.partial
                    silent += shown.profile_version == nobody and not shown.partial
            position = chunk.position
    return marked, silent

"""``tailorbird bench machines``: machines that share nothing but engines, one of them lost again and again, under load."""

import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx
import orjson

from serving.bench.faults.door import Door
from serving.bench.faults.network import Machine, Network
from serving.bench.faults.tally import Tally, compare
from serving.bench.harness.callers import Ask, Callers, longest_gap
from serving.bench.harness.machine import machine as this_machine
from serving.bench.harness.world import shown_world
from serving.cluster import haproxy
from tailorbird.access.changes import Wish, add_key
from tailorbird.access.keys import ADMIN, COLLECT, RECOMMEND
from tailorbird.catalog.store import bring_catalog
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.environment import s3_endpoint
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.keys.master import encoded, master_file, write_privately
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.settings import Settings, load_settings

PORT = 8000
CALLERS = 4
PAUSE_SECONDS = 0.02
BEFORE_SECONDS = 3.0
AWAY_SECONDS = 10.0
READY_SECONDS = 240.0
NEEDED = {
    "events": "kafka://",
    "online": "redis",
    "tracking_uri": "",
    "storage": "s3://",
    "catalog": "postgresql://",
}
"""Settings that machines must share, and how their addresses begin."""


@dataclass(frozen=True)
class Outcome:
    """What callers noticed of the losses, all together, and what became of their events."""

    losses: int
    machines: int
    recommendations: int
    recommendations_failed: int
    batches: int
    batches_failed: int
    most_failed: int
    longest_gap_s: float
    acknowledged: int
    lost: int
    doubled: int
    whole_again_s: float


@click.command("machines")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for machines.json.")
@click.option(
    "--machines", "count", default=2, show_default=True, type=click.IntRange(2, 8), help="How many there are."
)
@click.option(
    "--losses", default=10, show_default=True, type=click.IntRange(1), help="How often one of them is lost."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the world and of the choice of machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def machines(out: Path, count: int, losses: int, seed: int, as_json: bool) -> None:
    r"""Lose one of several machines under load, and count what callers notice.

    The machines are network namespaces (this takes root) with addresses, disks and Ray of their own; they reach the
    engines of the settings and nothing else. Each runs `tailorbird serve`; deploy/haproxy.cfg is the door before them. A
    machine is lost as by a power cut: its link is down, its processes are gone, nobody is told. It comes back after ten
    seconds with the disk it had.

    \b
    Examples:
        export TAILORBIRD_EVENTS=kafka://127.0.0.1:9092/ TAILORBIRD_ONLINE=redis://127.0.0.1:6379/0
        export TAILORBIRD_STORAGE=s3://bucket TAILORBIRD_CATALOG=postgresql://127.0.0.1/shop
        export TAILORBIRD_TRACKING_URI=postgresql://127.0.0.1/mlflow
        tailorbird bench machines --out build/bench --losses 3
    """
    workspace = f"bench-{uuid.uuid4().hex[:8]}"
    require_shared(load_settings(workspace=workspace))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        master = folder / "master.key"
        write_privately(master, encoded(new_key()))
        settings = load_settings(
            home=folder / "home",
            mlruns=folder / "mlruns",
            workspace=workspace,
            port=PORT,
            master_key_file=str(master),
        )
        people = shown_world(settings, items=500, users=200, seed=seed)
        bring_catalog(settings)  # which makes it everybody's
        # Who listens beyond loopback starts with keys alone; callers get theirs later, which machines hear of.
        add_key(settings, Wish("operator", (ADMIN,)), now=time.time())
        network = stack.enter_context(
            Network(count, ports=engine_ports(settings), haproxy=haproxy(), folder=folder)
        )
        platform = Platform(settings, network, folder=folder)
        with progress("Starting machines", total=count) as bar:
            platform.start(network.machines)
            for machine in network.machines:
                platform.wait(machine)
                bar.advance()
        door = stack.enter_context(
            Door([f"{each.address}:{PORT}" for each in network.machines], binary=haproxy(), folder=folder)
        )
        with progress("Losing machines", total=losses) as bar:
            outcome = lose_under_load(
                platform, door.url, people=people, losses=losses, rng=random.Random(seed), on_loss=bar.advance
            )
        platform.stop()
    row = asdict(outcome)
    (out / "machines.json").write_text(json.dumps({**row, **this_machine()}, indent=2) + "\n", "utf-8")
    table([row], title=f"One of {count} machines lost {losses} times, under load")
    say(f"wrote {out / 'machines.json'}")
    emit(
        row if as_json else {"failed": outcome.recommendations_failed + outcome.batches_failed},
        as_json=as_json,
    )


class Platform:
    """`tailorbird serve` on every machine of a network, each with a home of its own."""

    def __init__(self, settings: Settings, network: Network, *, folder: Path) -> None:
        self.settings, self.network, self._folder = settings, network, folder

    def start(self, chosen: Sequence[Machine]) -> None:
        """Start it on these machines."""
        for machine in chosen:
            home = self._folder / machine.name
            home.mkdir(exist_ok=True)
            env = {
                "TAILORBIRD_HOME": str(home),
                "TAILORBIRD_MLRUNS": str(home / "mlruns"),
                "TAILORBIRD_REPLICAS": "1",
                "TAILORBIRD_COLLECT_REPLICAS": "1",
                "TAILORBIRD_ADMIN_REPLICAS": "1",
                "TAILORBIRD_KEYS": str(self.settings.keys_file),
                "TAILORBIRD_MASTER_KEY_FILE": str(master_file(self.settings)),  # everybody is called the same
                "TAILORBIRD_FORCE_PLAIN": "true",  # the network is one of this machine
                "TAILORBIRD_PLAIN_ENGINES": "true",
            }
            command = [sys.executable, "-m", "tailorbird", "serve", "--workspace", self.settings.workspace]
            self.network.start(
                machine,
                [*command, "--host", machine.address, "--port", str(PORT)],
                env=env,
                log=self._folder / f"{machine.name}.log",
            )

    def wait(self, machine: Machine) -> None:
        """Until it answers there, with a model."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"http://{machine.address}:{PORT}/health/ready", timeout=2.0)
                if answer.status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        said = (self._folder / f"{machine.name}.log").read_text("utf-8", "replace")
        raise TailorbirdError(f"{machine.name} does not answer: {said[-2_000:]}", remedy="see what it said")

    def stop(self) -> None:
        """End everything on every machine."""
        for machine in self.network.machines:
            self.network.lose(machine)


def lose_under_load(
    platform: Platform,
    base: str,
    *,
    people: Sequence[str],
    losses: int,
    rng: random.Random,
    on_loss: Callable[[], object] = lambda: None,
) -> Outcome:
    """Lose one machine after the other while people ask and act at ``base``; what they noticed."""
    _, key = add_key(platform.settings, Wish("bench", (COLLECT, RECOMMEND)), now=time.time())
    tally = Tally(f"machines-{rng.randrange(10**9)}")

    def wish(caller: int) -> Ask:
        return Ask("/v1/recommendations", orjson.dumps({"userId": rng.choice(people), "numResults": 10}))

    asking = Callers(base, count=CALLERS, ask=wish, pause_seconds=PAUSE_SECONDS, key=key)
    acting = Callers(base, count=CALLERS, ask=tally.ask, pause_seconds=PAUSE_SECONDS, key=key)
    at, whole = [], []
    with asking, acting:
        for _ in range(losses):
            time.sleep(BEFORE_SECONDS)
            machine = rng.choice(platform.network.machines)
            at.append(time.monotonic())
            platform.network.lose(machine)
            time.sleep(AWAY_SECONDS)
            platform.network.bring_back(machine)
            platform.start([machine])
            platform.wait(machine)
            whole.append(time.monotonic() - at[-1] - AWAY_SECONDS)
            time.sleep(BEFORE_SECONDS)
            on_loss()
    calls = [*asking.calls, *acting.calls]
    failed = sorted(call.ended for call in calls if not call.good)
    each = [
        sum(one <= ended < other for ended in failed)
        for one, other in zip(at, [*at[1:], float("inf")], strict=True)
    ]
    lost, doubled = compare(platform.settings, tally)
    return Outcome(
        losses=losses,
        machines=len(platform.network.machines),
        recommendations=len(asking.calls),
        recommendations_failed=sum(not call.good for call in asking.calls),
        batches=len(acting.calls),
        batches_failed=sum(not call.good for call in acting.calls),
        most_failed=max(each),
        longest_gap_s=round(max(longest_gap(asking.calls), longest_gap(acting.calls)), 2),
        acknowledged=len(tally.acknowledged),
        lost=lost,
        doubled=doubled,
        whole_again_s=round(max(whole), 1),
    )


def require_shared(settings: Settings) -> None:
    """Raise UsageError where a setting names nothing that several machines reach."""
    values = settings.model_dump()
    for name, begins in NEEDED.items():
        if (
            not values[name]
            or not str(values[name]).startswith(begins)
            or str(values[name]).startswith("sqlite")
        ):
            raise UsageError(
                f"TAILORBIRD_{name.upper()} names nothing that machines share",
                remedy="docs/guides/cluster.md says which engines several machines need",
            )


def engine_ports(settings: Settings) -> list[int]:
    """The ports of this machine at which the engines of the settings are.

    Raises:
        UsageError: an engine is on another machine, or its address names no port.
    """
    endpoint = s3_endpoint() or "https://amazon"
    found = []
    for address in (settings.events, settings.online, settings.tracking_uri, settings.catalog, endpoint):
        for server in urlsplit(address).netloc.rpartition("@")[2].split(","):
            host, _, port = server.partition(":")
            if host not in ("127.0.0.1", "localhost") or not port.isdigit():
                raise UsageError(
                    f"{server}: the machines of this measurement reach engines of this machine, by 127.0.0.1:PORT",
                    remedy="start the engines here and name their ports",
                )
            found.append(int(port))
    return found

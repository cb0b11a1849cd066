"""``tailorbird storefront``: a small shop on the platform that serves this workspace."""

import socket

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import say
from tailorbird.settings import load_settings


@click.command()
@click.option("--workspace", help="Workspace whose items are sold.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="HTTP port.  [default: TAILORBIRD_STOREFRONT_PORT or 8080]"
)
def storefront(workspace: str | None, port: int | None) -> None:
    r"""Open a small shop in which one sees one's own profile move.

    It sells what the workspace holds, asks the platform of `tailorbird serve` what fits its visitor, tells it by the browser
    SDK what they do, and shows beside the goods what the platform knows of them by now. On this machine only.

    \b
    Examples:
        tailorbird storefront
        tailorbird storefront --workspace movielens-1m --port 8090
    """
    import uvicorn

    from serving.storefront.app import build_storefront

    settings = load_settings(workspace=workspace, storefront_port=port)
    if not (settings.catalog_folder / "items.parquet").exists():
        raise UsageError(
            f"workspace {settings.workspace!r} has no catalogue in {settings.catalog_folder}",
            remedy="`tailorbird demo` fills one",
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.storefront_port))
        except OSError as error:
            raise UsageError(
                f"port {settings.storefront_port} is taken ({error.strerror})",
                remedy="choose another: --port, or TAILORBIRD_STOREFRONT_PORT",
            ) from error
    app = build_storefront(settings, platform=base_url(settings))
    say(f"the shop is open at http://127.0.0.1:{settings.storefront_port} (Ctrl-C closes it)")
    uvicorn.run(app, host="127.0.0.1", port=settings.storefront_port, log_level="warning")

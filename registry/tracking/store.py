"""Who keeps runs, versions and aliases: SQLite on this machine, a PostgreSQL database, or an MLflow server; and its lock."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.postgres import alone_in
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_client(settings: Settings) -> "MlflowClient":
    """Connect to the workspace's MLflow; in a database the schema is created by one process while others wait."""
    quiet_mlflow(embedded=settings.tracking != "server")
    from mlflow import MlflowClient

    if settings.tracking == "sqlite":
        settings.mlruns.mkdir(parents=True, exist_ok=True)
    with locked(settings):
        return MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the store's lock, so that one process at a time makes schemas, counts versions or moves aliases.

    SQLite is locked by a file on this machine, PostgreSQL by an advisory lock that holds for all machines. A server has none.

    Raises:
        PostgresAwayError: the database does not answer.
    """
    if settings.tracking == "server":
        yield
    elif settings.tracking == "postgresql":
        with alone_in(settings.tracking_uri, "registry"):
            yield
    else:
        with alone(settings.mlruns / ".tailorbird.lock"):
            yield


def artifact_location(settings: Settings) -> str | None:
    """Where new artifacts of the workspace go; None where a server decides it."""
    if settings.tracking == "server":
        return None
    return f"{settings.artifact_root}/{settings.model_name}"


def quiet_mlflow(*, embedded: bool) -> None:
    """Import MLflow, and its SQL store where it is ``embedded``, without its announcements: every table it makes, and its libraries' deprecations."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout belongs to the result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        if embedded:
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)

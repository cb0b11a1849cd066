"""A PostgreSQL for tests: TAILORBIRD_TEST_POSTGRES, or the one on this machine; each test has a database of its own."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from registry.tracking.store import open_client
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.postgres import connect
from tailorbird.settings import load_settings


@pytest.fixture(scope="session")
def postgres() -> str:
    """The address of a database from which others can be made."""
    address = os.environ.get("TAILORBIRD_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")
    try:
        connect(address).close()
    except TailorbirdError as error:
        pytest.skip(f"{error.what}; set TAILORBIRD_TEST_POSTGRES")
    return address


@contextmanager
def new_database(postgres: str, *, like: str = "template1") -> Iterator[str]:
    """Make a database and drop it afterwards; its address."""
    name = f"tailorbird_test_{uuid.uuid4().hex[:12]}"
    with closing(connect(postgres)) as connection:
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{like}"')
        try:
            yield f"{postgres.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """An empty database."""
    with new_database(postgres) as address:
        yield address


@pytest.fixture(scope="session")
def mlflow_template(postgres: str) -> Iterator[str]:
    """The name of a database with MLflow's schema and no rows; making it takes seconds, copying it none."""
    with new_database(postgres) as address:
        open_client(load_settings(tracking_uri=address))
        name = address.rpartition("/")[2]
        with closing(connect(postgres)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        yield name


@pytest.fixture
def mlflow_database(postgres: str, mlflow_template: str) -> Iterator[str]:
    """A database with MLflow's schema."""
    with new_database(postgres, like=mlflow_template) as address:
        yield address


@contextmanager
def database_away(address: str) -> Iterator[None]:
    """Have a database answer nobody while the block runs, and end those who are in it."""
    server, _, name = address.rpartition("/")
    with closing(connect(f"{server}/postgres")) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

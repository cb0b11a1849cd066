"""A machine that stops in the middle of telling the catalogue that it shares."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tailorbird.catalog.store import open_catalog
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError
from tests.catalog.shared.test_shared import NOON, machines, prices, told

__all__ = ["machines"]
pytestmark = pytest.mark.server
HOLDS_THE_ROW = """
import sys
from tailorbird.catalog.shared.shared import SharedCatalog
shared = SharedCatalog(sys.argv[1], workspace="shop", storage=sys.argv[2])
with shared._asked() as connection, connection.transaction():
    shared._state(connection, "FOR UPDATE")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def standing_still(machines: tuple[Settings, Settings]) -> Iterator[None]:
    """A process of another machine that has stopped in the middle of telling."""
    command = [sys.executable, "-c", HOLDS_THE_ROW, machines[0].catalog, machines[0].storage]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            os.kill(process.pid, signal.SIGSTOP)
            yield
        finally:
            process.kill()


@pytest.mark.usefixtures("standing_still")
def test_a_machine_that_stands_still_while_it_tells_holds_up_nobody_for_good(
    machines: tuple[Settings, Settings],
) -> None:
    deadline, sent = time.monotonic() + 120, False
    with closing(open_catalog(machines[1])) as store:
        while not sent:
            assert time.monotonic() < deadline
            try:
                sent = bool(store.put([told("cup", price=6.0)], now=NOON))
            except StreamAwayError:
                continue
    assert prices(machines[1]) == {"cup": 6.0}

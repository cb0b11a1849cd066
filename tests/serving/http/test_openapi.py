"""Whatever /openapi.json allows is answered as it says, and what it forbids is refused as it says (schemathesis)."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from serving.cluster import free_ports
from tailorbird.access.changes import Wish, add_key
from tailorbird.access.keys import ADMIN, COLLECT, RECOMMEND
from tests.proving import tries

ROOT = Path(__file__).parents[3]
SECONDS = tries(120, 1_200)
"""Shared by its phases: examples, coverage, fuzzing, and sequences of calls that use each other's answers."""


@pytest.mark.timeout(240 + 2 * SECONDS)
def test_the_description_and_the_platform_agree(make_world, tmp_path):
    world = make_world(
        body=4_000_000
    )  # a cursor one letter too long, each letter escaped twice, is a 422 and no 413
    token = add_key(world.settings, Wish("schemathesis", (COLLECT, RECOMMEND, ADMIN)), now=world.clock)[1]
    world.access.gate.ring._file._looked = float("-inf")  # at once, not within a second
    port = free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(world.front, port=port, log_level="error"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    checked = subprocess.run(
        [
            str(Path(sys.executable).with_name("st")),
            "--no-color",
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            f"--header=authorization: Bearer {token}",
            f"--max-time={SECONDS}",
            "--generation-database=none",
            "--seed=7",
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.serving.http.hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    server.should_exit = True
    running.join(10)
    assert checked.returncode == 0, checked.stdout[-20_000:]

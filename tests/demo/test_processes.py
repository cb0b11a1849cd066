"""What a demo starts ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tailorbird.demo.command import demo
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.served import noted
from tailorbird.settings import Settings, load_settings

DEMO = """
import sys, time
import tailorbird.demo.processes as processes
sys.executable = sys.argv[1]
with processes.children([("serve",)]) as started:
    print(started["serve"].pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent is gone")
def test_a_killed_demo_takes_its_children_along(tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o700)
    with subprocess.Popen(
        [sys.executable, "-c", DEMO, str(sleeper)], stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        child = psutil.Process(int(demo.stdout.readline()))
        assert child.is_running()
        os.kill(demo.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_demo_names_the_platform_that_serves_its_workspace(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILORBIRD_HOME", str(settings.home))
    shop = load_settings(home=settings.home)
    shop.folder.mkdir(parents=True)
    with noted(shop, folder="/tmp/tb-1", admin="http://127.0.0.1:8001"):
        result = CliRunner().invoke(demo)
    assert not (shop.folder / "serving.json").exists()
    assert isinstance(result.exception, TailorbirdError)
    assert f"kill -INT {os.getpid()}" in result.exception.remedy

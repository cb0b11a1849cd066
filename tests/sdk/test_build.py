"""What is committed is what the source builds: small, typed, without a dependency."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from serving.http.sdk import FILE

SDK = Path(__file__).resolve().parents[2] / "sdk" / "js"
MOST_BYTES = 5_000
"""Of the script as it is sent, packed."""


@pytest.fixture(scope="module")
def node() -> str:
    """Node, where the SDK's tools are installed."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node here")
    if not (SDK / "node_modules" / ".bin" / "tsc").exists():
        pytest.skip("the SDK's tools are not installed: run `npm ci` in sdk/js")
    return program


def run(*words: str) -> None:
    done = subprocess.run(words, cwd=SDK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_committed_files_are_what_the_source_builds(node: str, tmp_path: Path) -> None:
    run(node, "build.mjs", str(tmp_path))
    assert (tmp_path / "sdk.js").read_bytes() == FILE.read_bytes(), "run `npm run build` in sdk/js"
    built = files(tmp_path / "dist")
    assert {"tailorbird.mjs", "experiments.mjs", "types/index.d.ts", "types/experiments.d.ts"} <= set(built)
    assert built == files(SDK / "dist"), "run `npm run build` in sdk/js"


def test_types_hold(node: str) -> None:
    run("node_modules/.bin/tsc")


def test_the_unit_tests_pass(node: str) -> None:
    run(node, "test/run.mjs")


def test_the_script_is_small() -> None:
    assert len(gzip.compress(FILE.read_bytes(), 9)) <= MOST_BYTES
    assert len(gzip.compress((SDK / "dist" / "tailorbird.mjs").read_bytes(), 9)) <= MOST_BYTES
    assert len(gzip.compress((SDK / "dist" / "experiments.mjs").read_bytes(), 9)) <= MOST_BYTES // 2


def test_nothing_is_needed_at_run_time_and_no_host_is_named() -> None:
    assert "dependencies" not in json.loads((SDK / "package.json").read_text())
    lock = json.loads((SDK / "package-lock.json").read_text())
    assert all(package.get("dev") for name, package in lock["packages"].items() if name)
    assert "://" not in (SDK / "package-lock.json").read_text()
    assert "http" not in FILE.read_text().replace("https?", "")

"""The demo on other engines: they are named to make, asked first, and what does not answer ends it at once."""

import json
import os
import socket
import subprocess
from pathlib import Path

from click.testing import CliRunner

from tailorbird.cli import tailorbird
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SHOW = "include Makefile\nshow:\n\t@python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'\n"


def test_make_hands_engines_on_as_settings(tmp_path: Path) -> None:
    given = {
        "EVENTS": ("EVENTS", "kafka://one:9092,two:9092?compression=zstd&acks=all"),
        "ONLINE": ("ONLINE", "redis://one/0"),
        "MLFLOW": ("TRACKING_URI", "postgresql://me@db/mlflow"),
        "STUDIES": ("STUDIES", "postgresql://me@db/optuna"),
        "STORAGE": ("STORAGE", "s3://bucket/prefix"),
        "CATALOG": ("CATALOG", "postgresql://me@db/catalog"),
        "PEOPLE": ("PEOPLE", "postgresql://me@db/people"),
    }
    (tmp_path / "show.mk").write_text(SHOW)
    command = ["make", "--no-print-directory", "-f", str(tmp_path / "show.mk"), "show"]
    command += [f"{name}={value}" for name, (_, value) in given.items()]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    environment = json.loads(done.stdout)
    assert {setting.lower() for setting, _ in given.values()} <= set(Settings.model_fields)
    for setting, value in given.values():
        assert environment[f"TAILORBIRD_{setting}"] == value


def test_an_engine_that_is_away_ends_a_demo_before_it_begins(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # nobody listens
        env = {
            "TAILORBIRD_HOME": str(tmp_path),
            "TAILORBIRD_TRACKING_URI": f"postgresql://me:secret@127.0.0.1:{port}/mlflow",
        }
        done = CliRunner().invoke(tailorbird, ["demo", "--prepare-only"], env=env)
    assert isinstance(done.exception, TailorbirdError)
    assert "refused" in str(done.exception)
    assert "secret" not in str(done.exception)
    assert list(tmp_path.iterdir()) == []

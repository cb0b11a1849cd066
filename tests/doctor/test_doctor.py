"""The doctor names what is broken, in bounded time, and changes nothing."""

import getpass
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from tailorbird.doctor import sections
from tailorbird.doctor.command import doctor
from tailorbird.doctor.engines import check_engine
from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="test", port=free_port()
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def states(found: list[Finding]) -> dict[str, str]:
    return {finding.section: finding.state for finding in found}


def test_a_new_workspace_has_nothing_broken_and_stays_untouched(settings: Settings) -> None:
    found = sections.examine(settings, seconds=60)
    assert list(dict.fromkeys(finding.section for finding in found)) == list(sections.SECTIONS)
    assert states(found) | {"disk": ""} == dict.fromkeys(sections.SECTIONS, "ok") | {
        "workspace": "warning",
        "online store": "warning",
        "registry": "warning",
        "privacy": "ok",
        "disk": "",
    }
    assert [finding for finding in found if finding.state == "warning" and not finding.remedy] == []
    assert not settings.home.exists()
    assert not settings.mlruns.exists()


def test_a_damaged_database_and_servers_that_are_away_are_broken(settings: Settings) -> None:
    with open_events(settings):
        pass
    (settings.folder / "events.db").write_bytes(b"no database" * 1000)
    other = settings.model_copy(
        update={
            "tracking_uri": f"http://127.0.0.1:{free_port()}",
            "ray_address": f"ray://127.0.0.1:{free_port()}",
        }
    )
    found = sections.examine(other, seconds=60)
    broken = {finding.section: finding for finding in found if finding.state == "broken"}
    assert set(broken) == {"events", "registry", "ray"}
    assert all(finding.remedy for finding in broken.values())
    assert "refused" in broken["ray"].says


def test_a_port_that_somebody_else_has_is_broken(
    settings: Settings, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.health.ANSWER_SECONDS", 0.2)
    (finding,) = sections.imported(sections.SECTIONS["serving"])(settings.model_copy(update={"port": silent}))
    assert finding.state == "broken"
    assert "--port" in finding.remedy


def test_a_check_that_never_ends_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sections, "SECTIONS", {"never": f"{__name__}:never", "disk": sections.SECTIONS["disk"]}
    )
    began = time.monotonic()
    found = sections.examine(settings, seconds=0.3)
    ended.set()
    assert time.monotonic() - began < 60
    assert found[0].state == "broken"
    assert "0.3 s" in found[0].says
    assert {finding.section for finding in found[1:]} == {"disk"}


def test_loading_mlflow_is_no_part_of_the_time_that_a_server_has(settings: Settings, silent: int) -> None:
    script = f"""
import sys
from tailorbird.doctor.sections import examine
from tailorbird.settings import load_settings
given = load_settings(home={str(settings.home)!r}, tracking_uri="http://127.0.0.1:{silent}")
assert "mlflow" not in sys.modules
examine(given, seconds=0.1, sections=["registry"])
sys.exit("mlflow" not in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


ended = threading.Event()


def never(settings: Settings) -> list[Finding]:
    ended.wait(300)
    return []


def raising(settings: Settings) -> list[Finding]:
    raise ConnectionError("nobody there")


def test_an_engine_is_asked_by_its_scheme_and_an_unknown_one_is_named(settings: Settings) -> None:
    known = {"toy": f"{__name__}:raising"}
    with pytest.raises(ConnectionError):
        check_engine("events", "toy://host", settings, known=known)
    for address in ("tay://ann:secret@host", "host=db password=secret"):
        (finding,) = check_engine("events", address, settings, known=known)
        assert finding.state == "broken"
        assert "secret" not in finding.points_at + finding.says + finding.remedy
        assert "toy" in finding.remedy


def test_the_command_ends_with_1_where_something_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SECTIONS", {"events": f"{__name__}:raising"})
    done = CliRunner().invoke(doctor, ["--json"], standalone_mode=False)
    assert done.return_value == 1
    answer = json.loads(done.stdout)
    assert not answer["ok"]
    assert answer["findings"][0]["says"] == "ConnectionError: nobody there"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:secret@db:5432/mlflow", "postgresql://me:***@db:5432/mlflow"),
        ("redis://:secret@db/0", "redis://:***@db/0"),
        ("kafka://db:9092?sasl.password=secret", "kafka://db:9092"),
        ("postgresql://me:p@ss/secret@db:5432/mlflow", "postgresql://***@db:5432"),
        ("postgresql://me:p@ss@db/mlflow", "postgresql://***@db"),
        ("redis://me:a?secret=1@db:6379/0", "redis://***"),
        ("redis://me:a#secret@db:6379/0", "redis://***"),
        ("postgresql://db:5432/mlflow?password=p@secret", "postgresql://***"),
        ("postgresql://db/mlflow#secret", "postgresql://db/mlflow"),
        ("host=db password=secret", "***"),
        ("redis:secret@db", "***"),
        ("postgresql://me@db/mlflow", "postgresql://me@db/mlflow"),
        ("s3://bucket/me@work/x", "s3://bucket/me@work/x"),
        ("http://[::1]:5000/a", "http://[::1]:5000/a"),
        ("/data/a=b", "/data/a=b"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("sqlite", "sqlite"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert without_secret(address) == shown


def test_storage_that_answers_is_ok_and_a_bucket_that_is_not_there_broken(
    settings: Settings, storage: str
) -> None:
    check = sections.imported(sections.SECTIONS["storage"])
    (there,) = check(settings.model_copy(update={"storage": storage}))
    assert (there.state, there.says) == ("ok", "lists, takes and deletes objects")
    assert list(ObjectPath(storage).glob("*")) == []
    (away,) = check(settings.model_copy(update={"storage": "s3://no-such-bucket/x"}))
    assert away.state == "broken"
    assert "AWS_ENDPOINT_URL" in away.remedy


def test_postgres_is_told_with_its_version_and_without_its_password(
    settings: Settings, mlflow_database: str
) -> None:
    parts = urlsplit(mlflow_database)
    place = f"{parts.username or getpass.getuser()}:p4ssw0rd@{parts.netloc.rpartition('@')[2]}"
    address = parts._replace(netloc=place).geturl()
    both = settings.model_copy(update={"tracking_uri": address, "studies": f"{address}_nowhere"})
    found = sections.examine(both, seconds=60)
    told = {finding.section: finding for finding in found}
    assert told["registry"].state == "warning"
    assert told["registry"].says.startswith("PostgreSQL ")
    assert told["studies"].state == "broken"
    assert "p4ssw0rd" not in str([finding.to_dict() for finding in found])

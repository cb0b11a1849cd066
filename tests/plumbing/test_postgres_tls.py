"""A PostgreSQL with TLS of its own: it is believed by its certificate only, by our connections and by those of MLflow and Optuna."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tailorbird.plumbing.postgres import PostgresAwayError, connect, sqlalchemy_address
from tailorbird.settings import load_settings
from tests.certificates import Authority
from tests.redis_server import free_port

pytestmark = pytest.mark.server


def binaries() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where there are none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("no initdb: install PostgreSQL's server")
    return folders[-1]


class Cluster:
    """A database cluster in a folder of its own, owned by somebody who is not root: PostgreSQL refuses root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self._bin = folder, free_port(), binaries()
        self.owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._give(folder)
        self._run("initdb", "-D", "data", "-E", "UTF8", "-U", "tester", "--auth=trust", "--no-sync")
        (folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")

    def start(self, certificate: Path) -> None:
        """Listen on loopback, for TLS alone, with this certificate and key (one file)."""
        shown = self.folder / "shown.pem"
        shutil.copy(certificate, shown)
        shown.chmod(0o600)
        self._give(shown)
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        options += f" -c ssl=on -c ssl_cert_file={shown} -c ssl_key_file={shown}"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        more = {"user": self.owner.pw_uid, "group": self.owner.pw_gid} if self.owner else {}
        done = subprocess.run(
            [self._bin / program, *words],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            **more,
        )
        assert done.returncode == 0, done.stderr.decode()

    def _give(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if os.geteuid() == 0 and "postgres" not in {each.pw_name for each in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory(prefix="tb-pg-") as folder:  # its owner must reach it
        yield Cluster(Path(folder))


@pytest.fixture
def serving(cluster: Cluster) -> Iterator[Callable[[Path], Cluster]]:
    started = False

    def start(certificate: Path) -> Cluster:
        nonlocal started
        cluster.start(certificate)
        started = True
        return cluster

    yield start
    if started:
        cluster.stop()


@pytest.mark.parametrize(
    ("case", "remedy"),
    [
        ("good", ""),
        ("other authority", "TAILORBIRD_TLS_CA"),
        ("other host", "name the host as its certificate does"),
        ("expired", "in date"),
    ],
)
def test_a_database_is_believed_by_its_certificate_only(
    serving: Callable[[Path], Cluster], tmp_path: Path, case: str, remedy: str
) -> None:
    import sqlalchemy

    ours, other = Authority.make(tmp_path, "ours"), Authority.make(tmp_path, "other")
    host = "elsewhere.example" if case == "other host" else "127.0.0.1"
    found = serving(ours.sign(tmp_path, host=host, ends_in_days=-1 if case == "expired" else 5))
    ca = other.file if case == "other authority" else ours.file
    # On loopback it must be asked for; beyond it is asked for by itself (test_encryption.py).
    address = f"postgresql://tester@127.0.0.1:{found.port}/postgres?sslmode=verify-full"
    chosen = load_settings(studies=address, tracking_uri=address, tls_ca=str(ca))
    engine = sqlalchemy.create_engine(sqlalchemy_address(chosen.tracking_uri))
    if case == "good":
        with closing(connect(chosen.studies)) as connection:
            question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.execute(question).fetchone() == (True,)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
        engine.dispose()
        return
    with pytest.raises(PostgresAwayError) as refused:
        connect(chosen.studies)
    assert remedy in refused.value.remedy, refused.value
    with pytest.raises(sqlalchemy.exc.OperationalError, match="certificate"):
        engine.connect()

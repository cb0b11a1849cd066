"""The door speaks TLS: callers who check it are let in by the right certificate alone, and a renewed one is shown at once."""

import datetime as dt
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from cryptography import x509
from tailorbird_client import Client, UnavailableError

from tailorbird.access.certificate import certificate_of, known_by_its_certificate
from tailorbird.settings import Settings, load_settings
from tests.certificates import Authority
from tests.serving.proxy.test_keeper import Door, Replica

ANSWER = {
    "recommendationId": "r1",
    "items": [{"itemId": "i1", "score": 1.0, "sources": [], "reasons": []}],
    "model": {"name": "toy", "version": "1"},
    "arm": "champion",
    "experiments": [],
    "fallback": None,
    "partial": False,
    "tookMs": 1.0,
}
Make = Callable[..., tuple[Door, Settings]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path, "ours")


@pytest.fixture
def make_door(tmp_path: Path) -> Iterator[Make]:
    """Opens the door with a certificate whose key is in the same file, or ``apart`` in one of its own."""
    made: list[Door] = []

    def make(both: Path, *, apart: bool = False) -> tuple[Door, Settings]:
        chain = tmp_path / "chain.pem"
        shutil.copy(both, chain)
        key = split(chain) if apart else ""
        settings = load_settings(home=tmp_path, tls_cert=str(chain), tls_key=str(key))
        made.append(Door(tmp_path, certificate=certificate_of(settings)))
        made[-1].lead_to(Replica(orjson.dumps(ANSWER).decode()))
        return made[-1], settings

    yield make
    for door in made:
        door.keeper.close()


def split(both: Path) -> Path:
    """Move the key of a file of both into one beside it."""
    text = both.read_text()
    start = text.index("-----BEGIN PRIVATE KEY-----")
    key = both.with_suffix(".key")
    key.write_text(text[start:])
    both.write_text(text[:start])
    return key


def status(door: Door, verify: ssl.SSLContext | bool) -> int:
    """How the door answers somebody who checks it so, once it is open."""
    deadline = time.monotonic() + 20
    while True:
        try:
            url = f"https://127.0.0.1:{door.port}/v1/recommendations"
            return httpx.get(url, verify=verify, timeout=20).status_code
        except httpx.ConnectError as error:
            if "certificate" in str(error).lower() or time.monotonic() > deadline:
                raise
        except httpx.TransportError:
            assert time.monotonic() < deadline
        time.sleep(0.05)


def believing(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


@pytest.mark.parametrize("apart", [False, True], ids=["one file", "two files"])
def test_callers_who_know_the_authority_are_answered(
    make_door: Make, authority: Authority, tmp_path: Path, apart: bool
) -> None:
    door, settings = make_door(authority.sign(tmp_path, host="127.0.0.1"), apart=apart)
    assert status(door, believing(authority)) == 200
    assert status(door, known_by_its_certificate(settings)) == 200
    with Client(f"https://127.0.0.1:{door.port}", ca=authority.file, timeout=10, deadline=10) as shop:
        assert shop.recommend(user_id="ann").item_ids == ["i1"]
    with pytest.raises(OSError, match=r"."):
        door.ask()  # no TLS
    old = ssl.create_default_context(cafile=authority.file)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"https://127.0.0.1:{door.port}/", verify=old)


@pytest.mark.parametrize("case", ["other authority", "other host", "expired"])
def test_callers_refuse_a_door_that_is_not_the_one_they_know(
    make_door: Make, authority: Authority, tmp_path: Path, case: str
) -> None:
    host = "elsewhere.example" if case == "other host" else "127.0.0.1"
    door, settings = make_door(
        authority.sign(tmp_path, host=host, ends_in_days=-1 if case == "expired" else 5)
    )
    known = Authority.make(tmp_path, "other") if case == "other authority" else authority
    assert status(door, known_by_its_certificate(settings)) == 200  # this machine knows its own door
    with pytest.raises(httpx.ConnectError, match="certificate"):
        status(door, believing(known))
    with (
        Client(f"https://127.0.0.1:{door.port}", ca=known.file, retries=0) as shop,
        pytest.raises(UnavailableError, match="certificate"),
    ):
        shop.recommend(user_id="ann")


def test_this_machine_believes_nobody_who_shows_another_certificate(
    make_door: Make, authority: Authority, tmp_path: Path
) -> None:
    door, settings = make_door(authority.sign(tmp_path, host="127.0.0.1"))
    assert status(door, known_by_its_certificate(settings)) == 200
    shutil.copy(authority.sign(tmp_path, host="127.0.0.1"), other := tmp_path / "another.pem")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        status(door, known_by_its_certificate(load_settings(tls_cert=str(other))))


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_never(
    make_door: Make, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    door, _ = make_door(authority.sign(tmp_path, host="127.0.0.1", ends_in_days=1))
    assert status(door, believing(authority)) == 200
    shown = tmp_path / "chain.pem"
    staged = tmp_path / "renewed.pem"
    staged.write_text("this is no certificate")
    staged.replace(shown)
    deadline = time.monotonic() + 20
    while "HAProxy refuses its configuration" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ends_in_days(door) == 0
    shutil.copy(authority.sign(tmp_path, host="127.0.0.1", ends_in_days=8), staged)
    staged.replace(shown)
    deadline = time.monotonic() + 20
    while ends_in_days(door) != 7:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status(door, believing(authority)) == 200


def ends_in_days(door: Door) -> int:
    shown = ssl.get_server_certificate(("127.0.0.1", door.port), timeout=20)
    left = x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc - dt.datetime.now(dt.UTC)
    return left.days


def test_a_caller_who_never_shakes_hands_is_let_go(
    make_door: Make, authority: Authority, tmp_path: Path
) -> None:
    door, _ = make_door(authority.sign(tmp_path, host="127.0.0.1"))
    assert status(door, believing(authority)) == 200
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as caller:
        assert caller.recv(1) == b""

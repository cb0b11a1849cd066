"""Writing something down: people are named by hashes of the workspace's own, and nothing is done that could not be written."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tailorbird.access.changes import Wish, add_key, revoke_key, rotate_key
from tailorbird.access.file import read_keys
from tailorbird.audit import record
from tailorbird.audit.log import AuditAwayError
from tailorbird.audit.record import (
    AUDIT_FILE,
    KEY_FILE,
    READ_PROFILE,
    at_this_terminal,
    caller,
    hash_of,
    log_of,
)
from tailorbird.audit.verify import verify
from tailorbird.settings import Settings, load_settings

NOW = 1_700_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, workspace="shop")


def test_a_person_is_named_by_a_hash_that_the_workspace_alone_connects(settings: Settings, tmp_path: Path):
    entry = record(
        settings, who=caller("abc"), what=READ_PROFILE, person="user:ann@example.com", clock=lambda: NOW
    )
    assert (entry.number, entry.who, entry.what, entry.at) == (
        1,
        "key:abc",
        "profile.read",
        "2023-11-14T22:13:20.000+00:00",
    )
    assert (
        entry.whom == hash_of(settings, "user:ann@example.com") != hash_of(settings, "anon:ann@example.com")
    )
    elsewhere = load_settings(home=tmp_path / "other", workspace="shop")
    assert hash_of(elsewhere, "user:ann@example.com") != entry.whom
    kept = b"".join(path.read_bytes() for path in settings.folder.iterdir())
    assert b"ann" not in kept
    for name in (AUDIT_FILE, KEY_FILE):
        assert stat.S_IMODE((settings.folder / name).stat().st_mode) == 0o600
    assert caller("") == "local"


def test_many_who_come_first_agree_on_one_secret(settings: Settings):
    with ThreadPoolExecutor(8) as workers:
        found = set(workers.map(lambda _: hash_of(settings, "user:u1"), range(64)))
    assert len(found) == 1
    assert [path.name for path in settings.folder.iterdir()] == [KEY_FILE]


def test_what_is_done_to_keys_is_written_down(settings: Settings):
    key, _ = add_key(settings, Wish("ann", ("admin",)), now=NOW)
    rotate_key(settings, key.id, now=NOW, overlap_seconds=60)
    revoke_key(settings, key.id, now=NOW)
    entries = list(log_of(settings).entries())
    assert [entry.what for entry in entries] == ["key.new", "key.rotate", "key.revoke"]
    assert {(entry.who, entry.whom) for entry in entries} == {(at_this_terminal(), key.id)}
    assert entries[0].plain()["detail"] == {"expires": None, "name": "ann", "scopes": ["admin"]}
    assert verify(entries)[1] == []


def test_no_key_is_made_that_could_not_be_written_down(settings: Settings):
    settings.folder.mkdir(parents=True)
    (settings.folder / AUDIT_FILE).write_bytes(b"this is no database" * 1_000)
    with pytest.raises(AuditAwayError):
        add_key(settings, Wish("ann", ("admin",)), now=NOW)
    assert read_keys(settings.keys_file) is None

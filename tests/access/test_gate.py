"""The gate: which call of which key is let in, and how often; counts are one for all processes."""

import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tailorbird.access.counts import PROBES, SLOTS, SharedCounts
from tailorbird.access.file import change_keys
from tailorbird.access.gate import Gate, NotAdmittedError
from tailorbird.access.keys import Key, Secret, digest_of, new_token, token_with
from tailorbird.access.ring import KeyRing

NOW = 1_700_000_000.0
SHOP = "https://shop.example"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Door:
    """A gate over one key, and its clock."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.clock, (identity, self.token) = Clock(), new_token()
        self.key = Key(
            **{
                "id": identity,
                "name": "n",
                "scopes": frozenset({"collect"}),
                "secrets": (Secret(digest_of(self.token.encode(), workspace="shop").hex()),),
                "created": NOW,
                **more,
            }
        )
        change_keys(folder / "keys.json", lambda known: [self.key])
        ring = KeyRing(folder / "keys.json", workspace="shop", closed=True, clock=self.clock)
        assert ring.closed
        counts = SharedCounts(folder / "counts.bin", clock=self.clock)
        self.gate = Gate(ring, counts, clock=self.clock)

    def ask(self, token: str | None = None, needs: frozenset[str] = frozenset(), **shown: object) -> str:
        """The slug of the refusal, or the id of the key."""
        given = (self.token if token is None else token).encode()
        try:
            return self.gate.admit(given, needs=needs, **shown)
        except NotAdmittedError as error:
            self.refusal = error
            return error.slug


def test_the_right_key_opens_its_doors_alone(tmp_path: Path):
    door = Door(tmp_path)
    assert door.ask() == door.ask(needs=frozenset({"collect", "admin"})) == door.key.id
    assert door.ask(needs=frozenset({"admin"})) == "scope-missing"
    assert door.refusal.kind == "forbidden"
    for wrong in ("", "x", token_with(door.key.id), new_token()[1]):
        assert door.ask(wrong) == ("key-unknown" if wrong else "key-missing")
        assert door.refusal.kind == "unknown"


@pytest.mark.parametrize("ended", ["expires", "revoked"])
def test_a_key_ends_at_its_instant(tmp_path: Path, ended: str):
    door = Door(tmp_path, **{ended: NOW + 10})
    assert door.ask() == door.key.id
    door.clock.now = NOW + 10
    assert door.ask() == {"expires": "key-expired", "revoked": "key-revoked"}[ended]


@pytest.mark.parametrize("gone", [True, False])
def test_a_key_that_was_used_is_refused_once_it_is_revoked_or_gone(tmp_path: Path, gone: bool):
    door = Door(tmp_path)
    assert door.ask() == door.key.id
    change_keys(tmp_path / "keys.json", lambda known: [] if gone else [replace(door.key, revoked=NOW)])
    door.clock.now = NOW + 1
    assert door.gate.ring.closed  # it looks
    assert door.ask() == ("key-unknown" if gone else "key-revoked")


def test_while_a_rotation_overlaps_both_tokens_open(tmp_path: Path):
    door = Door(tmp_path)
    new = token_with(door.key.id)
    turned = door.key.rotated(digest_of(new.encode(), workspace="shop").hex(), now=NOW, overlap_seconds=60)
    change_keys(tmp_path / "keys.json", lambda known: [turned])
    door.clock.now = NOW + 59
    assert door.gate.ring.closed
    assert door.ask() == door.ask(new) == door.key.id
    door.clock.now = NOW + 60
    assert door.ask() == "key-expired"
    assert door.ask(new) == door.key.id


def test_a_public_key_is_for_its_pages_and_may_stand_in_an_address(tmp_path: Path):
    door = Door(tmp_path, origins=(SHOP,))
    assert door.ask(origin=SHOP, in_address=True) == door.key.id
    assert door.ask(origin="https://evil.example") == "origin-not-of-key"
    assert door.ask(origin="https://evil.example", reads=True) == "origin-not-of-key"
    assert door.ask() == "origin-not-of-key"
    assert door.ask(reads=True) == door.key.id


def test_a_secret_key_in_an_address_is_refused(tmp_path: Path):
    assert Door(tmp_path).ask(in_address=True) == "key-in-address"


def test_calls_are_counted_a_window_and_told_when_to_come_again(tmp_path: Path):
    door = Door(tmp_path, limits=("3/minute", "5/day"))
    assert [door.ask() for _ in range(4)] == [door.key.id] * 3 + ["too-often"]
    assert (door.refusal.kind, door.refusal.after_seconds) == ("too-often", 60)
    door.clock.now += 60
    assert [door.ask() for _ in range(3)] == [door.key.id] * 2 + ["too-often"]
    assert door.refusal.after_seconds == 86_400 - 60
    assert "5 times in a day" in str(door.refusal)


def test_what_is_refused_for_its_scope_is_not_counted(tmp_path: Path):
    door = Door(tmp_path, limits=("1/day",))
    assert door.ask(needs=frozenset({"admin"})) == "scope-missing"
    assert door.ask() == door.key.id


def count_often(path: str, times: int, together: Barrier) -> None:
    counts = SharedCounts(Path(path))
    together.wait()
    for _ in range(times):
        counts.incr("k", 3600)


def test_processes_count_together_and_a_restart_forgets_nothing(tmp_path: Path):
    path = tmp_path / "counts.bin"
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    workers = [context.Process(target=count_often, args=(str(path), 20_000, together)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert SharedCounts(path).get("k") == 60_000


def test_counts_of_many_names_stay_apart(tmp_path: Path):
    clock = Clock()
    counts = SharedCounts(tmp_path / "counts.bin", clock=clock)
    names = [f"name {number}" for number in range(SLOTS // 4)]
    for name in names:
        counts.incr(name, 60)
    assert {counts.incr(name, 60) for name in names} == {2}
    counts.clear(names[0])
    assert (counts.get(names[0]), counts.get(names[1])) == (0, 2)
    clock.now += 60
    assert {counts.get(name) for name in names} == {0}
    assert counts.incr(names[0], 60) == 1
    assert counts.get_expiry(names[0]) == clock.now + 60
    counts.reset()
    assert counts.get(names[0]) == 0
    assert PROBES < SLOTS

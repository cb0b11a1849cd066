"""The file of keys: whole or as before, for its owner alone, changed by many at once; followed without opening a door."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tailorbird.access.file import change_keys, read_keys
from tailorbird.access.keys import Key, Secret
from tailorbird.access.ring import KeyRing
from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LOOK_SECONDS


def key(number: int, **more: object) -> Key:
    return Key(
        **{
            "id": f"{number:016x}",
            "name": f"key {number}",
            "scopes": frozenset({"collect", "recommend"}),
            "secrets": (Secret("a" * 64), Secret("b" * 64, 7.5)),
            "created": 1.25,
            **more,
        }
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_written_is_read_and_nobody_else_may(tmp_path: Path):
    path = tmp_path / "made" / "keys.json"
    assert read_keys(path) is None
    full = key(2, expires=9.0, revoked=8.0, origins=("https://shop.example",), limits=("5/second",))
    change_keys(path, lambda known: [*known, key(1), full])
    assert read_keys(path) == (key(1), full)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_many_at_once_every_change_stays(tmp_path: Path):
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda n: change_keys(path, lambda known: [*known, key(n)]), range(40)))
    assert {each.id for each in read_keys(path) or ()} == {key(n).id for n in range(40)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON"),
        ('{"version": 2, "keys": []}', "version"),
        ('{"version": 1, "keys": [], "more": 1}', "more"),
        ('{"version": 1, "keys": [{"id": "x"}]}', "keys.0.id"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, text: str, said: str):
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_keys(path)
    with pytest.raises(UsageError):
        change_keys(path, lambda known: [*known, key(1)])
    assert path.read_text() == text


def test_a_scope_that_somebody_wrote_by_hand_is_no_scope(tmp_path: Path):
    path = tmp_path / "keys.json"
    change_keys(path, lambda known: [key(1)])
    path.write_text(path.read_text().replace('"collect"', '"everything"'))
    with pytest.raises(UsageError, match="everything"):
        read_keys(path)


def test_a_ring_follows_its_file_and_never_opens_by_itself(tmp_path: Path):
    path, clock = tmp_path / "keys.json", Clock()
    ring = KeyRing(path, workspace="shop", closed=False, clock=clock)
    assert (ring.closed, ring.trouble) == (False, "")
    change_keys(path, lambda known: [key(1)])
    assert not ring.closed  # it looks once a second
    clock.now += LOOK_SECONDS
    assert ring.closed
    assert ring.get(key(1).id) == key(1)

    content = path.read_text()
    path.write_text("damaged")
    clock.now += LOOK_SECONDS
    assert ring.closed
    assert "damaged" not in ring.trouble
    assert "cannot be read" in ring.trouble
    assert ring.get(key(1).id) == key(1)

    path.write_text(content)
    clock.now += LOOK_SECONDS
    assert (ring.closed, ring.trouble) == (True, "")

    path.unlink()
    clock.now += LOOK_SECONDS
    assert ring.closed
    assert ring.get(key(1).id) is None


def test_what_is_damaged_from_the_beginning_lets_nobody_in(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text("damaged")
    ring = KeyRing(path, workspace="shop", closed=False, clock=Clock())
    assert ring.closed
    assert ring.trouble


def test_beyond_this_machine_doors_are_closed_without_a_file(tmp_path: Path):
    assert KeyRing(tmp_path / "keys.json", workspace="shop", closed=True, clock=Clock()).closed

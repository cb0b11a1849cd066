"""Lines by person come back to whoever has the keys, in the order of the files; without a key they are counted."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.backup import sealed
from tailorbird.backup.sealed import NOBODY, Ciphers, Gatherer, Written, parts, read_sealed


def having(keys: Mapping[str, Sequence[AESGCM]]) -> Ciphers:
    return lambda people: {person: keys[person] for person in people if person in keys}


def key() -> AESGCM:
    return AESGCM(AESGCM.generate_key(bit_length=256))


def lines_of(folder: Path, ciphers: Ciphers, *, name: str = "events") -> tuple[list[bytes], int]:
    opened = [read_sealed(path, name=name, ciphers=ciphers) for path in parts(folder)]
    return [line for each in opened for line in each.lines], sum(each.gone for each in opened)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, list[AESGCM]]]:
    monkeypatch.setattr(sealed, "ROWS", 7)
    keys = {person: [key()] for person in ("ann", "bob", NOBODY)}
    gatherer = Gatherer(tmp_path / "events", name="events", ciphers=having(keys))
    for number in range(20):
        gatherer.add(("ann", "bob", NOBODY, "eve")[number % 4], b"line %d" % number)
    gatherer.flush()
    assert gatherer.written == Written(15, 5)
    assert len(list(parts(tmp_path / "events"))) == 3
    return tmp_path / "events", keys


def test_everything_of_whoever_has_a_key_comes_back(written) -> None:
    folder, keys = written
    lines, gone = lines_of(folder, having(keys))
    assert sorted(lines) == sorted(b"line %d" % number for number in range(20) if number % 4 < 3)
    assert gone == 0
    assert not any(b"line" in path.read_bytes() for path in parts(folder))


@pytest.mark.parametrize("left", [(), (key(),)], ids=["destroyed", "a new one"])
def test_without_the_key_it_is_gone(written, left: tuple[AESGCM, ...]) -> None:
    folder, keys = written
    lines, gone = lines_of(folder, having({**keys, "ann": left} if left else {"bob": keys["bob"]}))
    assert gone == (5 if left else 10)
    assert b"line 0" not in lines
    assert b"line 1" in lines


def test_any_of_several_keys_opens(written) -> None:
    folder, keys = written
    lines, gone = lines_of(folder, having({**keys, "ann": [key(), *keys["ann"]]}))
    assert (len(lines), gone) == (15, 0)


def test_one_persons_records_do_not_open_as_anothers_nor_as_of_another_kind(written) -> None:
    folder, keys = written

    def swapped(people: Collection[str]) -> Mapping[str, Sequence[AESGCM]]:
        return {"ann": keys["bob"], "bob": keys["ann"]}

    assert lines_of(folder, swapped) == ([], 15)
    assert lines_of(folder, having(keys), name="users") == ([], 15)


def test_bytes_that_any_value_may_hold_come_back(tmp_path: Path) -> None:
    keys = {"ann": [key()]}
    gatherer = Gatherer(tmp_path / "x", name="x", ciphers=having(keys))
    lines = [os.urandom(50).replace(b"\n", b"?") for _ in range(100)] + [b""]
    for line in lines:
        gatherer.add("ann", line)
    gatherer.flush()
    assert lines_of(tmp_path / "x", having(keys), name="x") == (lines, 0)

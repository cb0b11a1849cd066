"""Exports on the shelf: whole or not at all, nobody's in the way of another's, gone after their time and after a kill."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tailorbird.privacy.export.shelf import KEPT_SECONDS, ExportShelf, ExportsPlace

ANN, BEN = "user:ann", "user:ben"


class Clock:
    """Epoch seconds that a test sets."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(tmp_path: Path, clock: Clock) -> ExportShelf:
    return ExportShelf(tmp_path, clock=clock)


def saying(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def killed_while_writing(shelf: ExportShelf, person: str) -> None:
    """A process that ends in the middle of an export, as by ``kill -9``."""

    def half(path: Path) -> None:
        path.write_text("half of a life")
        os._exit(9)

    child = os.fork()
    if not child:
        shelf.put(person, form="json", write=half)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def held(shelf: ExportShelf) -> list[str]:
    return [path.name for path in shelf.folder.iterdir() if path.suffix != ".lock"]


def test_two_people_are_exported_at_the_same_time(shelf: ExportShelf) -> None:
    made: list[Path] = []

    def meanwhile(path: Path) -> None:
        made.append(shelf.put(BEN, form="json", write=saying("ben")))
        assert shelf.newest(BEN, form="json") == made[0]
        assert shelf.newest(ANN, form="json") is None  # not before it is whole
        path.write_text("ann")

    assert shelf.put(ANN, form="json", write=meanwhile).read_text() == "ann"
    assert made[0].read_text() == "ben"


def test_what_a_killed_export_left_is_nobodys_trouble_and_goes_with_the_person(
    shelf: ExportShelf, tmp_path: Path
) -> None:
    killed_while_writing(shelf, ANN)
    assert len(held(shelf)) == 1
    assert shelf.newest(ANN, form="json") is None
    assert shelf.put(BEN, form="json", write=saying("ben")).exists()
    place = ExportsPlace(tmp_path)
    assert place.count([ANN]) == {ANN: 1}
    place.erase([ANN])
    assert place.verify([ANN]) == {}
    assert len(held(shelf)) == 1


def test_what_a_killed_export_left_goes_with_the_next_and_after_its_time(
    shelf: ExportShelf, clock: Clock
) -> None:
    killed_while_writing(shelf, ANN)
    made = shelf.put(ANN, form="json", write=saying("whole"))
    assert held(shelf) == [made.name]
    killed_while_writing(shelf, BEN)
    clock.now += KEPT_SECONDS + 1
    shelf.sweep()
    assert held(shelf) == []


def test_an_export_that_failed_leaves_nothing(shelf: ExportShelf) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        shelf.put(ANN, form="json", write=fail)
    assert held(shelf) == []


def test_locks_do_not_grow_with_people(shelf: ExportShelf) -> None:
    for number in range(600):
        shelf.put(f"user:{number}", form="json", write=saying(""))
    assert len(list(shelf.folder.glob(".*.lock"))) <= 256

"""A file on its way to admin lies there while it is read, and is no other upload's to delete."""

import os
from pathlib import Path

import pytest

from serving.admin.catalogue.arriving import arriving, sweep


def lying(folder: Path) -> list[str]:
    return [path.suffix for path in folder.iterdir()]


def test_it_lies_there_for_its_owner_while_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with arriving(folder, suffix=".csv") as file:
        file.write(b"user_id\nann\n")
        file.flush()
        assert Path(file.name).stat().st_mode & 0o777 == 0o600
        sweep(folder)
        with arriving(folder, suffix=".jsonl"):
            assert sorted(lying(folder)) == [".csv", ".jsonl"]
        assert Path(file.name).read_bytes() == b"user_id\nann\n"
    assert lying(folder) == []


def test_it_goes_where_it_could_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="damaged"), arriving(tmp_path, suffix=".csv"):
        raise ValueError("damaged")
    assert lying(tmp_path) == []


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    for _ in range(2):
        child = os.fork()
        if not child:
            with arriving(tmp_path, suffix=".csv") as file:
                file.write(b"ann")
                file.flush()
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert lying(tmp_path) == [".csv"]
    sweep(tmp_path)
    assert lying(tmp_path) == []

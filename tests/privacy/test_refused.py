"""Refused rows of a person: found and erased also where nothing of theirs was ever accepted, and not kept once more."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailorbird.audit.record import READ_QUARANTINE, log_of
from tailorbird.catalog.store import open_catalog
from tailorbird.ingest.command import ingest
from tailorbird.ingest.quarantine import read_quarantine, write_quarantine
from tailorbird.ingest.quarantine_command import quarantine
from tailorbird.ingest.upload import upload
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.files import QuarantinePlace
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings, load_settings

HEADER = "message_id,type,user_id,anonymous_id,item_id,event_time\n"
REFUSED = """m1,click,mathilda-vole,,ghost,2024-05-02T09:01:00Z
m2,click,,tablet-of-voles,ghost,2024-05-02T09:01:00Z
m3,click,mathilda-vole
"""
OTHERS = "m4,view,hubert-shrew,,cup,2024-05-02T09:00:00Z\nm5,click,hubert-shrew,,ghost,2024-05-02T09:01:00Z\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", "test")
    (tmp_path / "items.csv").write_text("item_id\ncup\n")
    ingested(tmp_path, HEADER + REFUSED + OTHERS)
    return load_settings()


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    with closing(Door.of(settings)) as opened:
        yield opened


def ingested(folder: Path, events: str) -> None:
    (folder / "events.csv").write_text(events)
    options = ["--events", str(folder / "events.csv"), "--items", str(folder / "items.csv")]
    result = CliRunner().invoke(ingest, options)
    assert result.exit_code == 0, result.output


def place_of(settings: Settings, door: Door) -> QuarantinePlace:
    return QuarantinePlace(
        settings.quarantine_folder, keyring=lambda: door.keyring, keys_of_id=door.keys_of_id
    )


def refused_rows(settings: Settings, door: Door) -> str:
    files = settings.quarantine_folder.glob("*.parquet")
    return "\n".join(raw for file in files for raw in read_quarantine(file, keyring=door.keyring)["raw"])


def test_of_whom_no_row_was_accepted_the_refused_ones_are_erased(settings: Settings, door: Door) -> None:
    mathilda = door.person("mathilda-vole")
    tablet = door.person("tablet-of-voles", anonymous=True)
    assert door.callers_ids([mathilda, tablet]) == {}
    place = place_of(settings, door)
    assert place.count([mathilda, tablet]) == {mathilda: 2, tablet: 1}
    place.erase([mathilda, tablet])
    assert place.verify([mathilda, tablet]) == {}
    assert "vole" not in refused_rows(settings, door)
    assert "hubert-shrew" in refused_rows(settings, door)


def test_refused_once_more_after_the_erasure_they_are_not_kept(
    settings: Settings, door: Door, tmp_path: Path
) -> None:
    mathilda, tablet = door.person("mathilda-vole"), door.person("tablet-of-voles", anonymous=True)
    Suppressions.of(settings).suppress({mathilda, tablet}, now=1.0)
    place = place_of(settings, door)
    place.erase([mathilda, tablet])
    ingested(tmp_path, HEADER + REFUSED + OTHERS + "m6,click,hubert-shrew,,ghost,2024-05-03T09:01:00Z\n")
    people = tmp_path / "people.csv"
    people.write_text("user_id,age\nmathilda-vole,old\nmathilda-vole,200\nhubert-shrew,300\n")
    with closing(open_catalog(settings)) as store:
        report = upload(people, "users", store=store, settings=settings, door=door, now=1.0)
    assert report.quarantined >= 2
    assert place.verify([mathilda, tablet]) == {}
    assert "vole" not in refused_rows(settings, door)
    assert "2024-05-03" in refused_rows(settings, door)
    assert "300" in refused_rows(settings, door)


def test_who_opens_refused_rows_is_written_down(settings: Settings, door: Door) -> None:
    file = next(settings.quarantine_folder.glob("events-*.parquet"))
    assert CliRunner().invoke(quarantine, []).exit_code == 0
    assert [entry.what for entry in log_of(settings).entries()] == []
    shown = CliRunner().invoke(quarantine, [file.name, "--json"])
    assert "mathilda-vole" in shown.output
    (entry,) = log_of(settings).entries()
    assert (entry.what, entry.whom) == (READ_QUARANTINE, file.name)


def test_the_name_of_a_file_says_nothing_to_whom_has_no_key(settings: Settings, tmp_path: Path) -> None:
    names = {path.name for path in settings.quarantine_folder.glob("*.parquet")}
    other = load_settings(home=tmp_path / "other", workspace="test")
    frames = [
        read_quarantine(path, keyring=open_keyring(settings))
        for path in sorted(settings.quarantine_folder.glob("*.parquet"))
    ]
    written = write_quarantine(frames, folder=other.quarantine_folder, now=0.0, keyring=open_keyring(other))
    assert names
    assert names.isdisjoint({path.name for path in written})
    again = write_quarantine(frames, folder=tmp_path / "again", now=0.0, keyring=open_keyring(settings))
    assert {path.name for path in again} == names

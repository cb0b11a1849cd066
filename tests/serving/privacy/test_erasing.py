"""An erasure takes a person out of every place, in bytes; others keep everything; the receipt says so and can be checked."""

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from serving.privacy.command import erase
from serving.privacy.erasures import open_erasing
from tailorbird.backup.known import BACKUPS_FILE, drop_backups, note_backups
from tailorbird.events.schema import id_of
from tailorbird.privacy.erasure.erasing import Erasing, left_of
from tailorbird.privacy.erasure.receipt import is_signed
from tailorbird.privacy.people.person import keys_of
from tests.serving.privacy.life import COOKIES, PARTED, USERS, bytes_with, live, unclaimed
from tests.serving.world import World

WINIFRED = USERS[0]
NAMES = (WINIFRED, *COOKIES[WINIFRED])
EVERYWHERE = {
    "events": 6 + 12 + 8 + 4,
    "exposures": 2,
    "profiles": 3,
    "past profiles": 1,
    "users": 2,
    "segments": 2,
    "quarantine": 2,
    "reports": 1,
    "deliveries": 1,
    "runs": 4,
    "exports": 0,
    "rankings": 0,
    "book of people": 3,
    "backups": 0,
}


@pytest.fixture
def lived(make_world) -> World:
    world = make_world()
    world.folders = [world.settings.folder, live(world)]
    return world


def others(world: World) -> dict[str, int]:
    places = open_erasing(world.settings).places
    named = [*(f"user:{name}" for name in USERS[1:]), "anon:cookie-finch", f"anon:{PARTED}"]
    return left_of(places, [world.key(each) for each in named])


def test_every_file_of_a_workspace_is_claimed_or_holds_nobody(lived):
    assert unclaimed(lived.settings) == []


def test_a_person_is_their_user_and_what_is_linked_and_not_parted(lived):
    winifred, finch, parted, nobody = (
        lived.key(each) for each in (f"user:{WINIFRED}", "anon:cookie-finch", f"anon:{PARTED}", "user:nobody")
    )
    found = keys_of(lived.log, [winifred, finch, parted, nobody])
    assert set(found[winifred]) == {winifred, *(lived.key(f"anon:{each}") for each in NAMES[1:])}
    assert set(found[finch]) == {lived.key(f"user:{USERS[1]}"), finch}
    assert found[parted] == (parted,)
    assert found[nobody] == (nobody,)


def test_no_byte_of_a_workspace_names_anybody(lived):
    words = [*USERS, *(cookie for cookies in COOKIES.values() for cookie in cookies), PARTED, "just-looking"]
    assert {word: found for word in words if (found := bytes_with(lived.folders, word))} == {}


def test_erased_is_gone_from_every_place_and_nothing_of_others(lived):
    names = [id_of(lived.key(f"user:{WINIFRED}")), *(id_of(lived.key(f"anon:{each}")) for each in NAMES[1:])]
    assert all(bytes_with(lived.folders, name) for name in names)
    assert len(bytes_with(lived.folders, names[0])) >= 9
    before, erasing = others(lived), open_erasing(lived.settings)
    assert all(before[name] for name, count in EVERYWHERE.items() if count)
    would = erasing.would_go(lived.key(f"user:{WINIFRED}"))
    assert {each.name: each.found for each in would.places} == EVERYWHERE
    assert erasing.ledger.newest(limit=10) == []
    asked = erasing.ask(lived.key(f"user:{WINIFRED}"))
    assert (asked.state, asked.people) == ("pending", ())
    assert erasing.run() == 1
    done = erasing.ledger.find(asked.id)
    assert {each.name: each.found for each in done.places} == EVERYWHERE
    assert {each.state for each in done.places} == {"done"}
    for name in names:
        assert bytes_with(lived.folders, name, leaving=("privacy",)) == []
    assert others(lived) == before
    assert lived.profile(f"user:{WINIFRED}").total == 0
    assert lived.profile(f"user:{USERS[1]}").total > 0


def test_from_the_asking_on_nothing_new_is_stored(lived):
    erasing = open_erasing(lived.settings)
    erasing.ask(lived.key(f"user:{WINIFRED}"))
    batch = [
        {"messageId": "late", "type": "view", "itemId": "i1", "userId": WINIFRED},
        {"messageId": "other", "type": "view", "itemId": "i1", "userId": USERS[1]},
    ]
    answer = lived.post("/v1/events", {"batch": batch})
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (1, 0)
    (fallen,) = answer.json()["rejected"]
    assert fallen["index"] == 0
    assert "erased" in fallen["reason"]
    lived.post("/v1/recommendations", {"userId": WINIFRED, "numResults": 3})
    erasing.run()
    (cookie, *_) = COOKIES[WINIFRED]
    again = [{"messageId": "late-2", "type": "view", "itemId": "i1", "anonymousId": cookie}, batch[0]]
    assert lived.post("/v1/events", {"batch": again}).json()["accepted"] == 0
    assert sum(left_of(erasing.places, erasing.ledger.newest(limit=1)[0].people).values()) == 0
    erasing.suppressions.lift(lived.key(f"user:{WINIFRED}"))
    assert lived.post("/v1/events", {"batch": batch[:1]}).json()["accepted"] == 1


def test_a_late_login_leaves_no_word_on_another_device(lived):
    erasing = open_erasing(lived.settings)
    erasing.ask(lived.key(f"user:{WINIFRED}"))
    login = {"messageId": "login", "type": "identify", "userId": WINIFRED, "anonymousId": "another-device"}
    own = {"messageId": "own", "type": "view", "itemId": "i1", "anonymousId": "another-device"}
    assert lived.post("/v1/events", {"batch": [login, own]}).json()["accepted"] == 1
    events = erasing.places[0].read([lived.key("anon:another-device")])
    assert [each["type"] for each in events] == ["view"]


def test_twice_is_once_and_after_it_nothing_is_found(lived):
    erasing = open_erasing(lived.settings)
    first = erasing.ask(lived.key(f"user:{WINIFRED}"))
    assert erasing.ask(lived.key(f"user:{WINIFRED}")) == first
    assert (erasing.run(), erasing.run()) == (1, 0)
    second = erasing.ask(lived.key(f"user:{WINIFRED}"))
    assert second.id != first.id
    assert erasing.run() == 1
    assert erasing.ledger.find(second.id).found == 0


def test_an_anonymous_id_of_one_user_is_that_person(lived):
    erasing = open_erasing(lived.settings)
    asked = erasing.ask(lived.key("anon:cookie-finch"))
    erasing.run()
    assert bytes_with(lived.folders, id_of(lived.key(f"user:{USERS[1]}")), leaving=("privacy",)) == []
    assert erasing.ledger.find(asked.id).found > 20


def test_a_place_that_is_away_leaves_the_receipt_open_and_the_next_run_goes_on(lived):
    erasing = open_erasing(lived.settings)
    asked = erasing.ask(lived.key(f"user:{WINIFRED}"))
    cases = next(lived.folders[1].rglob("cases.parquet"))
    content = cases.read_bytes()
    cases.write_bytes(b"damaged")
    with pytest.raises(Exception, match="not finished"):
        erasing.run()
    open_ = erasing.ledger.find(asked.id)
    assert open_.state == "running"
    assert "runs" in open_.problem
    assert [each.name for each in open_.places if each.state != "done"] == []
    cases.write_bytes(content)
    assert erasing.run() == 1
    assert erasing.ledger.find(asked.id).place("events").found == EVERYWHERE["events"]


def test_models_in_use_say_whether_they_knew_the_person(lived):
    would = open_erasing(lived.settings).would_go(lived.key(f"user:{WINIFRED}"))
    (model,) = would.models
    assert (model.alias, model.version, model.held, model.state) == ("champion", "1", "yes", "trained")
    lived.post("/v1/users/p0/merge", {"anonymousId": "a cookie that saw nothing"})
    (before,) = open_erasing(lived.settings).would_go(lived.key("user:p0")).models
    assert (before.held, before.state) == ("no", "clean")
    (never,) = open_erasing(lived.settings).would_go(lived.key("user:nobody")).models
    assert never.held == "unknown"


def test_a_receipt_is_verified_by_looking_and_a_changed_one_is_found(lived, tmp_path, monkeypatch):
    for name in ("home", "mlruns", "workspace"):
        monkeypatch.setenv(f"TAILORBIRD_{name.upper()}", str(getattr(lived.settings, name)))
    ran = CliRunner().invoke(erase, ["run", "--user", WINIFRED, "--json"])
    assert ran.exit_code == 0, ran.output
    receipt = json.loads(ran.stdout)["receipts"][0]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    for named in (receipt["id"], str(file)):
        verified = CliRunner().invoke(erase, ["verify", named, "--json"], standalone_mode=False)
        said = json.loads(verified.stdout)
        assert (verified.return_value, said["erased"], said["signed"]) == (0, True, True)
    file.write_text(json.dumps({**receipt, "done_at": receipt["done_at"] + 1}))
    changed = CliRunner().invoke(erase, ["verify", str(file), "--json"], standalone_mode=False)
    assert (changed.return_value, json.loads(changed.stdout)["signed"]) == (1, False)
    erasing = open_erasing(lived.settings)
    erasing.suppressions.lift(lived.key(f"user:{WINIFRED}"))
    lived.post(
        "/v1/events", {"batch": [{"messageId": "back", "type": "view", "itemId": "i1", "userId": WINIFRED}]}
    )
    found = CliRunner().invoke(erase, ["verify", receipt["id"], "--json"], standalone_mode=False)
    assert (found.return_value, json.loads(found.stdout)["left"]["events"]) == (1, 1)


def test_verifying_names_what_cannot_be_looked_into_and_what_was_dropped(lived, tmp_path, monkeypatch):
    monkeypatch.setenv("TAILORBIRD_HOME", str(lived.settings.home))
    monkeypatch.setenv("TAILORBIRD_WORKSPACE", lived.settings.workspace)
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(lived.settings.mlruns))
    erasing = open_erasing(lived.settings)
    asked = erasing.ask(lived.key("user:nobody"))
    erasing.run()

    def verified() -> tuple[int, dict[str, Any], str]:
        found = CliRunner().invoke(erase, ["verify", asked.id, "--json"], standalone_mode=False)
        assert found.exception is None
        return found.return_value, json.loads(found.stdout), "".join(found.stderr.split())

    code, said, words = verified()
    assert (code, said["unseen"], said["dropped_backups"], said["left"]["backups"]) == (0, {}, [], 0)
    gone, away = tmp_path / "gone", tmp_path / ("away" * 100)  # the second's name is one that no disk takes
    for folder in (gone, away):
        note_backups(lived.settings.folder, folder)
    for folder in (gone, away):
        code, said, words = verified()
        assert (code, said["erased"], list(said["unseen"])) == (1, False, ["backups"])
        assert f"backupscannotbelookedinto:thebackupsin{folder}arenotthere" in words
        assert "backups" not in said["left"]
        assert drop_backups(lived.settings.folder, folder)
    code, said, words = verified()
    assert (code, said["erased"], said["unseen"]) == (0, True, {})
    assert said["dropped_backups"] == [str(gone), str(away)]
    assert f"notlookedinto:thebackupsin{away}" in words
    (lived.settings.folder / "privacy" / BACKUPS_FILE).write_text("{")
    code, said, words = verified()
    assert (code, said["erased"], list(said["unseen"])) == (1, False, ["backups"])
    assert f"{BACKUPS_FILE}cannotberead" in words


def test_only_this_workspace_signs(lived):
    erasing: Erasing = open_erasing(lived.settings)
    asked = erasing.ask(lived.key("user:nobody"))
    erasing.run()
    done = erasing.ledger.find(asked.id)
    key = lived.door.keyring.receipts
    assert is_signed(done, key)
    assert not is_signed(done, bytes(32))
    assert not is_signed(replace(done, people=()), key)

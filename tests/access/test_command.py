"""`tailorbird keys`: the token is shown once, everything else as often as one likes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailorbird.access.command import keys
from tailorbird.access.file import read_keys
from tailorbird.access.keys import digest_of
from tailorbird.errors import UsageError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILORBIRD_HOME", str(tmp_path))
    monkeypatch.delenv("TAILORBIRD_WORKSPACE", raising=False)
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop" / "keys.json"


def run(*words: str) -> dict:
    done = CliRunner().invoke(keys, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def made(*more: str) -> dict:
    return run("new", "--name", "ann", "--scope", "collect", *more)


def test_a_new_key_is_told_once_and_kept_as_a_hash(file: Path):
    told = made(
        "--scope", "recommend", "--expires", "2d", "--limit", "5/second", "--origin", "https://shop.example"
    )
    assert told["scopes"] == ["collect", "recommend"]
    assert told["state"] == "good"
    assert told["token"].rsplit("_", 1)[1] not in file.read_text()
    (key,) = read_keys(file) or ()
    assert key.secret_of(digest_of(told["token"].encode(), workspace="shop").hex())
    assert key.expires == pytest.approx(key.created + 2 * 86_400)
    (listed,) = run("list")["keys"]
    assert listed == {name: value for name, value in told.items() if name != "token"}


def test_a_rotation_tells_another_token_of_the_same_key(file: Path):
    first = made()
    second = run("rotate", first["id"], "--overlap", "1h")
    assert second["id"] == first["id"]
    assert second["token"] != first["token"]
    assert second["oldTokenUntil"]
    (key,) = read_keys(file) or ()
    old, new = (
        key.secret_of(digest_of(each["token"].encode(), workspace="shop").hex()) for each in (first, second)
    )
    assert old is not None
    assert new is not None
    assert (old.until is None, new.until is None) == (False, True)


def test_a_revoked_key_stays_in_the_list_until_forgotten_and_turns_no_more(file: Path):
    first, second = made()["id"], made()["id"]
    assert run("revoke", first)["state"] == "revoked"
    since = read_keys(file)[0].revoked
    run("revoke", first)
    assert read_keys(file)[0].revoked == since
    assert [each["state"] for each in run("list")["keys"]] == ["revoked", "good"]
    with pytest.raises(UsageError, match="is revoked"):
        run("rotate", first)
    run("revoke", first, "--forget")
    assert [each["id"] for each in run("list")["keys"]] == [second]


def test_tables_are_for_people(file: Path):
    made("--limit", "5/second")
    shown = CliRunner().invoke(keys, ["list"], catch_exceptions=False)
    assert "keys: 1" in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("revoke", "f" * 16), "has no key"),
        (("new", "--name", "n", "--scope", "admin", "--origin", "https://a.example"), "cannot have 'admin'"),
        (("new", "--name", "n", "--scope", "admin", "--limit", "much"), "a limit reads as"),
        (("new", "--name", "n", "--scope", "admin", "--workspace", "shap"), "no workspace 'shap'"),
    ],
)
def test_what_makes_no_sense_says_so_and_writes_nothing(file: Path, words: tuple[str, ...], said: str):
    with pytest.raises(UsageError, match=said):
        run(*words)
    assert not (file.parent.parent / "shap").exists()
    assert read_keys(file) in (None, ())


def test_a_span_of_time_is_read_or_refused(file: Path):
    wrong = CliRunner().invoke(keys, ["new", "--name", "n", "--scope", "admin", "--expires", "soon"])
    assert wrong.exit_code == 2
    assert "is none of" in wrong.output

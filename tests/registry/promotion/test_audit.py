"""Moves of aliases stand in the audit log with the digests of their decisions; `tailorbird audit` shows and checks it."""

import datetime as dt
import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner, Result

from registry.promotion.aliases import Aliases
from registry.promotion.auditing import compare
from registry.promotion.promote import Order, promote, roll_back
from registry.versions.versions import Registry
from tailorbird.audit.entry import Head
from tailorbird.audit.log import AuditAwayError
from tailorbird.audit.record import hash_of, log_of, record
from tailorbird.cli import tailorbird
from tailorbird.errors import UsageError

NOW = dt.datetime(2026, 5, 7, tzinfo=dt.UTC)


@pytest.fixture
def moved(registry: Registry) -> Registry:
    """A registry whose champion went to version 1, to 2 against the gates, and back."""
    for path in registry.settings.folder.glob("audit.*"):
        path.unlink()
    promote(registry, "1", order=Order("champion", "ann", NOW))
    promote(registry, "2", order=Order("champion", "bob", NOW, force=True, reason="a drill", by="key:abc"))
    roll_back(registry, order=Order("champion", "ann", NOW))
    return registry


def run(registry: Registry, *words: str) -> Result:
    environment = {
        "TAILORBIRD_HOME": str(registry.settings.home),
        "TAILORBIRD_MLRUNS": str(registry.settings.mlruns),
        "TAILORBIRD_WORKSPACE": registry.settings.workspace,
    }
    return CliRunner().invoke(tailorbird, ["audit", *words], env=environment, standalone_mode=False)


def test_every_move_is_written_down_with_who_was_seen_to_make_it(moved: Registry):
    entries = list(log_of(moved.settings).entries())
    assert [(each.who, each.what, each.whom) for each in entries] == [
        ("login:ann", "model.promote", "champion"),
        ("key:abc", "model.promote", "champion"),
        ("login:ann", "model.rollback", "champion"),
    ]
    made = {moved.name: Aliases(moved).history()}
    assert [entry.plain()["detail"]["digest"] for entry in entries] == [
        decision.digest for decision in reversed(made[moved.name])
    ]
    assert compare(entries, made) == []


def test_a_refused_or_needless_move_is_none(moved: Registry):
    before = log_of(moved.settings).head()
    promote(moved, "1", order=Order("champion", "ann", NOW))
    promote(moved, "2", order=Order("champion", "ann", NOW))
    assert log_of(moved.settings).head() == before


def test_a_decision_that_somebody_changed_or_deleted_in_the_registry_is_named(moved: Registry):
    assert run(moved, "verify", "--registry").return_value == 0
    second = Aliases(moved).history()[1]
    moved.client.set_tag(second.run_id, "decision.who", "nobody")
    changed = run(moved, "verify", "--registry", "--json")
    assert changed.return_value == 1
    (finding,) = json.loads(changed.stdout)["findings"]
    assert (finding["number"], finding["kind"]) == (2, "altered")
    assert "decision 2" in finding["says"]
    moved.client.delete_run(second.run_id)
    gone = run(moved, "verify", "--registry", "--json")
    assert json.loads(gone.stdout)["findings"][0]["kind"] == "removed"
    assert run(moved, "verify").return_value == 0


def test_a_move_that_could_not_be_written_down_says_that_it_was_made(moved: Registry):
    kept = (moved.settings.folder / "audit.db").read_bytes()
    (moved.settings.folder / "audit.db").write_bytes(b"this is no database" * 1_000)
    with pytest.raises(AuditAwayError, match="champion points at version 2 now"):
        promote(moved, "2", order=Order("champion", "ann", NOW, force=True, reason="a drill"))
    assert moved.aliases()["champion"] == 2
    (moved.settings.folder / "audit.db").write_bytes(kept)


def test_the_log_is_shown_by_who_what_and_whom(moved: Registry):
    record(moved.settings, who="key:abc", what="profile.read", person="user:u1")
    shown = json.loads(run(moved, "show", "--person", "user:u1", "--json").stdout)["entries"]
    assert [(each["number"], each["whom"]) for each in shown] == [(4, hash_of(moved.settings, "user:u1"))]
    by_key = json.loads(run(moved, "show", "--who", "key:abc", "--json").stdout)["entries"]
    assert [each["number"] for each in by_key] == [2, 4]
    assert [
        each["number"] for each in json.loads(run(moved, "show", "--limit", "2", "--json").stdout)["entries"]
    ] == [3, 4]
    assert "entries: 4" in run(moved, "show").stdout


def test_a_head_that_was_noted_finds_what_was_cut_off(moved: Registry):
    head = json.loads(run(moved, "head", "--json").stdout)["head"]
    assert Head.parse(head) == log_of(moved.settings).head()
    assert run(moved, "verify", "--head", head).return_value == 0
    with closing(sqlite3.connect(moved.settings.folder / "audit.db")) as connection, connection:
        connection.execute("DROP TRIGGER undeleted")
        connection.execute("DELETE FROM entries WHERE number = 3")
    assert run(moved, "verify").return_value == 0
    cut = run(moved, "verify", "--head", head)
    assert cut.return_value == 1
    assert "truncated" in cut.stderr
    wrong = run(moved, "verify", "--head", "latest")
    assert isinstance(wrong.exception, UsageError)

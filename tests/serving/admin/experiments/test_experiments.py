"""Experiments over admin: declared, checked, started, ramped and stopped, each by one person at a time, and written down."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from serving.admin.experiments.turns import Turn
from serving.http.problems import ProblemError
from tailorbird.access.keys import EXPERIMENTS, RECOMMEND
from tailorbird.audit.log import AuditLog
from tailorbird.audit.record import AUDIT_FILE
from tailorbird.experiments.design.template import TEMPLATE
from tailorbird.experiments.running.assigning import Asker
from tailorbird.experiments.running.buckets import PARTS, bucket, point
from tailorbird.experiments.running.followed import FollowedLedger
from tailorbird.experiments.running.launching import Launcher
from tailorbird.experiments.running.ledger import LEDGER_FILE, Ledger
from tailorbird.experiments.running.renewals import Renewal
from tests.serving.wrong_keys import put_keys

HEAD = """
hypothesis = "h"
share = 0.2
[metrics]
primary = "clicks_per_slate"
minimum_effect = 0.05
"""
DEPTH = f"{HEAD}\n[variants.control]\n[variants.few]\nslate = {{depth = 30}}\n"


def post(operator, path: str, status: int = 200, **body: object) -> dict:
    response = operator.call("POST", f"/v1/experiments{path}", json=body)
    assert response.status_code == status, response.text
    return response.json()


def declare(operator, key: str, text: str = DEPTH, status: int = 201) -> dict:
    return post(operator, "", status, key=key, declaration=text)


def test_an_experiment_is_declared_started_ramped_and_stopped(operator):
    draft = declare(operator, "depth")
    assert (draft["state"], draft["variants"], draft["share"]) == ("draft", ["control", "few"], 0.2)
    before = operator.notice.stamp()
    started = post(operator, "/depth:start", reason="go")
    assert (started["state"], started["share"], started["revision"]) == ("running", 0.2, 1)
    assert operator.notice.stamp() != before
    follower = FollowedLedger(operator.settings.folder)
    in_first = [n for n in range(500) if follower().assign(Asker(person=f"user:{n}")).variants]
    assert 60 <= len(in_first) <= 140
    assert post(operator, "/depth:ramp", share=0.5, revision=1)["share"] == 0.5
    assert all(follower().assign(Asker(person=f"user:{n}")).variants for n in in_first)
    stopped = post(operator, "/depth:stop", reason="enough")
    assert [(each["did"], each["who"], each["share"], each["reason"]) for each in stopped["steps"]] == [
        ("start", "local", 0.2, "go"),
        ("ramp", "local", 0.5, ""),
        ("stop", "local", 0.0, "enough"),
    ]
    assert not follower()
    assert [each["state"] for each in operator.get("/v1/experiments")["experiments"]] == ["stopped"]
    written = [
        each for each in AuditLog(operator.settings.folder / AUDIT_FILE).entries() if each.whom == "depth"
    ]
    assert [each.plain()["detail"]["did"] for each in written] == ["declare", "start", "ramp", "stop"]


BANDIT = HEAD.replace("share = 0.2", 'kind = "bandit"') + (
    "[bandit]\n[variants.usual]\n[variants.bold]\npayload = {headline = 'For you'}\n"
)


HOLDOUT = HEAD.replace("share = 0.2", 'kind = "holdout"') + (
    "[variants.open]\nweight = 0.7\n[variants.held]\nweight = 0.3\n"
)


def test_a_page_that_splits_by_itself_leaves_out_whom_a_holdout_holds(operator):
    declare(operator, "depth")
    post(operator, "/depth:start", reason="go")
    declare(operator, "rest", HOLDOUT)
    post(operator, "/rest:start", reason="go")
    told = operator.get("/v1/experiments/depth")["assignment"]
    (rest,) = told["holdouts"]
    assert (rest["key"], rest["variants"], rest["holdouts"]) == ("rest", ["open", "held"], [])
    running, held = FollowedLedger(operator.settings.folder)(), 0
    for n in range(300):
        unit = f"user:{n}"
        is_held = point(rest["salt"], unit) >= rest["weights"][0] * PARTS
        (low, high), where = told["buckets"][0], bucket(told["layer"], unit)
        takes_part = low <= where < high and not is_held
        assert ("depth" in running.assign(Asker(person=unit)).variants) == takes_part
        held += is_held
    assert held > 50
    declare(operator, "sessions", 'unit = "session"\n' + HOLDOUT)
    post(operator, "/sessions:start", reason="go")
    assert operator.get("/v1/experiments/depth")["assignment"] is None  # a session decides, too


def test_beside_what_cannot_be_read_pages_are_told_no_assignment_and_no_refused_start_is_written_down(
    operator,
):
    declare(operator, "depth")
    post(operator, "/depth:start", reason="go")
    declare(operator, "rest", HOLDOUT)
    post(operator, "/rest:start", reason="go")
    assert operator.get("/v1/experiments/depth")["assignment"] is not None
    folder = operator.settings.folder
    with closing(sqlite3.connect(folder / LEDGER_FILE)) as connection, connection:
        connection.execute("UPDATE experiments SET declared = '{\"kind\": \"holdout\"}' WHERE key = 'rest'")
    assert operator.get("/v1/experiments/depth")["assignment"] is None  # nobody knows whom it holds
    declare(
        operator, "more", f'layer = "rest"\n{HEAD}[variants.control]\n[variants.new]\npayload = {{x = 1}}\n'
    )
    assert "has room for 0" in operator.call("POST", "/v1/experiments/more:start", json={"reason": "go"}).text
    assert not post(operator, "/more:check")["startable"]
    written = [each for each in AuditLog(folder / AUDIT_FILE).entries() if each.whom == "more"]
    assert [each.plain()["detail"]["did"] for each in written] == ["declare"]


def test_a_page_that_splits_by_itself_gets_what_holds_now(operator):
    def told(key: str) -> dict:
        return operator.get(f"/v1/experiments/{key}")["assignment"]

    declare(operator, "depth")
    assert told("depth") is None
    post(operator, "/depth:start", reason="go")
    ledger = Ledger(operator.settings.folder)
    (held,) = ledger.entries()[0].buckets
    assert told("depth") == {
        "key": "depth",
        "layer": "depth",
        "salt": "depth",
        "variants": ["control", "few"],
        "weights": [0.5, 0.5],
        "buckets": [[held.start, held.end]],
        "holdouts": [],
    }
    declare(operator, "row", BANDIT)
    post(operator, "/row:start", reason="go")
    assert (told("row")["salt"], told("row")["weights"]) == ("row", [0.5, 0.5])
    ledger.renew("row", Renewal(1, time.time(), "ann", ((0.2, 0.8),)))
    found = told("row")
    assert (found["salt"], found["weights"]) == ("row/1", [0.2, 0.8])
    running, shares = FollowedLedger(operator.settings.folder)(), [0, 0]
    for n in range(200):
        unit = f"user:{n}"
        place = int(point(found["salt"], unit) >= found["weights"][0] * PARTS)
        assert running.assign(Asker(person=unit)).variants["row"] == found["variants"][place]
        shares[place] += 1
    assert shares[1] > 130
    by_request = BANDIT.replace("[bandit]", "[bandit]\nfloor = 0.1").replace(
        'kind = "bandit"', 'kind = "bandit"\nunit = "request"'
    )
    declare(operator, "each", by_request.replace("headline", "layout"))
    post(operator, "/each:start", reason="go")
    assert told("each") is None
    audience = "\n[audience]\nscenarios = ['cart']\n"
    declare(
        operator,
        "some",
        f"{HEAD}{audience}[variants.control]\n[variants.red]\npayload = {{colour = 'red'}}\n",
    )
    post(operator, "/some:start", reason="go")
    assert told("some") is None  # whom it asks is not of the unit alone


def test_of_two_who_start_or_ramp_at_once_one_is_told_that_another_was_first(operator):
    declare(operator, "depth")

    def start(n: int) -> int:
        return operator.call("POST", "/v1/experiments/depth:start", json={}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [200, 409, 409, 409]
    post(operator, "/depth:ramp", share=0.3, revision=1)
    told = post(operator, "/depth:stop", 409, revision=1)
    assert "did ramp" in told["detail"]
    written = [
        each for each in AuditLog(operator.settings.folder / AUDIT_FILE).entries() if each.whom == "depth"
    ]
    assert [each.plain()["detail"]["did"] for each in written] == ["declare", "start", "ramp"]
    assert operator.get("/v1/experiments/depth")["state"] == "running"
    assert declare(operator, "depth", status=409)["type"].endswith("moved-before")


def test_what_was_declared_is_frozen_and_a_changed_file_is_said(operator):
    declare(operator, "depth")
    post(operator, "/depth:start")
    path = operator.settings.folder / "experiments" / "depth.toml"
    path.write_text(DEPTH.replace("30", "40"))
    shown = operator.get("/v1/experiments/depth")
    assert "changed since it started" in shown["trouble"]
    assert operator.get("/v1/experiments/depth/declaration")["variants"]["few"] == {"slate": {"depth": 30}}
    path.unlink()
    assert operator.get("/v1/experiments/depth")["trouble"] == ""
    assert post(operator, "/depth:stop")["state"] == "stopped"


@pytest.mark.parametrize(
    ("variant", "more", "words"),
    [
        ("slate = {depth = 50}", "", "overlap: experiment 'running' of layer 'running' changes slate.depth"),
        ("slate = {keep_seen = true}", 'layer = "running"\nunit = "session"', "assigns by person"),
        (
            "slate = {keep_seen = true}",
            'layer = "running"\nramp = [{hours = 1, share = 0.9}]',
            "room for 0.8",
        ),
        ('version = "999"', "", "version 999 is not in the registry"),
        ('alias = "nobody"', "", "no version has the alias nobody"),
    ],
)
def test_what_cannot_run_is_refused_by_check_and_by_start(operator, variant, more, words):
    declare(operator, "running")
    post(operator, "/running:start")
    declare(operator, "next", f"{more}\n{HEAD}\n[variants.control]\n[variants.b]\n{variant}\n")
    checked = post(operator, "/next:check")
    assert not checked["startable"]
    said = [f"{each['about']}: {each['words']}" for each in checked["findings"] if each["level"] == "refused"]
    assert any(words in each for each in said)
    refused = post(operator, "/next:start", 422)
    assert words in refused["detail"]
    assert refused["remedy"]
    assert operator.get("/v1/experiments/next")["state"] == "draft"


@pytest.mark.parametrize(("purposes", "warned"), [('["personalization"]', True), ('["analytics"]', False)])
def test_that_no_basis_lets_people_count_is_said_before_it_starts(operator, purposes: str, warned: bool):
    policy = operator.settings.folder / "privacy.toml"
    policy.write_text(f'[basis]\nname = "contract"\npurposes = {purposes}\n')
    declare(operator, "depth")
    checked = post(operator, "/depth:check")
    assert ("consent" in [each["about"] for each in checked["findings"]]) == warned
    assert checked["startable"]


def test_an_audience_of_nobody_is_refused(operator):
    declare(operator, "none", f"{DEPTH}\n[audience]\nsegments = ['unicorns']\n")
    assert "nobody is in a segment 'unicorns'" in post(operator, "/none:start", 422)["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"key": "Big", "declaration": DEPTH}, 422),
        ("", {"key": "a", "declaration": "hypothesis ="}, 422),
        ("", {"key": "a", "declaration": DEPTH.replace("share = 0.2", "share = 7")}, 422),
        ("/none:start", {}, 404),
        ("/none:ramp", {"share": 0.1}, 404),
        ("/none:stop", {}, 404),
        ("/none:check", {}, 404),
        ("/draft:ramp", {"share": 0.1}, 409),
        ("/draft:stop", {}, 409),
        ("/draft:ramp", {"share": 0}, 422),
        ("/draft:start", {"force": True}, 422),
    ],
)
def test_a_wrong_move_changes_nothing(operator, path, body, status):
    declare(operator, "draft")
    post(operator, path, status, **body)
    assert [each["state"] for each in operator.get("/v1/experiments")["experiments"]] == ["draft"]


def test_a_draft_that_is_wrong_is_listed_with_its_slip(operator):
    folder = operator.settings.folder / "experiments"
    folder.mkdir()
    (folder / "wrong.toml").write_text(DEPTH.replace("share", "sahre"))
    (found,) = operator.get("/v1/experiments")["experiments"]
    assert "sahre" in found["trouble"]


def test_nothing_happens_where_it_cannot_be_written_down(operator):
    declare(operator, "depth")
    log = operator.settings.folder / AUDIT_FILE
    for each in log.parent.glob(f"{AUDIT_FILE}*"):
        each.unlink()
    log.mkdir()
    assert post(operator, "/depth:start", 503)["type"].endswith("audit-away")
    assert operator.get("/v1/experiments/depth")["state"] == "draft"


def test_keys_of_experiments_open_the_routes_and_others_do_not(operator):
    good = put_keys(operator.settings, operator.access).good
    for scope, status in ((EXPERIMENTS, 200), (RECOMMEND, 403)):
        response = operator.call("GET", "/v1/experiments", headers={"x-api-key": good[scope]})
        assert response.status_code == status


def test_the_template_is_a_declaration(operator):
    found = declare(operator, "fresh", TEMPLATE.format(key="fresh"))
    assert found["variants"] == ["control", "b"]
    assert Path(operator.settings.folder / "experiments" / "fresh.toml").exists()


def test_a_metric_that_nobody_declared_is_refused_before_the_start(operator):
    declare(operator, "depth", DEPTH.replace("clicks_per_slate", "smiles"))
    found = post(operator, "/depth:check")
    assert [each["about"] for each in found["findings"] if each["level"] == "refused"] == ["metrics"]
    assert "smiles" in post(operator, "/depth:start", 422)["detail"]
    assert operator.get("/v1/experiments/depth")["state"] == "draft"


def test_checks_wait_for_each_other(operator, monkeypatch):
    declare(operator, "depth")
    check, begun, at_once = Launcher.check, threading.Event(), []

    def slow(self, key):
        at_once.append(begun.is_set())
        begun.set()
        try:
            time.sleep(0.05)
            return check(self, key)
        finally:
            begun.clear()

    monkeypatch.setattr(Launcher, "check", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: post(operator, "/depth:check"), range(4)))
    assert at_once == [False] * 4


def test_whose_turn_does_not_come_is_told_so():
    turn = Turn("another check", wait_seconds=0.01)
    with turn.taken(), pytest.raises(ProblemError, match="another check has been under way"), turn.taken():
        pass
    with turn.taken():  # it is free again
        pass

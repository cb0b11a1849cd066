"""A readout is kept in the one run of its experiment; a decision stops it, goes through the gates, and is written down."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.experiments.commands import decide as decide_command
from registry.experiments.commands import readout
from registry.experiments.deciding import Wish, decide
from registry.experiments.readouts import TAG, experiments_name
from registry.promotion.aliases import Aliases
from registry.promotion.promote import Order, RefusedError, promote
from registry.tracking.runs import Tracker
from registry.versions.versions import Registry
from tailorbird.audit.record import EXPERIMENT, log_of
from tailorbird.errors import UsageError
from tailorbird.experiments.running.entries import StateError
from tailorbird.experiments.running.launching import moves_lock
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings, load_settings
from tests.experiments.deciding.shop import KEY, draft, happen, start
from tests.training.toy import NOW

WISH = Wish("varied", "two to five per cent", who="ada", by="login:ada")
VERSIONS = {"usual": {"version": "1"}, "varied": {"version": "2"}}


@pytest.fixture
def shop(registry: Registry, tmp_path: Path) -> Settings:
    """The toy's registry, with a workspace that a test may change."""
    home = tmp_path / "home"
    shutil.copytree(registry.settings.home, home)
    return load_settings(home=home, mlruns=registry.settings.mlruns, workspace="test")


def at_the_terminal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": settings.home,
        "MLRUNS": settings.mlruns,
        "WORKSPACE": settings.workspace,
    }.items():
        monkeypatch.setenv(f"TAILORBIRD_{name}", str(value))


def test_readouts_are_steps_of_the_one_run_of_their_experiment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(settings)
    happen(settings, people=300)
    at_the_terminal(settings, monkeypatch)
    page = tmp_path / "page.html"
    given = [KEY, "--json", "--html", str(page)]
    said = [json.loads(CliRunner().invoke(readout, given, catch_exceptions=False).stdout) for _ in range(2)]
    assert said[0]["run"] == said[1]["run"]
    assert page.read_text().startswith("<!doctype html>")
    tracker = Tracker.open(settings, name=experiments_name(settings))
    run = tracker.latest(tag=TAG, value=KEY)
    assert run is not None
    assert run.data.tags["decision"] == said[0]["decision"]
    mean = said[1]["metrics"][0]["variants"][1]["mean"]
    assert run.data.metrics["conversion/varied/mean"] == pytest.approx(mean)
    names = {each.path for each in tracker.client.list_artifacts(run.info.run_id)}
    assert {"readout.html", "readout.json", "lifts.png"} <= names


def test_an_interleaving_is_kept_in_a_run_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    start(
        settings,
        kind="interleaving",
        metrics={"primary": "clicks_per_slate", "minimum_effect": 0.1},
        variants={"usual": {}, "varied": {"version": "2"}},
    )
    draft(settings, people=120)
    at_the_terminal(settings, monkeypatch)
    said = json.loads(CliRunner().invoke(readout, [KEY, "--json"], catch_exceptions=False).stdout)
    assert said["slatesFor"] == {"usual": 30, "varied": 90}
    assert "varied is preferred" in CliRunner().invoke(readout, [KEY], catch_exceptions=False).stdout
    tracker = Tracker.open(settings, name=experiments_name(settings))
    run = tracker.latest(tag=TAG, value=KEY)
    assert run is not None
    assert run.data.tags["decision"] == said["decision"]
    assert run.data.metrics["net"] == pytest.approx(0.5)


def test_a_winning_version_is_promoted_with_the_readout_as_its_reason(shop: Settings) -> None:
    start(shop, variants={"usual": {}, "varied": {"version": "1"}})
    done = decide(shop, KEY, WISH, readout={"verdict": "varied is better; ship"})
    assert (done.entry.state, done.entry.verdict) == ("decided", "varied")
    assert [each.did for each in done.entry.steps] == ["start", "stop", "decide"]
    assert done.promotion is not None
    assert done.promotion.moved
    registry = Registry(shop)
    assert registry.version("champion").version == 1
    decision = Aliases(registry).history("champion")[0]
    assert decision.why == "experiment more-variety: two to five per cent (varied is better; ship)"
    written = [each.plain() for each in log_of(shop).entries() if each.what == EXPERIMENT]
    assert [(each["whom"], each["detail"]["winner"]) for each in written] == [(KEY, "varied")]


def test_a_winner_that_the_gates_refuse_leaves_the_experiment_undecided(shop: Settings) -> None:
    promote(Registry(shop), "1", order=Order("champion", "ada", NOW))
    start(shop, variants=VERSIONS)
    with pytest.raises(RefusedError, match="not worse in ndcg@10"):
        decide(shop, KEY, WISH)
    entry = Ledger(shop.folder).get(KEY)
    assert entry is not None
    assert (entry.state, entry.verdict) == ("stopped", "")
    assert Registry(shop).version("champion").version == 1
    done = decide(shop, KEY, replace(WISH, winner=None))
    assert done.to_dict()["winner"] is None
    with pytest.raises(StateError, match="decided"):
        decide(shop, KEY, WISH)


def test_of_two_who_decide_at_once_only_the_first_promotes(shop: Settings) -> None:
    ledger = start(shop, variants=VERSIONS)
    ledger.stop(KEY, at=1.7e9, who="ada")
    with ThreadPoolExecutor(1) as pool:
        with alone(moves_lock(shop.folder)):
            other = pool.submit(decide, shop, KEY, WISH)
            wait([other], timeout=0.5)
            ledger.decide(KEY, "none", at=1.7e9, who="bob")
        with pytest.raises(StateError, match="bob"):
            other.result()
    assert "champion" not in Registry(shop).aliases()


def test_what_cannot_be_decided_is_said_and_nothing_moves(shop: Settings) -> None:
    with pytest.raises(UsageError, match="never started"):
        decide(shop, KEY, WISH)
    start(shop)
    with pytest.raises(UsageError, match="has no variant 'best'"):
        decide(shop, KEY, replace(WISH, winner="best"))
    with pytest.raises(UsageError, match="wants a reason"):
        decide(shop, KEY, replace(WISH, reason=" "))
    with pytest.raises(StateError, match="was changed since"):
        decide(shop, KEY, replace(WISH, revision=7))
    entry = Ledger(shop.folder).get(KEY)
    assert entry is not None
    assert entry.state == "running"


def test_the_command_names_what_of_a_winner_must_be_written_elsewhere(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(shop)
    at_the_terminal(shop, monkeypatch)
    said = CliRunner().invoke(
        decide_command, [KEY, "--winner", "varied", "--reason", "better", "--json"], catch_exceptions=False
    )
    found = json.loads(said.stdout)
    assert (found["winner"], found["promotion"], found["state"]) == ("varied", None, "decided")
    assert "its slate into [champion] of arms.toml" in found["todo"]
    both = CliRunner().invoke(decide_command, [KEY, "--winner", "varied", "--none", "--reason", "x"])
    assert isinstance(both.exception, UsageError)

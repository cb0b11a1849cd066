"""A round ends in a decision, whatever interrupts it, and only one is under way."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from registry.aliases import Aliases
from registry.commands import moved_to
from registry.versions import Registry
from tailorbird.experiments.running.ledger import Ledger as Experiments
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings
from tests.proving import tries
from tests.training.retrain.world import BY_CANARY, BY_GATES, QUICK, champion, go_on, visitors, with_champion
from tests.training.toy import POPULAR_ONLY, trained
from training.retrain.ledger import STEPS, Ledger, Taken
from training.retrain.order import Order
from training.retrain.rounds import LOCK_FILE, BusyError, is_held, run_round

pytestmark = pytest.mark.slow


class FaultError(Exception):
    """The process ends here."""


def fails_once(monkeypatch: pytest.MonkeyPatch, step: str, *, written: bool) -> None:
    """The step is done, and the process ends before the ledger says so, or just after."""
    done, left = Ledger.done, [True]

    def broken(self: Ledger, number: int, taken: Taken, **more: Any) -> Any:
        if not left or taken.step != step:
            return done(self, number, taken, **more)
        left.clear()
        if written:
            done(self, number, taken, **more)
        raise FaultError

    monkeypatch.setattr(Ledger, "done", broken)


def test_a_first_version_is_made_newer_events_bring_the_next_and_none_bring_none(own_toy: Settings) -> None:
    with_champion(own_toy)
    nothing = run_round(own_toy, BY_GATES, why="asked for")
    assert (nothing.outcome, nothing.facts["version"]) == ("unchanged", 1)
    go_on(own_toy)
    done = run_round(own_toy, BY_GATES, why="asked for")
    assert (done.outcome, done.facts["version"], done.facts["champion"]) == ("promoted", 2, 1), done
    assert [each.step for each in done.taken] == list(STEPS)
    assert done.facts["warm"]
    registry = Registry(own_toy)
    assert registry.aliases() == {"challenger": 2, "champion": 2}
    why = Aliases(registry).history("champion")[0].why
    assert why.startswith("retraining, round 2:")
    assert [each.number for each in Ledger(own_toy.folder).rounds(last=9)] == [2, 1]


def test_whatever_ends_the_process_a_round_is_made_once(
    own_toy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    for written in (False, True):
        for step in STEPS:
            with monkeypatch.context() as patch:
                fails_once(patch, step, written=written)
                with pytest.raises(FaultError):
                    run_round(own_toy, BY_CANARY, why="asked for", sleep=visitors(own_toy, time.time))
            last = Ledger(own_toy.folder).rounds(last=1)[0]
            assert (last.ended is not None) == (written and step == STEPS[-1])
            if step == "decision" and not written:
                break  # with what is done the round is over but for one line; the others below begin anew
        if not written:
            done = run_round(own_toy, BY_CANARY, why="asked for")
            assert (done.outcome, done.facts["version"]) == ("promoted", 2), done
            assert [each.step for each in done.taken] == list(STEPS)
            go_on(own_toy, first=400, day=62, seed=6)
    registry = Registry(own_toy)
    assert registry.version("latest").version == champion(own_toy) == 3
    assert len(Aliases(registry).history("champion")) == 3
    assert [each.verdict for each in Experiments(own_toy.folder).entries()] == ["retrained"] * 2


def test_a_killed_process_leaves_a_round_that_goes_on(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    ledger = Ledger(own_toy.folder)
    for at in ("features", "train", "challenger")[: tries(2, 3)]:
        process = _child(own_toy)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            found = ledger.unfinished()
            if found and is_held(own_toy) and STEPS.index(found.step) >= STEPS.index(at):
                break
            time.sleep(0.02)
        with pytest.raises(BusyError, match=f"process {process.pid} of .* is at "):
            run_round(own_toy, BY_GATES, why="asked for")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not is_held(own_toy)
        assert ledger.unfinished() is not None
    done = run_round(own_toy, BY_GATES, why="asked for")
    assert (done.number, done.outcome, done.facts["version"]) == (1, "promoted", 2), done
    assert champion(own_toy) == Registry(own_toy).version("latest").version == 2


def _child(settings: Settings) -> "subprocess.Popen[bytes]":
    given = {"TAILORBIRD_HOME": str(settings.home), "TAILORBIRD_MLRUNS": str(settings.mlruns)}
    command = ["retrain", "--without-canary", "--workspace", "test"]
    return subprocess.Popen(
        [sys.executable, "-m", "tailorbird", *command], env={**os.environ, **given}, start_new_session=True
    )


def test_two_are_never_at_it(own_toy: Settings) -> None:
    ledger = Ledger(own_toy.folder)
    ledger.hold(ledger.begin(why="asked for", at=1.0).number, holder="process 7 of shop-1")
    with (
        alone(own_toy.folder / LOCK_FILE),
        pytest.raises(BusyError, match="process 7 of shop-1 is at features"),
    ):
        run_round(own_toy, BY_GATES, why="asked for")


def test_canaries_that_fail_or_are_seen_by_nobody_or_are_lopsided_leave_the_champion(
    own_toy: Settings,
) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    waiting = run_round(own_toy, Order(canary=QUICK, wait=False), why="asked for")
    assert (waiting.step, waiting.ended) == ("canary", None)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_round(own_toy, BY_CANARY, why="asked for", sleep=interrupted)
    assert Ledger(own_toy.folder).rounds(last=1)[0].trouble == "interrupted"
    failing = run_round(own_toy, BY_CANARY, why="asked for", sleep=visitors(own_toy, time.time, failed=0.5))
    assert failing.outcome == "rolled back"
    assert "failed answers" in failing.words
    go_on(own_toy, first=300, day=61, seed=7)
    lopsided = run_round(
        own_toy, BY_CANARY, why="asked for", sleep=visitors(own_toy, time.time, people=600, lost=0.5)
    )
    assert lopsided.outcome == "the readout objects", lopsided
    go_on(own_toy, first=400, day=62, seed=8)
    now = [time.time()]

    def an_hour(seconds: float) -> None:
        now[0] += 3600

    unseen = run_round(own_toy, BY_CANARY, why="asked for", clock=lambda: now[0], sleep=an_hour)
    assert unseen.outcome == "unseen"
    assert "--without-canary" in unseen.words
    assert champion(own_toy) == 1
    assert not Experiments(own_toy.folder).entries(state="running")


def test_whoever_moves_the_champion_meanwhile_has_it(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    waiting = Order(canary=QUICK, wait=False)
    assert run_round(own_toy, waiting, why="asked for").step == "canary"
    registry = Registry(own_toy)
    other = trained(own_toy, POPULAR_ONLY)
    registry.client.delete_registered_model_alias(registry.name, "champion")
    moved_to(own_toy, other, alias="champion", expected=0, reason="by hand")
    assert run_round(own_toy, waiting, why="asked for").outcome == "overtaken"
    assert champion(own_toy) == other.version == 3
    assert not Experiments(own_toy.folder).entries(state="running")


def test_a_round_that_goes_on_without_its_canary_ends_it(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    assert run_round(own_toy, Order(canary=QUICK, wait=False), why="asked for").step == "canary"
    assert run_round(own_toy, BY_GATES, why="asked for").outcome == "promoted"
    assert not Experiments(own_toy.folder).entries(state="running")

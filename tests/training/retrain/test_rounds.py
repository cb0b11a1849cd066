"""A round ends in a decision, whatever interrupts it, and only one is under way."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from registry.experiments.launching import launcher_of
from registry.promotion.aliases import Aliases
from registry.promotion.promote import Order as Move
from registry.promotion.promote import promote
from registry.versions.versions import Registry
from tailorbird.experiments.deciding.own import read_experiment_out
from tailorbird.experiments.deciding.readout import OwnReadout
from tailorbird.experiments.running.ledger import Ledger as Experiments
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings
from tests.proving import tries
from tests.training.retrain.world import (
    BY_CANARY,
    BY_GATES,
    QUICK,
    Waiting,
    at_canary,
    champion,
    go_on,
    see,
    with_champion,
)
from tests.training.toy import NOW, POPULAR_ONLY
from training.data.training_set import training_set
from training.fit.train import train
from training.retrain.commands import _plain
from training.retrain.due import Causes, standing_of
from training.retrain.ledger import STEPS, Ledger, Round, Taken
from training.retrain.order import Order
from training.retrain.rounds import LOCK_FILE, BusyError, _held, is_held, run_round

pytestmark = pytest.mark.slow


class FaultError(Exception):
    """The process ends here."""


def fails(*arguments: Any, **more: Any) -> None:
    raise FaultError


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
    ledger, waiting = Ledger(own_toy.folder), Waiting(own_toy)
    for step in STEPS:
        if step == "decision":  # the version is champion already, and the experiment not decided
            with monkeypatch.context() as patch:
                patch.setattr(Experiments, "decide", fails)
                with pytest.raises(FaultError):
                    run_round(own_toy, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)
            assert champion(own_toy) == 2
        for written in (False, True):
            with monkeypatch.context() as patch:
                fails_once(patch, step, written=written)
                with pytest.raises(FaultError):
                    run_round(own_toy, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)
            done = ledger.rounds(last=1)[0]
            assert (done.number, done.trouble) == (1, "FaultError: ")
            assert len(done.taken) == STEPS.index(step) + written
    assert (done.outcome, done.facts["version"], done.facts["champion"]) == ("promoted", 2, 1)
    assert [each.step for each in done.taken] == list(STEPS)
    registry = Registry(own_toy)
    assert registry.version("latest").version == champion(own_toy) == 2
    assert len(Aliases(registry).history("champion")) == 2
    assert [each.verdict for each in Experiments(own_toy.folder).entries()] == ["retrained"]


def test_a_killed_process_leaves_a_round_that_goes_on(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    ledger = Ledger(own_toy.folder)
    for at in ("train", "features", "challenger", "decision")[: tries(2, 4)]:
        process = _child(own_toy)
        try:
            while not _came_to(own_toy, ledger, at):
                assert process.poll() is None, f"it ended before {at}"
                time.sleep(0.02)
            with pytest.raises(BusyError, match=f"process {process.pid} of .* is at "):
                run_round(own_toy, BY_GATES, why="asked for")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not is_held(own_toy)
        assert ledger.unfinished() is not None
    done = run_round(own_toy, BY_GATES, why="asked for")
    assert (done.number, done.outcome, done.facts["version"]) == (1, "promoted", 2), done
    assert champion(own_toy) == Registry(own_toy).version("latest").version == 2


def _came_to(settings: Settings, ledger: Ledger, step: str) -> bool:
    found = ledger.unfinished()
    return found is not None and is_held(settings) and STEPS.index(found.step) >= STEPS.index(step)


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


def test_whoever_only_looks_keeps_nobody_from_it(settings: Settings) -> None:
    def look() -> None:
        with alone(settings.folder / LOCK_FILE):
            looking.set()
            time.sleep(0.1)

    looking = Event()
    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look)
        looking.wait()
        assert is_held(settings)
        with _held(settings) as mine:
            assert mine
        looked.result()
    assert not is_held(settings)


def test_canaries_that_fail_or_are_seen_by_nobody_or_are_lopsided_leave_the_champion(
    compared: Settings,
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_round(compared, BY_CANARY, why="asked for", sleep=interrupted)
    assert Ledger(compared.folder).rounds(last=1)[0].trouble == "interrupted"

    def ended(waiting: Waiting) -> tuple[str, str]:
        done = run_round(compared, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)
        return done.outcome, done.words

    outcome, words = ended(Waiting(compared, failed=0.5))
    assert outcome == "rolled back"
    assert "failed answers" in words
    at_canary(compared)
    assert ended(Waiting(compared, people=600, lost=0.5))[0] == "the readout objects"
    at_canary(compared)
    outcome, words = ended(Waiting(compared, people=0))
    assert outcome == "unseen"
    assert "--without-canary" in words
    assert champion(compared) == 1
    assert not Experiments(compared.folder).entries(state="running")


def test_a_canary_that_the_guard_or_a_person_stopped_makes_no_champion(
    compared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(key: str) -> None:
        launcher_of(compared).stop(key, who="ada", reason="it looks odd")

    def ended(order: Order = BY_CANARY) -> tuple[str, int | None]:
        return run_round(compared, order, why="asked for").outcome, champion(compared)

    stop(at_decision(compared, monkeypatch))
    assert ended() == ("decided by hand", 1)

    at_canary(compared)
    at_decision(compared, monkeypatch)
    see(compared, time.time() + 1.0, people=600, failed=0.5)
    assert ended() == ("rolled back", 1)

    at_canary(compared)
    key = at_decision(compared, monkeypatch)

    def stopped_meanwhile(*arguments: Any, **more: Any) -> OwnReadout:
        stop(key)
        return read_experiment_out(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr("training.retrain.canary.read_experiment_out", stopped_meanwhile)
        assert ended() == ("decided by hand", 1)

    at_canary(compared)
    assert run_round(compared, Order(canary=QUICK, wait=False), why="asked for").step == "canary"
    stop(Experiments(compared.folder).entries(state="running")[0].key)
    assert ended(BY_GATES) == ("decided by hand", 1)


def test_whoever_moves_the_champion_meanwhile_has_it(
    compared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_hand(version: int) -> None:
        order = Move("champion", "ada", NOW, force=True, reason="by hand")
        promote(Registry(compared), str(version), order=order)

    def overtaken_at(step: str, done: Round) -> bool:
        left = Experiments(compared.folder).entries(state="running")
        return (done.outcome, done.taken[-1].step, champion(compared), left) == ("overtaken", step, 3, [])

    def moved(seconds: float) -> None:
        waiting.sleep(seconds)
        by_hand(3)

    waiting = Waiting(compared)
    waits = run_round(compared, BY_CANARY, why="asked for", clock=waiting.clock, sleep=moved)
    assert overtaken_at("canary", waits), waits

    by_hand(1)
    at_canary(compared)
    at_decision(compared, monkeypatch)
    by_hand(3)
    decides = run_round(compared, BY_CANARY, why="asked for")
    assert overtaken_at("decision", decides), decides

    by_hand(1)
    at_canary(compared)
    leaves = Order(canary=QUICK, wait=False)
    assert run_round(compared, leaves, why="asked for").step == "canary"
    by_hand(3)
    comes_back = run_round(compared, leaves, why="asked for")
    assert overtaken_at("canary", comes_back), comes_back


def test_a_round_that_goes_on_without_its_canary_ends_it(compared: Settings) -> None:
    assert run_round(compared, Order(canary=QUICK, wait=False), why="asked for").step == "canary"
    assert run_round(compared, BY_GATES, why="asked for").outcome == "promoted"
    assert not Experiments(compared.folder).entries(state="running")
    assert champion(compared) == 2


def test_a_canary_that_is_worse_makes_no_champion_though_nobody_waits_for_it(compared: Settings) -> None:
    """Nobody looked after what people saw last, and the next call goes on without the canary."""
    assert run_round(compared, Order(canary=QUICK, wait=False), why="asked for").step == "canary"
    see(compared, time.time() + 1.0, people=600, failed=0.5)
    done = run_round(compared, BY_GATES, why="asked for")
    assert (done.outcome, champion(compared)) == ("rolled back", 1)


def test_a_round_that_nobody_saw_is_decided_by_the_gates_where_nothing_is_newer(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    waiting = Waiting(own_toy, people=0)
    unseen = run_round(own_toy, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)
    assert (unseen.outcome, unseen.facts["version"], champion(own_toy)) == ("unseen", 2, 1)
    again = run_round(own_toy, BY_CANARY, why="by schedule")
    assert (again.outcome, champion(own_toy)) == ("unchanged", 1)
    decided = run_round(own_toy, BY_GATES, why="asked for")
    assert (decided.outcome, decided.facts["version"], champion(own_toy)) == ("promoted", 2, 2)
    assert "round 1 did not decide about it" in decided.taken[1].words
    assert run_round(own_toy, BY_GATES, why="asked for").outcome == "unchanged"


def test_what_a_round_itself_ended_before_a_kill_is_told_as_it_was(
    compared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(step: str, waiting: Waiting) -> None:
        with monkeypatch.context() as patch:
            fails_once(patch, step, written=False)
            with pytest.raises(FaultError):
                run_round(compared, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)

    def outcome() -> tuple[str, int | None]:
        done = run_round(compared, BY_CANARY, why="asked for")
        return done.outcome, champion(compared)

    killed("canary", Waiting(compared, people=0))
    assert outcome() == ("unseen", 1)
    at_canary(compared)
    killed("decision", Waiting(compared, people=600, lost=0.5))
    assert outcome() == ("the readout objects", 1)
    at_canary(compared)
    killed("decision", Waiting(compared))
    assert outcome() == ("promoted", 2)
    assert "champion is version 2" in Ledger(compared.folder).rounds(last=1)[0].words


def test_a_round_that_goes_on_says_so_and_whether_it_waits_or_was_killed(
    compared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed() -> dict[str, Any]:
        return _plain(Ledger(compared.folder).rounds(last=1)[0], held=False)

    run_round(compared, Order(canary=QUICK, wait=False), why="asked for")
    assert (listed()["state"], listed()["trouble"]) == ("waits", None)
    assert standing_of(compared, BY_GATES, Causes()).steps == ("decision",)
    ledger = Ledger(compared.folder)
    ledger.hold(1, holder="process 7 of shop-1")
    assert (listed()["state"], listed()["trouble"]) == ("stopped", "process 7 of shop-1 ended in its midst")
    assert run_round(compared, BY_GATES, why="asked for").outcome == "promoted"
    ledger.hold(ledger.begin(why="asked for", at=1.0).number, holder="process 8 of shop-1")
    capsys.readouterr()
    run_round(compared, BY_GATES, why="asked for")
    assert "round 2 goes on at features" in "".join(capsys.readouterr())


@pytest.fixture
def compared(own_toy: Settings) -> Settings:
    """Champion is version 1; a round has come to the canary of version 2, and version 3 is there, too."""
    with_champion(own_toy, POPULAR_ONLY)
    for seed in (1, 2):
        dataset = training_set(own_toy)
        train(dataset, POPULAR_ONLY, settings=own_toy, seed=seed, now=NOW, again=True)
    at_canary(own_toy)
    return own_toy


def at_decision(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of the canary, which enough have seen; the process ended before the decision."""
    waiting = Waiting(settings)
    with monkeypatch.context() as patch:
        fails_once(patch, "canary", written=True)
        with pytest.raises(FaultError):
            run_round(settings, BY_CANARY, why="asked for", clock=waiting.clock, sleep=waiting.sleep)
    return Experiments(settings.folder).entries(state="running")[0].key

"""Running a round: its steps one after another, each written down when it is done, so that whoever comes next goes on there."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from registry.versions.versions import Registry
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings
from training.retrain import canary, steps
from training.retrain.ledger import Ledger, Round, Taken
from training.retrain.order import Done, Order, Work

LOCK_FILE = ".retraining.lock"
NOBODY = "nobody"
TRIES, BETWEEN_SECONDS = 20, 0.05
_STEPS: Mapping[str, Callable[[Work], Done | None]] = {
    "features": steps.features,
    "train": steps.train,
    "evaluate": steps.evaluate,
    "challenger": steps.challenger,
    "canary": canary.canary,
    "decision": canary.decision,
}


class BusyError(TailorbirdError):
    """Another process retrains this workspace."""


def run_round(
    settings: Settings,
    order: Order,
    *,
    why: str,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> Round:
    """Begin a round, or go on with the one that was stopped, until it is over (or waits, where the order does not).

    Raises:
        BusyError: another process is at it.
        TailorbirdError: a step cannot be done; the ledger says so, and the same call tries it again.
    """
    ledger = Ledger(settings.folder)
    with _held(settings) as mine:
        if not mine:
            raise _busy(settings, ledger)
        found = ledger.begin(why=why, at=clock())
        ledger.hold(found.number, holder=f"process {os.getpid()} of {socket.gethostname()}")
        if found.holder:
            say(f"round {found.number} goes on at {found.step}")
        registry = Registry(settings)
        try:
            while found.ended is None:
                after = _step(Work(settings, order, registry, found, clock, sleep), ledger)
                if after is None:  # its canary runs, and nobody waits
                    ledger.hold(found.number, holder=NOBODY)
                    break
                found = after
        except BaseException as error:
            ledger.stopped(found.number, trouble=_words(error))
            raise
        finally:
            ledger.close()
    return found


def is_held(settings: Settings) -> bool:
    """Whether a process retrains this workspace now."""
    if not (settings.folder / LOCK_FILE).exists():
        return False
    with alone_if_free(settings.folder / LOCK_FILE) as mine:
        return not mine


@contextmanager
def _held(settings: Settings) -> Iterator[bool]:
    """The lock; asked for a few times, as whoever looks whether it is held has it for that moment (:func:`is_held`)."""
    for _ in range(TRIES):
        with alone_if_free(settings.folder / LOCK_FILE) as mine:
            if mine:
                yield True
                return
        time.sleep(BETWEEN_SECONDS)
    yield False


def _step(work: Work, ledger: Ledger) -> Round | None:
    name, number, began = work.round.step, work.round.number, time.perf_counter()
    done = _STEPS[name](work)
    if done is None:
        return None
    say(f"{name}: {done.words}")
    taken = Taken(name, work.clock(), round(time.perf_counter() - began, 3), done.words)
    return ledger.done(number, taken, facts=done.facts, outcome=done.outcome)


def _busy(settings: Settings, ledger: Ledger) -> BusyError:
    found = ledger.unfinished()
    who = (
        f"{found.holder} is at {found.step} of round {found.number}" if found else "another process is at it"
    )
    return BusyError(
        f"workspace {settings.workspace!r} is being retrained: {who}", remedy="wait until it is done"
    )


def _words(error: BaseException) -> str:
    if isinstance(error, TailorbirdError):
        return error.what
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"

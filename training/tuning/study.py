"""One Optuna study, owned by one process: what to try next, what to stop early, how to go on after a kill."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.plumbing.postgres import alone_in, alone_in_if_free, sqlalchemy_address
from training.tuning.space import Space, Value

if TYPE_CHECKING:
    import optuna

PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class Finished:
    """A trial that is over: ``state`` COMPLETE, PRUNED or FAIL; ``value`` None unless complete."""

    number: int
    state: str
    value: float | None
    params: Mapping[str, Value]
    attributes: Mapping[str, Any]


class OwnedStudy:
    """A study in a SQLite file or in PostgreSQL. Every call happens in the process that holds the study's lock."""

    def __init__(self, study: "optuna.Study", space: Space, *, seed: int) -> None:
        self._study = study
        self._space = space
        self._seed = seed
        self._open: dict[int, optuna.Trial] = {}

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, name: str, *, space: Space, pruner: str, seed: int, database: str = ""
    ) -> Iterator[Self]:
        """Open or go on with study ``name``; trials that a killed process left running are failed and queued again.

        ``database`` is a PostgreSQL address, from where any machine goes on; without it the study is a file in ``folder``.

        Raises:
            TailorbirdError: another process runs this study, or the database is away.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with _owned(folder, name, database) as free:
            if not free:
                raise TailorbirdError(
                    f"study {name!r} is already running",
                    remedy="wait for it, or stop it and start again to resume",
                )
            study = optuna.create_study(
                storage=_storage(folder, name, database),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(pruner),
            )
            owned = cls(study, space, seed=seed)
            owned._requeue_stale()
            yield owned

    def first(self, params: Mapping[str, Value]) -> None:
        """Queue a point to try before any other; a study that has it already is left alone."""
        self._study.enqueue_trial(dict(params), skip_if_exists=True)

    def ask(self) -> tuple[int, dict[str, Value]]:
        """Start the next trial: its number and its values.

        What is drawn depends on the seed, how many trials began before and what the study knows, not on when this process
        began: a resumed study draws nothing twice.
        """
        import optuna

        waiting = optuna.trial.TrialState.WAITING
        begun = sum(trial.state != waiting for trial in self._study.get_trials(deepcopy=False))
        own = np.random.default_rng([self._seed, begun]).integers(2**31)
        self._study.sampler = optuna.samplers.TPESampler(seed=int(own), n_startup_trials=6)
        trial = self._study.ask()
        self._open[trial.number] = trial
        return trial.number, self._space.suggest(trial)

    def report(self, number: int, value: float, *, step: int) -> bool:
        """Hear a running trial's intermediate figure; True where it should stop."""
        trial = self._open[number]
        trial.report(value, step)
        return trial.should_prune()

    def tell(self, number: int, value: float | None, *, state: str) -> None:
        """Close a trial as COMPLETE (with its value), PRUNED or FAIL."""
        import optuna

        trial = self._open.pop(number)
        self._study.tell(trial, value, state=optuna.trial.TrialState[state])

    def annotate(self, number: int, key: str, value: object) -> None:
        """Remember something of a running trial."""
        self._open[number].set_user_attr(key, value)

    def remember(self, key: str, value: object) -> None:
        """Remember something of the study."""
        self._study.set_user_attr(key, value)

    def memory(self, key: str) -> Any:
        """What was remembered of the study; None where nothing was."""
        return self._study.user_attrs.get(key)

    def finished(self) -> list[Finished]:
        """Every trial that is over, in order."""
        return [
            Finished(
                trial.number,
                trial.state.name,
                trial.value if trial.state.name == "COMPLETE" else None,
                trial.params,
                trial.user_attrs,
            )
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.is_finished()
        ]

    def done(self) -> int:
        """How many trials count towards the number that was asked for: complete and pruned ones."""
        return sum(trial.state in ("COMPLETE", "PRUNED") for trial in self.finished())

    def best(self) -> Finished:
        """The best complete trial; of equals, the first.

        Raises:
            TailorbirdError: no trial completed.
        """
        complete = [trial for trial in self.finished() if trial.value is not None]
        if not complete:
            raise TailorbirdError("no trial completed", remedy="see the messages of the failed trials above")
        return max(complete, key=lambda trial: (trial.value, -trial.number))

    def importance(self) -> dict[str, float]:
        """How much each key explains of the value (fANOVA); empty where too few trials completed."""
        import optuna

        complete = [trial for trial in self.finished() if trial.value is not None]
        if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
            return {}
        return dict(optuna.importance.get_param_importances(self._study))

    def _requeue_stale(self) -> None:
        import optuna

        running = optuna.trial.TrialState.RUNNING
        for trial in self._study.get_trials(deepcopy=False, states=(running,)):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            # A queued trial may have been killed before it took its values.
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if params:
                self._study.enqueue_trial(params, user_attrs={"again": trial.number})


def _owned(folder: Path, name: str, database: str) -> AbstractContextManager[bool]:
    """The lock of a study: among the processes of this machine, or among all that use the database."""
    return alone_in_if_free(database, f"study {name}") if database else alone_if_free(folder / f"{name}.lock")


def _storage(folder: Path, name: str, database: str) -> "optuna.storages.RDBStorage":
    import optuna

    if not database:
        return optuna.storages.RDBStorage(f"sqlite:///{folder / f'{name}.db'}")
    from sqlalchemy.pool import NullPool

    with alone_in(database, "studies"):  # two first studies at once would both make the tables
        # A search asks seldom: a connection kept meanwhile would only go stale.
        return optuna.storages.RDBStorage(sqlalchemy_address(database), engine_kwargs={"poolclass": NullPool})


def _pruner(name: str) -> "optuna.pruners.BasePruner":
    import optuna

    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=2)
    return optuna.pruners.NopPruner()

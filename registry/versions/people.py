"""What MLflow keeps of people: the cases of evaluations in the artifacts of runs; and which versions learned from whom."""

import datetime as dt
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from registry.following.download import local_folder
from registry.following.pointers import RegistryAwayError, RegistryError
from registry.tracking.runs import Run
from registry.tracking.store import open_client
from registry.versions.cases import CASES_FILE, LATER
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import BUNDLE_PATH, BundleError, Manifest
from tailorbird.privacy.erasure.receipt import AT_ERASURE, ModelState
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PERSON = "user_id"
_PAGE = 1_000
Span = tuple[float, float]
"""First and last event, epoch seconds."""


class RunTables:
    """The tables with people in them of all runs of a workspace. Nothing is asked of MLflow until somebody does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "MlflowClient":
        return open_client(self._settings)

    @property
    def _there(self) -> bool:
        return self._settings.tracking != "sqlite" or (self._settings.mlruns / "mlflow.db").exists()

    def count(self, people: Collection[str]) -> Mapping[str, int]:
        """How many cases there are of each of some people."""
        found: Counter[str] = Counter()
        for _, _, table in self._tables(people):
            keys = table[_PERSON]
            found.update(keys.filter(pc.is_in(keys, _texts(people))).to_pylist())
        return found

    def read(self, people: Collection[str]) -> Iterator[dict[str, Any]]:
        """The cases of people, and the run that asked them."""
        for run, name, table in self._tables(people):
            for row in table.filter(pc.is_in(table[_PERSON], _texts(people))).to_pylist():
                rank = row.get("rank")
                words = f"asked what you would choose next, a model had {row.get('target')!r} at place {rank}"
                yield {**row, "run": run.run_id, "table": name, "words": words}

    def erase(self, people: Collection[str]) -> None:
        """Take the cases of people out of every table."""
        for run, name, table in self._tables(people):
            kept = table.filter(pc.invert(pc.is_in(table[_PERSON], _texts(people))))
            folder = local_folder(self._client.get_run(run.run_id).info.artifact_uri or "")
            if folder is not None:
                staged = folder / f"{name}.{os.getpid()}.tmp"
                pq.write_table(kept, staged)
                staged.replace(folder / name)
                continue
            with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
                path = Path(scratch) / Path(name).name
                pq.write_table(kept, path)
                run.file(path, str(Path(name).parent) if "/" in name else "")

    def _tables(self, people: Collection[str]) -> Iterator[tuple[Run, str, pa.Table]]:
        """The tables that hold some of ``people``."""
        for run, name in self._names() if self._there else ():
            with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
                try:
                    table = pq.read_table(run.fetch(name, Path(scratch)))
                except (OSError, pa.ArrowInvalid) as error:
                    raise RegistryAwayError(
                        f"{name} of run {run.run_id} cannot be read: {error}",
                        remedy="look whether the artifact store answers",
                    ) from error
            if _PERSON in table.column_names and pc.any(pc.is_in(table[_PERSON], _texts(people))).as_py():
                yield run, name, table

    def _names(self) -> Iterator[tuple[Run, str]]:
        from mlflow.exceptions import MlflowException

        try:
            for run in self._runs():
                names = [each for each in run.files() if each == CASES_FILE]
                names += [each for each in run.files(LATER) if each.endswith(".parquet")]
                for name in names:
                    yield run, name
        except MlflowException as error:
            raise RegistryAwayError(
                f"the runs in {self._settings.mlflow_uri} cannot be read: {error}",
                remedy="look whether MLflow's database or server answers",
            ) from error

    def _runs(self) -> Iterator[Run]:
        for name in (self._settings.model_name, self._settings.segments_name):
            experiment = self._client.get_experiment_by_name(name)
            token: str | None = None
            while experiment is not None:
                page = self._client.search_runs(
                    [experiment.experiment_id], run_view_type=_ALL, max_results=_PAGE, page_token=token
                )
                for found in page:
                    yield Run(self._client, found.info.run_id)
                token = page.token
                if not token:
                    break


def models_of(settings: Settings, spans: Mapping[str, Span | None]) -> dict[str, list[ModelState]]:
    """For each person, by the span of their events (None: there are none), what each version in use learned of them.

    A version in use is one that an alias points at.
    """
    if settings.tracking == "sqlite" and not (settings.mlruns / "mlflow.db").exists():
        return {person: [] for person in spans}
    states: dict[str, list[ModelState]] = {person: [] for person in spans}
    for name in (settings.model_name, settings.segments_name):
        registry = Registry(settings, name=name)
        for alias, number in sorted(registry.aliases().items()):
            trained = _trained(registry.version(number))
            for person, span in spans.items():
                states[person].append(_state(alias, name, number, span, trained))
    return states


def _trained(version: Registered) -> Span | None:
    """First and last event of a version's training; None where it is not known."""
    folder = local_folder(version.source)
    try:
        manifest = Manifest.read(folder / BUNDLE_PATH if folder is not None else version.folder)
        first, last = (dt.datetime.fromisoformat(each).timestamp() for each in manifest.data_span)
    except (BundleError, RegistryError, ValueError, OSError):
        return None
    return first, last


def _state(alias: str, name: str, number: int, span: Span | None, trained: Span | None) -> ModelState:
    held, why = _held(span, trained)
    return ModelState(alias, name, str(number), held, why, AT_ERASURE[held], str(number))  # type: ignore[arg-type]


def _held(span: Span | None, trained: Span | None) -> tuple[str, str]:
    if trained is None:
        return "unknown", "the time of its training data is not known"
    if span is None:
        return (
            "unknown",
            "no events of the person are stored: those it may have learned from were erased before",
        )
    words = f"its training data goes from {_day(trained[0])} to {_day(trained[1])}"
    if span[1] < trained[0] or span[0] > trained[1]:
        return "no", f"{words}, and all events of the person lie outside"
    if any(trained[0] <= each <= trained[1] for each in span):
        return "yes", f"{words}, and events of the person lie within"
    return "unknown", f"{words}; the person has events before and after"


def _day(instant: float) -> str:
    return dt.datetime.fromtimestamp(instant, dt.UTC).strftime("%Y-%m-%d %H:%M")


def _texts(people: Collection[str]) -> pa.Array:
    return pa.array(list(people), pa.string())


_ALL = 3
"""MLflow's ViewType.ALL: runs that were deleted keep their artifacts."""

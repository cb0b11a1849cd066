"""Writing to MLflow: one experiment per workspace, runs with parents, figures, dataset identity. Never the fluent API."""

import math
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from registry.tracking.store import artifact_location, locked, open_client
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

_BATCH = 1000  # MLflow's limit of metrics in one call


@dataclass(frozen=True)
class DataIdentity:
    """Which data a run saw: its name, a digest of its content and what it measures."""

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any]


class Tracker:
    """One workspace's MLflow experiment. All its writes go through the process that owns this object."""

    def __init__(self, client: "MlflowClient", experiment_id: str, *, uri: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.uri = uri

    @classmethod
    def open(cls, settings: Settings, *, name: str = "") -> Self:
        """Open the workspace's experiment, or the one of another of its models.

        A database's schema is created once, under a lock.
        """
        client = open_client(settings)
        with locked(settings):
            experiment = experiment_id(
                client,
                name or settings.model_name,
                location=artifact_location(settings),
            )
        return cls(client, experiment, uri=settings.mlflow_uri)

    def start(
        self, name: str, *, parent: "Run | None" = None, tags: Mapping[str, str] | None = None
    ) -> "Run":
        """Start a run. Use it as a context: an exception marks it FAILED, an interrupt KILLED."""
        commit = git_commit()
        own = {
            "mlflow.source.name": "tailorbird",
            **({"mlflow.source.git.commit": commit} if commit else {}),
            **({"mlflow.parentRunId": parent.run_id} if parent else {}),
            **(tags or {}),
        }
        run = self.client.create_run(self.experiment_id, run_name=name, tags=own)
        return Run(self.client, run.info.run_id)

    def children(self, parent: "Run", *, status: str) -> "list[MlflowRun]":
        """The runs of ``parent`` that have this status."""
        found: list[MlflowRun] = []
        token: str | None = None
        query = f"tags.`mlflow.parentRunId` = '{parent.run_id}' and attributes.status = '{status}'"
        while token != "":
            page = self.client.search_runs([self.experiment_id], query, page_token=token)
            found += page
            token = page.token or ""
        return found

    def latest(self, *, tag: str, value: str) -> "MlflowRun | None":
        """The newest finished run with this tag; None where there is none."""
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return found[0] if found else None

    def resume(self, run_id: str) -> "Run":
        """Go on with a run that an earlier process began."""
        self.client.update_run(run_id, status="RUNNING")
        return Run(self.client, run_id)


class Run:
    """One MLflow run."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            self.finish("FINISHED")
            return
        self.tags({"error": f"{kind.__name__}: {error}"})
        self.finish("KILLED" if issubclass(kind, (KeyboardInterrupt, SystemExit)) else "FAILED")

    def finish(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status=status)

    def tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; values become text."""
        from mlflow.entities import RunTag

        self._log(tags=[RunTag(key, str(value)[:5000]) for key, value in tags.items()])

    def params(self, params: Mapping[str, object]) -> None:
        """Record parameters; nested mappings become dotted keys."""
        from mlflow.entities import Param

        self._log(params=[Param(key, str(value)[:6000]) for key, value in flat(params).items()])

    def metrics(self, metrics: Mapping[str, object], *, step: int = 0) -> None:
        """Record figures (numbers only; the rest of the mapping is skipped); nested mappings become dotted keys."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        rows = [
            Metric(metric_name(key), float(value), now, step)
            for key, value in flat(metrics).items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        ]
        for start in range(0, len(rows), _BATCH):
            self._log(metrics=rows[start : start + _BATCH])

    def curve(self, name: str, values: Sequence[float]) -> None:
        """Record one figure's course, one value a step."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        rows = [
            Metric(metric_name(name), float(value), now, step)
            for step, value in enumerate(values)
            if math.isfinite(value)
        ]
        for start in range(0, len(rows), _BATCH):
            self._log(metrics=rows[start : start + _BATCH])

    def data(self, identity: DataIdentity, *, context: str) -> None:
        """Record which data the run saw, for ``context`` (training, validation, testing)."""
        import json

        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=identity.name,
            digest=identity.digest[:36],
            source_type="local",
            source=json.dumps({"uri": identity.source}),
            profile=json.dumps(dict(identity.profile), default=str),
        )
        self.client.log_inputs(
            self.run_id, [DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])]
        )

    def figure(self, figure: "Figure", name: str) -> None:
        """Store a plot as a PNG artifact and release it."""
        import matplotlib.pyplot as plt

        self.client.log_figure(self.run_id, figure, name)
        plt.close(figure)

    def text(self, text: str, name: str) -> None:
        """Store a text artifact."""
        self.client.log_text(self.run_id, text, name)

    def file(self, path: Path, folder: str = "") -> None:
        """Store a file as an artifact."""
        self.client.log_artifact(self.run_id, str(path), folder or None)

    def files(self, folder: str = "") -> list[str]:
        """Names of the run's artifacts in ``folder``, its sub-folders left out."""
        found = self.client.list_artifacts(self.run_id, folder or None)
        return [str(entry.path) for entry in found if not entry.is_dir]

    def fetch(self, name: str, into: Path) -> Path:
        """Bring one of the run's artifacts to the folder ``into``; its path.

        Raises:
            FileNotFoundError: the run has no such artifact, or the store does not give it.
        """
        from mlflow.exceptions import MlflowException

        try:
            return Path(self.client.download_artifacts(self.run_id, name, dst_path=str(into)))
        except (MlflowException, OSError) as error:
            raise FileNotFoundError(f"{name} of run {self.run_id}: {error}") from error

    def _log(self, **what: Any) -> None:
        self.client.log_batch(self.run_id, **what)


def experiment_id(client: "MlflowClient", name: str, *, location: str | None) -> str:
    """The experiment of this name, made where it is missing; of two makers at once both get the same."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
            assert found is not None
    return str(found.experiment_id)


@cache
def git_commit() -> str:
    """The commit of this code when it was first asked for, with ``-dirty`` where files differ; empty outside of a checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(here, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return ""


def flat(nested: Mapping[str, object], *, prefix: str = "") -> dict[str, object]:
    """Turn nested mappings into one level of dotted keys."""
    rows: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            rows |= flat(value, prefix=f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = value
    return rows


def metric_name(name: str) -> str:
    """Spell a figure's name as MLflow accepts it: ``ndcg@10`` becomes ``ndcg_at_10``."""
    name = name.replace("@", "_at_")
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)[:250]


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(folder), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()

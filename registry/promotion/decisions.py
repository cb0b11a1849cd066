"""Decisions: who moved which alias, when, why and on which figures. Each is one MLflow run, begun before and closed after the move.

The runs lie in an experiment of their own and are only ever added (docs/adr/0011). A decision that was begun but not
closed took effect if the alias points where it says, else never.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from registry.tracking.runs import experiment_id
from tailorbird.errors import UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PROMOTE, ROLLBACK = "promote", "rollback"
LONGEST_REASON = 2000
_RUNNING, _FINISHED, _KILLED = "RUNNING", "FINISHED", "KILLED"
_WORDS, _MOST_SKIPPED = 300, 20  # MLflow keeps 8,000 characters of a tag, and half a JSON is none


@dataclass(frozen=True)
class Decision:
    """One move of an alias: who made it, when (UTC), why, on which findings, from which version to which.

    ``number`` counts the workspace's decisions; ``verdict`` is what quality was found to be, "" where it was not judged;
    ``skipped`` names the versions a rollback passed over, with the reasons.
    """

    kind: str
    alias: str
    version: int
    before: int | None
    who: str
    when: dt.datetime
    why: str = ""
    verdict: str = ""
    forced: bool = False
    findings: Sequence[Mapping[str, Any]] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    run_id: str = ""

    def __post_init__(self) -> None:
        if len(self.why) > LONGEST_REASON:
            raise UsageError(
                f"the reason has {len(self.why):,} characters",
                remedy=f"{LONGEST_REASON:,} are kept; say it shorter",
            )

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain values, for JSON."""
        return {
            "number": self.number,
            "kind": self.kind,
            "alias": self.alias,
            "version": self.version,
            "before": self.before,
            "who": self.who,
            "when": _iso(self.when),
            "why": self.why,
            "verdict": self.verdict,
            "forced": self.forced,
            "findings": [dict(each) for each in self.findings],
            "skipped": dict(self.skipped),
            "run": self.run_id,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of all that is kept of it, the run's id apart."""
        return hashlib.sha256(json.dumps(_tags(self), sort_keys=True).encode()).hexdigest()


class Decisions:
    """The decisions of one workspace, in MLflow."""

    def __init__(self, client: "MlflowClient", *, model: str, location: str | None) -> None:
        self._client, self._model, self._location = client, model, location
        self.experiment = f"{model} decisions"

    def history(self, alias: str | None = None, *, points_at: Mapping[str, int]) -> list[Decision]:
        """Every decision that took effect, newest first; ``points_at`` says where the aliases point now."""
        return [
            decision
            for status, decision in self._all(alias)
            if status == _FINISHED
            or (status == _RUNNING and points_at.get(decision.alias) == decision.version)
        ]

    def open(self, alias: str) -> list[Decision]:
        """Decisions begun and not closed: moves under way, or interrupted ones."""
        return [decision for status, decision in self._all(alias) if status == _RUNNING]

    def begin(self, decision: Decision) -> Decision:
        """Write a decision down, all of it at once, before its alias moves."""
        number = 1 + max((earlier.number for _, earlier in self._all(None)), default=0)
        begun = replace(decision, number=number)
        run = self._client.create_run(
            self._experiment_id(make=True),
            start_time=round(decision.when.timestamp() * 1000),
            tags=_tags(begun),
            run_name=f"{number} {begun.kind} {begun.alias} ▸ {begun.version}",
        )
        return replace(begun, run_id=run.info.run_id)

    def conclude(self, decision: Decision) -> None:
        """Close a decision that took effect."""
        self._client.set_terminated(decision.run_id, status=_FINISHED)

    def withdraw(self, decision: Decision) -> None:
        """Close a decision that never took effect."""
        self._client.set_terminated(decision.run_id, status=_KILLED)

    def _all(self, alias: str | None) -> list[tuple[str, Decision]]:
        """(status, decision), newest first, the withdrawn ones too."""
        experiment = self._experiment_id(make=False)
        if not experiment:
            return []
        chosen = f"tags.`decision.alias` = '{alias}'" if alias else ""
        found, token = [], None
        while True:
            page = self._client.search_runs([experiment], chosen, max_results=1000, page_token=token)
            found += [(str(run.info.status), _decision(run)) for run in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda each: (each[1].number, each[1].when), reverse=True)

    def _experiment_id(self, *, make: bool) -> str:
        if make:
            return experiment_id(self._client, self.experiment, location=self._location)
        found = self._client.get_experiment_by_name(self.experiment)
        return str(found.experiment_id) if found else ""


def _tags(decision: Decision) -> dict[str, str]:
    values = decision.to_dict()
    findings = [
        {key: value[:_WORDS] if isinstance(value, str) else value for key, value in each.items()}
        for each in values.pop("findings")
    ]
    skipped = {
        version: reason[:_WORDS] for version, reason in list(values.pop("skipped").items())[:_MOST_SKIPPED]
    }
    values.pop("run")
    return {
        **{f"decision.{key}": "" if value is None else str(value) for key, value in values.items()},
        "decision.findings": json.dumps(findings),
        "decision.skipped": json.dumps(skipped),
        "mlflow.source.name": "tailorbird",
        "mlflow.user": decision.who,
    }


def _decision(run: "Run") -> Decision:
    tags = {key.removeprefix("decision."): value for key, value in run.data.tags.items()}
    return Decision(
        kind=tags["kind"],
        alias=tags["alias"],
        version=int(tags["version"]),
        before=int(tags["before"]) if tags["before"] else None,
        who=tags["who"],
        when=dt.datetime.fromisoformat(tags["when"]),
        why=tags["why"],
        verdict=tags["verdict"],
        forced=tags["forced"] == "True",
        findings=json.loads(tags["findings"]),
        skipped=json.loads(tags["skipped"]),
        number=int(tags["number"]),
        run_id=run.info.run_id,
    )


def _iso(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat(timespec="seconds")

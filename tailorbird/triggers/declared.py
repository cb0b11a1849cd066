"""Triggers as an operator declares them: ``triggers.toml``, targets with their pace, and what has them called."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, TypeAdapter, ValidationError

from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LookedFile
from tailorbird.triggers.addresses import Origin
from tailorbird.triggers.trigger import ANY, Declared, Target, Trigger

TRIGGERS_FILE = "triggers.toml"
MOST_TARGETS, MOST_TRIGGERS = 32, 1_000
_REMEDY = "see docs/guides/triggers.md for the keys; the triggers of before hold until it is right"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Key = Annotated[str, Field(min_length=1, max_length=256)]
Keys = Annotated[list[Key], Field(min_length=1, max_length=256)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TargetTable(_Table):
    url: Annotated[str, Field(max_length=2_000)]
    secret_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
    per_second: Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)] = 5.0
    attempts: Annotated[StrictInt, Field(ge=1, le=20)] = 8
    timeout_seconds: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 10.0


class _TriggerTable(_Table):
    target: Name
    to: Keys | None = None
    from_: Annotated[Keys | None, Field(alias="from")] = None
    rule: Key | None = None
    on: Literal["enter", "leave"] | None = None


class _File(_Table):
    targets: Annotated[dict[Name, _TargetTable], Field(max_length=MOST_TARGETS)] = {}
    triggers: Annotated[list[_TriggerTable], Field(max_length=MOST_TRIGGERS)] = []


_FILE = TypeAdapter(_File)


def read_triggers(path: Path) -> Declared | None:
    """What is declared; None without the file.

    Raises:
        UsageError: the file cannot be read, is no TOML, holds an unknown key or a value out of range, or does not fit together.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    return triggers_of(values, where=str(path))


def triggers_of(values: Mapping[str, Any], *, where: str) -> Declared:
    """What a parsed ``triggers.toml`` declares; ``where`` names it in errors. Raises UsageError."""
    try:
        tables = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise UsageError(f"{where}: {key} = {first['input']!r}: {first['msg']}", remedy=_REMEDY) from error
    targets = {name: Target(name=name, **dict(table)) for name, table in tables.targets.items()}
    for name, target in targets.items():
        if problem := Origin.problem_of(target.url):
            raise UsageError(f"{where}: targets.{name}.url: {problem}", remedy=_REMEDY)
    triggers = []
    for place, table in enumerate(tables.triggers):
        if problem := _contradiction(table, targets):
            raise UsageError(f"{where}: triggers.{place}: {problem}", remedy=_REMEDY)
        triggers.append(_trigger(table))
    return Declared(targets, tuple(triggers))


def _contradiction(table: _TriggerTable, targets: Mapping[str, Target]) -> str:
    if table.target not in targets:
        known = ", ".join(targets) or "none"
        return f"target {table.target!r} is not among the declared ones ({known})"
    if table.rule is None and table.to is None and table.from_ is None:
        return (
            f'nothing would call {table.target!r}: give to, from or rule, or to = ["{ANY}"] for every segment'
        )
    if table.rule is not None and (table.to is not None or table.from_ is not None):
        return "rule and segments (to, from) are two triggers: write two tables"
    if table.on is not None and table.rule is None:
        return f"on = {table.on!r} goes with rule"
    return ""


def _trigger(table: _TriggerTable) -> Trigger:
    return Trigger(
        target=table.target,
        to=None if table.to is None else frozenset(table.to),
        left=None if table.from_ is None else frozenset(table.from_),
        rule=table.rule,
        on=table.on or "enter",
    )


class TriggersFile:
    """The triggers of a workspace, read again when their file changes; a wrong file leaves those of before."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self._path = folder / TRIGGERS_FILE
        self._file = LookedFile(self._path, clock=clock)
        self._declared: Declared | None = None
        self._trouble = ""

    @property
    def exists(self) -> bool:
        """Whether there is such a file, right or wrong."""
        self._look()
        return self._file.exists

    @property
    def declared(self) -> Declared | None:
        """What holds; None without the file, and where it was wrong from the beginning."""
        self._look()
        return self._declared

    @property
    def trouble(self) -> str:
        """What is wrong with the file; "" for nothing."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        """At most once a second."""
        try:
            if not self._file.changed():
                return
            self._declared, self._trouble = read_triggers(self._path), ""
        except (UsageError, OSError) as error:
            self._trouble = str(error)

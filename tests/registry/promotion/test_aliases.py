"""An alias moves with a decision on record or not at all, for one mover at a time, and the way back is always known."""

import datetime as dt
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from registry.promotion.aliases import Aliases, ConflictError, check_alias
from registry.promotion.decisions import PROMOTE, ROLLBACK, Decision
from registry.versions.versions import Registry
from tailorbird.errors import UsageError
from tailorbird.settings import Settings, load_settings
from tests.registry.bundles import NOW, bare_versions
from tests.registry.racers import race, run_alone
from tests.registry.server import mlflow_server

_FRESH = count()
"""Names of aliases that no example had before."""


def decided(
    version: int, before: int | None, *, kind: str = PROMOTE, alias: str = "champion", who: str = "ada"
) -> Decision:
    findings = [{"gate": "g", "passed": True, "found": "x", "figures": {"low": 0.1}}]
    return Decision(
        kind, alias, version, before, who, NOW, why="because", verdict="better", findings=findings
    )


@pytest.fixture
def settings(either: Settings) -> Settings:
    """Every promise holds in SQLite and in PostgreSQL."""
    return either


@pytest.fixture
def registry(settings: Settings) -> Registry:
    """A registry with four versions that hold nothing."""
    registry = Registry(settings)
    bare_versions(registry, settings, 4)
    return registry


@pytest.fixture
def aliases(registry: Registry) -> Aliases:
    return Aliases(registry)


def test_a_move_is_a_decision_with_everything_on_record(registry: Registry, aliases: Aliases) -> None:
    assert aliases.history() == []
    moved = aliases.move(decided(1, None))
    assert registry.aliases() == {"champion": 1}
    again = Aliases(Registry(registry.settings)).history()
    assert again == [moved]
    assert again[0].to_dict() == {
        "number": 1,
        "kind": "promote",
        "alias": "champion",
        "version": 1,
        "before": None,
        "who": "ada",
        "when": "2026-03-04T00:00:00+00:00",
        "why": "because",
        "verdict": "better",
        "forced": False,
        "findings": [{"gate": "g", "passed": True, "found": "x", "figures": {"low": 0.1}}],
        "skipped": {},
        "run": moved.run_id,
    }


def test_later_decisions_are_added_and_earlier_ones_stay(aliases: Aliases) -> None:
    for version, before in ((1, None), (2, 1), (1, 2)):
        aliases.move(decided(version, before))
    aliases.move(decided(3, None, alias="shadow"))
    assert [(each.number, each.version, each.before) for each in aliases.history("champion")] == [
        (3, 1, 2),
        (2, 2, 1),
        (1, 1, None),
    ]
    assert [each.alias for each in aliases.history()] == ["shadow", "champion", "champion", "champion"]


def test_who_believes_the_alias_elsewhere_moves_nothing_and_hears_who_moved_it(
    registry: Registry, aliases: Aliases
) -> None:
    aliases.move(decided(1, None))
    aliases.move(decided(2, 1, who="bob"))
    with pytest.raises(ConflictError, match=r"not at version 1: bob moved it to version 2 at 2026-03-04"):
        aliases.move(decided(3, 1))
    with pytest.raises(ConflictError, match="not at no version: bob"):
        aliases.move(decided(3, None))
    assert registry.aliases() == {"champion": 2}
    assert len(aliases.history()) == 2
    registry.point("champion", 4)
    with pytest.raises(ConflictError, match="it points at version 4 now, and no decision says who moved it"):
        aliases.move(decided(3, 2))


def killed_mover(settings: Settings, moment: str) -> None:
    registry = Registry(settings)
    point = registry.point

    def killed(alias: str, version: int) -> None:
        if moment == "after":
            point(alias, version)
        os.kill(os.getpid(), signal.SIGKILL)

    registry.point = killed  # type: ignore[method-assign]
    Aliases(registry).move(Decision(PROMOTE, "champion", 2, 1, "eve", dt.datetime.now(dt.UTC)))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_mover_leaves_the_old_version_or_the_whole_decision(
    registry: Registry, aliases: Aliases, moment: str
) -> None:
    aliases.move(decided(1, None))
    settings = registry.settings
    assert run_alone(killed_mover, settings, moment) == -signal.SIGKILL
    found = Aliases(Registry(settings))
    if moment == "before":
        assert registry.aliases() == {"champion": 1}
        assert [each.version for each in found.history()] == [1]
        assert found.earlier("champion") == []
    else:
        assert registry.aliases() == {"champion": 2}
        assert [(each.who, each.version) for each in found.history()] == [("eve", 2), ("ada", 1)]
        assert found.earlier("champion") == [1]
    moved = found.move(decided(3, 1 if moment == "before" else 2))
    assert found.decisions.open("champion") == []
    assert [each.version for each in found.history()] == [3, 1] if moment == "before" else [3, 2, 1]
    assert moved.number == 3


def test_an_interrupt_while_the_alias_moves_leaves_no_open_decision(
    registry: Registry, aliases: Aliases, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases.move(decided(1, None))

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry.client, "set_registered_model_alias", cut)
        with pytest.raises(KeyboardInterrupt):
            aliases.move(decided(2, 1))
    assert aliases.decisions.open("champion") == []
    assert [each.version for each in aliases.history()] == [1]


def operator(version: int, settings: Settings, start: Callable[[], object]) -> str:
    """One of several who move the champion away from version 1 at one moment; what it was told."""
    aliases = Aliases(Registry(settings))
    aliases.history()  # connected
    start()
    try:
        aliases.move(Decision(PROMOTE, "champion", version, 1, f"op{version}", dt.datetime.now(dt.UTC)))
    except ConflictError as error:
        return error.what
    return "moved"


@pytest.mark.slow
def test_of_three_operators_at_once_one_moves_the_alias_and_the_others_hear_of_it(
    registry: Registry, aliases: Aliases
) -> None:
    aliases.move(decided(1, None))
    said = race(operator, [2, 3, 4], registry.settings)
    assert said.count("moved") == 1
    winner = 2 + said.index("moved")
    assert registry.aliases() == {"champion": winner}
    assert all(f"op{winner} moved it to version {winner}" in words for words in said if words != "moved")
    assert [each.who for each in aliases.history()] == [f"op{winner}", "ada"]


@pytest.mark.slow
def test_on_a_server_at_most_one_of_three_moves_it_and_the_record_agrees(
    mlflow_schema: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copy(mlflow_schema, tmp_path / "mlflow.db")
    with mlflow_server(tmp_path) as address:
        settings = load_settings(
            home=tmp_path / "home", mlruns=tmp_path / "none", tracking_uri=address, workspace="test"
        )
        registry = Registry(settings)
        bare_versions(registry, settings, 4)
        aliases = Aliases(registry)
        aliases.move(decided(1, None))
        said = race(operator, [2, 3, 4], settings)
        assert said.count("moved") <= 1
        effective = aliases.history()
        assert registry.aliases() == {"champion": effective[0].version}
        assert len(effective) == 1 + said.count("moved")
        assert aliases.decisions.open("champion") == []
        assert not (tmp_path / "none").exists()
        current = effective[0].version
        later = decided(4 if current != 4 else 2, current)
        assert aliases.move(later).before == current


def test_an_open_decision_on_a_server_stops_others_until_it_is_abandoned(
    registry: Registry, aliases: Aliases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "_lockable", False)
    aliases.move(decided(1, None))
    aliases.decisions.begin(decided(2, 1, who="bob"))
    with pytest.raises(ConflictError, match="bob is moving alias 'champion' to version 2 at this moment"):
        aliases.move(decided(3, 1))
    assert registry.aliases() == {"champion": 1}
    from dataclasses import replace

    later = replace(decided(3, 1), when=NOW + dt.timedelta(minutes=6))
    assert aliases.move(later).version == 3
    assert [each.version for each in aliases.history()] == [3, 1]


@pytest.mark.parametrize("either", ["sqlite"], indirect=True)
@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(moves=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_rollback_undoes_moves_like_a_stack(registry: Registry, aliases: Aliases, moves: list[int]) -> None:
    """0 means roll back, 1 to 3 promote; a plain list is the model of what must happen."""
    alias = f"a{next(_FRESH)}"
    stack: list[int] = []
    for move in moves:
        current = stack[-1] if stack else None
        if move and move != current:
            aliases.move(decided(move, current, alias=alias))
            stack.append(move)
        elif not move and (back := aliases.earlier(alias)):
            aliases.move(decided(back[0], current, kind=ROLLBACK, alias=alias))
            stack.pop()
            assert back[0] == stack[-1]
        assert aliases.earlier(alias) == [version for version in reversed(stack[:-1]) if version != stack[-1]]
    assert registry.aliases().get(alias) == (stack[-1] if stack else None)


def test_a_version_set_by_hand_is_on_the_way_back(registry: Registry, aliases: Aliases) -> None:
    registry.point("champion", 4)
    aliases.move(decided(2, 4))
    assert aliases.earlier("champion") == [4]


def test_what_is_no_alias_or_no_reason_is_refused(aliases: Aliases) -> None:
    for wrong in ("7", "latest", "Champion", "a b", "x' OR '1'='1", ""):
        with pytest.raises(UsageError, match="no alias"):
            check_alias(wrong)
    with pytest.raises(UsageError, match="2,001 characters"):
        Decision(PROMOTE, "champion", 1, None, "ada", NOW, why="x" * 2001)


def test_long_findings_and_many_skipped_versions_are_kept_readable(aliases: Aliases) -> None:
    long = Decision(
        ROLLBACK,
        "champion",
        1,
        None,
        "ada",
        NOW,
        findings=[{"gate": "g", "passed": False, "found": "x" * 9000}] * 3,
        skipped={str(n): "y" * 500 for n in range(100)},
    )
    aliases.move(long)
    (kept,) = aliases.history()
    assert kept.findings[2]["found"] == "x" * 300
    assert len(kept.skipped) == 20

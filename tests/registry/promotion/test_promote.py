"""A worse version is refused, force needs a reason, nobody is overtaken, and the way back leads to what can serve."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from registry.following.pointers import RegistryError
from registry.promotion.aliases import Aliases, ConflictError
from registry.promotion.promote import Order, RefusedError, promote, roll_back
from registry.versions.cases import add_cases, cases_of
from registry.versions.versions import Registry
from tailorbird.errors import UsageError
from tailorbird.settings import Settings
from tests.training.toy import NOW, POPULAR_ONLY, append, trained, walks

ORDER = Order("champion", "ada", NOW)
FORCED = replace(ORDER, force=True, reason="a fire drill")


def failed(promotion: object) -> list[str]:
    return promotion.refused  # type: ignore[attr-defined, no-any-return]


def test_a_worse_version_is_refused_and_force_needs_a_reason(registry: Registry) -> None:
    first = promote(registry, "1", order=ORDER)
    assert (first.moved, first.verdict, first.before) == (True, "first", None)
    refused = promote(registry, "2", order=ORDER)
    assert not refused.moved
    assert failed(refused) == ["not worse in ndcg@10"]
    assert refused.verdict == "worse"
    with pytest.raises(RefusedError, match="version 2 is not promoted to champion: not worse in ndcg@10"):
        refused.require_moved()
    assert registry.version("champion").version == 1
    with pytest.raises(UsageError, match="needs a reason"):
        promote(registry, "2", order=replace(FORCED, reason=""))
    forced = promote(registry, "2", order=FORCED)
    assert (forced.moved, forced.forced) == (True, True)
    decision = Aliases(registry).history("champion")[0]
    assert (decision.why, decision.verdict, decision.forced) == ("a fire drill", "worse", True)
    assert (decision.who, decision.when, decision.before) == ("ada", NOW, 1)
    assert decision.findings[-1]["figures"]["high"] < 0
    back = roll_back(registry, order=replace(ORDER, reason="drill over"))
    assert (back.before, back.version, back.skipped) == (2, 1, {})
    assert [finding.passed for finding in back.findings] == [True, True]
    better = promote(registry, "1", order=replace(ORDER, alias="challenger"))
    assert better.moved
    assert better.before is None


def test_promoting_what_is_there_already_changes_nothing(registry: Registry) -> None:
    promote(registry, "1", order=ORDER)
    again = promote(registry, "1", order=ORDER)
    assert not again.moved
    again.require_moved()
    assert len(Aliases(registry).history()) == 1


def test_who_expects_another_version_is_told_before_anything_is_judged(registry: Registry) -> None:
    promote(registry, "1", order=replace(ORDER, expected=0))
    with pytest.raises(ConflictError, match="is not at no version: ada moved it to version 1"):
        promote(registry, "2", order=replace(FORCED, expected=0))
    with pytest.raises(ConflictError, match="is not at version 2: ada moved it to version 1"):
        roll_back(registry, order=replace(ORDER, expected=2))
    assert promote(registry, "2", order=replace(FORCED, expected=1)).moved


def test_what_moved_while_a_version_was_judged_is_not_overwritten(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob promotes version 2 while Ada's gates are still looking at it beside version 1."""
    import registry.promotion.promote as module

    promote(registry, "1", order=ORDER)
    judge = module.judge

    def slow(*given: object, **more: object) -> object:
        findings = judge(*given, **more)  # type: ignore[arg-type]
        monkeypatch.setattr(module, "judge", judge)
        promote(registry, "2", order=replace(FORCED, who="bob"))
        return findings

    monkeypatch.setattr(module, "judge", slow)
    with pytest.raises(ConflictError, match="bob moved it to version 2"):
        promote(registry, "2", order=FORCED)
    assert [decision.who for decision in Aliases(registry).history()] == ["bob", "ada"]


@pytest.fixture
def own_files(registry: Registry, tmp_path: Path) -> Registry:
    """The same registry with artifacts of its own, so that a test may damage them."""
    for number in ("1", "2"):
        version = registry.version(number)
        folder = tmp_path / f"artifacts-{number}"
        shutil.copytree(version.folder.parents[1], folder)
        tags = dict(version.tags)
        registry.client.create_model_version(
            registry.name, source=str(folder), run_id=version.run_id, tags=tags
        )
    return registry


def test_a_damaged_version_is_not_promoted_even_by_force(own_files: Registry) -> None:
    weights = next((own_files.version("3").folder / "model").rglob("*.npy"))
    weights.write_bytes(weights.read_bytes()[:-1])
    refused = promote(own_files, "3", order=FORCED)
    assert not refused.moved
    assert failed(refused) == ["bundle verifies"]
    with pytest.raises(RefusedError) as error:
        refused.require_moved()
    assert "--force" not in error.value.remedy
    assert own_files.aliases() == {}


def test_rollback_passes_over_what_is_deleted_or_damaged_and_names_it(own_files: Registry) -> None:
    for number in ("1", "2", "3", "4", "2"):
        assert promote(own_files, number, order=FORCED).moved
    own_files.client.delete_model_version(own_files.name, "4")
    weights = next((own_files.version("3").folder / "model").rglob("*.npy"))
    weights.write_bytes(b"?" * len(weights.read_bytes()))
    back = roll_back(own_files, order=ORDER)
    assert (back.before, back.version) == (2, 1)
    assert set(back.skipped) == {4, 3}
    assert "no version or alias '4'" in back.skipped[4]
    assert weights.name in back.skipped[3]
    decision = Aliases(own_files).history()[0]
    assert (decision.kind, decision.version, set(decision.skipped)) == ("rollback", 1, {"4", "3"})
    with pytest.raises(RegistryError, match="points at version 1 and has no earlier version"):
        roll_back(own_files, order=ORDER)


def test_a_rollback_without_anything_that_serves_moves_nothing(own_files: Registry) -> None:
    with pytest.raises(RegistryError, match="'champion' is not set"):
        roll_back(own_files, order=ORDER)
    promote(own_files, "3", order=ORDER)
    promote(own_files, "1", order=FORCED)
    shutil.rmtree(own_files.version("3").folder)
    with pytest.raises(RegistryError, match=r"has no earlier version; version 3 cannot serve: .*manifest"):
        roll_back(own_files, order=ORDER)
    assert own_files.aliases() == {"champion": 1}


@pytest.mark.slow
def test_where_common_cases_are_missing_the_command_is_named_and_fills_them(own_toy: Settings) -> None:
    """The two were measured on different cases: the gate names `evaluate`, which asks the champion, and then it judges."""
    from tests.training.test_commands import run

    registry = Registry(own_toy)
    trained(own_toy)
    assert promote(registry, "1", order=ORDER).moved
    later = walks(90, seed=5, first=300)
    later["event_time"] = later["received_time"] = later["event_time"] + pd.Timedelta(days=60)
    append(own_toy, later)
    assert trained(own_toy).version == 2
    assert trained(own_toy, POPULAR_ONLY).version == 3
    blind = promote(registry, "2", order=ORDER)
    assert blind.verdict == "cannot tell"
    assert "only 0 common cases with the present version, 100 are needed" in blind.findings[-1].found
    command = "tailorbird evaluate --workspace test --version 1 --cases-of 2"
    assert command in blind.findings[-1].remedy
    before = cases_of(registry, registry.version(1))
    words = command.split()[1:]
    workspace = words.index("--workspace")
    told = run(own_toy, *words[:workspace], *words[workspace + 2 :])
    assert told.exit_code == 0, told.output
    after = cases_of(registry, registry.version(1))
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    asked = cases_of(registry, registry.version(2))
    assert set(after["case"][len(before) :]) <= set(asked["case"])
    assert promote(registry, "3", order=ORDER).verdict == "worse"
    seeing = promote(registry, "2", order=ORDER)
    assert seeing.moved, seeing.findings
    assert seeing.findings[-1].figures["cases"] >= 100


def test_cases_are_added_once_and_earlier_answers_stay(toy: Settings) -> None:
    trained(toy)
    registry = Registry(toy)
    version = registry.version(1)
    kept = cases_of(registry, version)
    other = kept.assign(rank=99.0)
    more = other.head(3).assign(case=[-1, -2, -3])
    assert add_cases(registry, version, pd.concat([other, more]), now=NOW) == 3
    assert add_cases(registry, version, more, now=NOW) == 0
    now = cases_of(registry, version)
    assert len(now) == len(kept) + 3
    assert now["rank"].head(len(kept)).equals(kept["rank"])


def test_a_version_without_cases_cannot_be_judged(registry: Registry) -> None:
    promote(registry, "1", order=ORDER)
    registry.client.create_model_version(
        registry.name, source=registry.version(1).source, run_id=registry.client.create_run("0").info.run_id
    )
    found = promote(registry, "3", order=ORDER)
    assert not found.moved
    assert "has no cases.parquet in its run" in found.findings[-1].found

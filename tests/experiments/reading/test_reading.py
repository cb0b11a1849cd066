"""A finished test is read as scipy would read it, and bad tables get a clear word and no wrong verdict."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from tailorbird.errors import UsageError
from tailorbird.experiments.command import experiment
from tailorbird.experiments.reading.metric import parse_metric, parse_shares, with_options
from tailorbird.experiments.reading.readout import Design, Readout, read_out
from tailorbird.experiments.reading.units import MOST_VARIANTS, read_units
from tailorbird.experiments.reading.verdict import Decision, judge, words_of


def people(seed: int = 0, *, units: int = 6_000, effect: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    variant = np.where(rng.random(units) < 0.5, "B", "A")
    treated = variant == "B"
    before = rng.gamma(2, 5, units)
    return pd.DataFrame(
        {
            "user": [f"u{at}" for at in range(units)],
            "variant": variant,
            "bought": (rng.random(units) < 0.1 + effect * treated).astype(int),
            "before": before,
            "revenue": 0.8 * before + rng.gamma(2, 3, units) + 10 * effect * treated,
            "views": rng.poisson(9, units) + 1,
            "hides": rng.poisson(0.5 + effect * treated),
        }
    )


def read(
    frame: pd.DataFrame, folder: Path, *texts: str, shares: str | None = None, **more: object
) -> Readout:
    options = {name: more.pop(name) for name in ("covariates", "caps", "lower") if name in more}
    metrics = with_options([parse_metric(text) for text in texts], **options)
    frame.to_parquet(folder / "t.parquet")
    units = read_units(
        folder / "t.parquet",
        unit="user",
        variant="variant",
        columns=[name for metric in metrics for name in metric.columns],
    )
    due = parse_shares(shares, variants=units.variants)
    return read_out(units, metrics, Design(control=more.pop("control", "A"), shares=due, **more))


def words(readout: Readout, at: int = 0, variant: int = 1) -> str:
    metric = readout.metrics[at]
    return words_of(metric.rows[variant], metric.metric, readout)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz", ".tsv"])
def test_the_command_says_what_scipy_says(tmp_path: Path, suffix: str) -> None:
    frame = people(effect=0.03)
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    said = CliRunner().invoke(
        experiment,
        [
            "read",
            str(path),
            "--unit",
            "user",
            "--variant",
            "variant",
            "--control",
            "A",
            "--shares",
            "A=1,B=1",
            "--metric",
            "bought:proportion",
            "--metric",
            "revenue:mean",
            "--json",
            "--plot",
            str(tmp_path / "lifts.svg"),
        ],
        catch_exceptions=False,
    )
    found = json.loads(said.stdout)
    a, b = frame[frame.variant == "A"], frame[frame.variant == "B"]
    assert found["srmPValue"] == pytest.approx(stats.chisquare([len(a), len(b)]).pvalue)
    bought, revenue = [each["variants"][1] for each in found["metrics"]]
    table = [[x.bought.sum(), len(x) - x.bought.sum()] for x in (a, b)]
    assert bought["pValue"] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert bought["mean"] == pytest.approx(b.bought.mean())
    assert bought["lift"] == pytest.approx(b.bought.mean() / a.bought.mean() - 1)
    assert bought["interval"][0] < bought["lift"] < bought["interval"][1]
    assert revenue["pValue"] == pytest.approx(stats.ttest_ind(b.revenue, a.revenue, equal_var=False).pvalue)
    assert found["decision"] == "ship"
    assert found["verdict"].startswith("B is better on bought, by ")
    assert bought["adjustedPValue"] == pytest.approx(
        min(1.0, max(2 * min(bought["pValue"], revenue["pValue"]), bought["pValue"]))
    )
    assert (tmp_path / "lifts.svg").read_text().startswith("<?xml")


def test_what_units_tell_is_said_at_the_level_that_decides(tmp_path: Path) -> None:
    """Beside another metric a p-value must be half as large, so that the same units tell less; unadjusted they tell the same."""

    def told(*metrics: str, **design: object) -> float:
        words = judge(read(people(), tmp_path, *metrics, **design)).words
        return float(words.split("tell a change of ")[1].split(" %")[0])

    alone = told("bought:proportion")
    assert told("bought:proportion", "revenue:mean") > alone
    assert told("bought:proportion", "revenue:mean", adjustment="none") == alone


def test_a_winner_by_a_plain_effect_and_none_without(tmp_path: Path) -> None:
    assert judge(read(people(effect=0.05), tmp_path, "bought:proportion")).decision is Decision.SHIP
    nothing = judge(read(people(), tmp_path, "bought:proportion"))
    assert nothing.decision is Decision.CANNOT_TELL
    assert "so many units tell a change of" in nothing.words
    worse = judge(read(people(effect=0.05), tmp_path, "bought:proportion", control="B"))
    assert (worse.decision, worse.variant) == (Decision.KEEP, "B")


def test_a_winner_that_harms_another_metric_is_to_be_weighed(tmp_path: Path) -> None:
    frame = people(effect=0.1)
    found = judge(read(frame, tmp_path, "bought:proportion", "hides:mean", lower=["hides"]))
    assert found.decision is Decision.WEIGH
    assert "worse on hides" in found.words
    assert judge(read(frame, tmp_path, "bought:proportion", "hides:mean")).decision is Decision.SHIP


def test_an_assignment_that_is_off_locks_every_verdict(tmp_path: Path) -> None:
    frame = people(effect=0.1)
    lost = frame[~((frame.variant == "B") & (frame.bought == 0) & (frame.index % 5 == 0))]
    found = read(lost, tmp_path, "bought:proportion")
    assert found.srm_p < 0.001
    assert judge(found).decision is Decision.BROKEN
    assert judge(found).words.startswith("broken: assignment is off")
    assert words(found) == "broken: assignment is off"
    uneven = people(effect=0.1)
    assert read(uneven, tmp_path, "bought:proportion", shares="A=9,B=1").assignment_is_off


def test_a_variant_that_was_due_and_never_came_is_off(tmp_path: Path) -> None:
    found = read(people(), tmp_path, "bought:proportion", shares="A=1,B=1,C=1")
    assert found.assignment_is_off
    assert "C was due" in found.notes[0]


def test_a_covariate_narrows_the_interval(tmp_path: Path) -> None:
    frame = people()
    plain = read(frame, tmp_path, "revenue:mean").metrics[0].rows[1]
    helped = read(frame, tmp_path, "revenue:mean", covariates=["revenue=before"]).metrics[0].rows[1]
    width = [np.ptp(each.comparison.difference_interval) for each in (plain, helped)]
    assert (width[1] / width[0]) ** 2 == pytest.approx(1 - helped.estimate.saved, abs=0.02)
    assert helped.estimate.saved > 0.5
    assert helped.raw_mean == pytest.approx(plain.raw_mean)


def test_a_covariate_that_the_test_moved_breaks_its_metric(tmp_path: Path) -> None:
    frame = people(effect=0.0)
    frame["before"] += 2 * (frame.variant == "B")
    found = read(frame, tmp_path, "revenue:mean", covariates=["revenue=before"])
    assert judge(found).decision is Decision.BROKEN
    assert "covariate" in judge(found).words


def test_units_without_a_covariate_still_count(tmp_path: Path) -> None:
    frame = people()
    frame.loc[frame.index % 3 == 0, "before"] = None
    found = read(frame, tmp_path, "revenue:mean", covariates=["revenue=before"]).metrics[0]
    assert sum(row.estimate.units for row in found.rows) == len(frame)
    assert "2,000 units without before were given its mean" in found.notes


def test_a_unit_twice_is_refused(tmp_path: Path) -> None:
    frame = people()
    frame.loc[5, "user"] = "u4"
    with pytest.raises(UsageError, match="1 rows repeat a unit of user, such as u4"):
        read(frame, tmp_path, "bought:proportion")


def test_missing_values_are_left_out_and_said(tmp_path: Path) -> None:
    frame = people(effect=0.05).astype({"bought": float})
    frame.loc[frame.index % 10 == 0, "bought"] = None
    found = read(frame, tmp_path, "bought:proportion").metrics[0]
    assert sum(row.estimate.units for row in found.rows) == 5_400
    assert found.notes == ("600 units without a value of bought were left out of it",)


def test_values_that_one_variant_lost_break_the_metric(tmp_path: Path) -> None:
    frame = people(effect=0.05).astype({"bought": float})
    frame.loc[(frame.index % 10 == 0) & (frame.variant == "B"), "bought"] = None
    assert "missing more often" in judge(read(frame, tmp_path, "bought:proportion")).words
    small = pd.concat(
        [frame, frame.iloc[:3].assign(user=["x", "y", "z"], variant="C", bought=[1.0, np.nan, np.nan])]
    )
    found = read(small, tmp_path, "bought:proportion", shares="A=3000,B=3000,C=3")
    assert "missing more often" in judge(found).words
    few = people(effect=0.05).astype({"bought": float})
    few.loc[few.index[few.variant == "B"][:4], "bought"] = None
    assert judge(read(few, tmp_path, "bought:proportion")).decision is Decision.SHIP


def test_rows_without_a_variant_are_left_out_and_said(tmp_path: Path) -> None:
    frame = people()
    frame.loc[:9, "variant"] = None
    assert read(frame, tmp_path, "bought:proportion").notes == (
        "10 rows without a unit or a variant were left out",
    )


def test_an_unknown_control_names_the_variants(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="control 'Z'; the variants are A, B"):
        read(people(), tmp_path, "bought:proportion", control="Z")


def test_a_variant_of_one_unit_tells_nothing(tmp_path: Path) -> None:
    frame = people(effect=0.05)
    frame.loc[0, "variant"] = "C"
    found = read(frame, tmp_path, "revenue:mean", "bought:proportion", shares="A=3000,B=3000,C=1")
    assert words(found, variant=2) == "cannot tell: a variant of 1 unit says too little"
    assert words(found, at=1, variant=2).startswith("cannot tell: too few units")
    assert found.metrics[0].rows[2].comparison.p_value is None
    assert judge(found).variant == "B"


def test_a_variant_of_one_unit_takes_nothing_from_the_others(tmp_path: Path) -> None:
    frame = people()
    alone = pd.concat([frame, frame.iloc[:1].assign(user="one", variant="C")])
    before, after = (
        read(each, tmp_path, "revenue:mean", covariates=["revenue=before"], shares=shares).metrics[0].rows[1]
        for each, shares in ((frame, "A=1,B=1"), (alone, "A=3000,B=3000,C=1"))
    )
    assert after.comparison == before.comparison
    assert after.best == before.best


def test_a_denominator_that_adds_up_to_nothing_is_named(tmp_path: Path) -> None:
    frame = people()
    frame["views"] = np.where(frame.variant == "B", 0, frame.views)
    found = read(frame, tmp_path, "revenue:ratio/views")
    assert words(found) == "cannot tell: views adds up to nothing in one of the variants"
    assert found.metrics[0].rows[1].comparison.lift is None


def test_columns_of_lists_are_refused_and_categories_read(tmp_path: Path) -> None:
    frame = people(effect=0.05)
    for name in ("user", "variant"):
        with pytest.raises(UsageError, match=f"{name} of .* holds list"):
            read(frame.assign(**{name: frame[name].map(lambda each: [each])}), tmp_path, "bought:proportion")
    assert judge(read(frame.astype({"variant": "category"}), tmp_path, "bought:proportion")).variant == "B"


def test_what_is_constant_tells_nothing(tmp_path: Path) -> None:
    frame = people()
    frame["same"], frame["never"], frame["told"] = 3.0, 0, 1.0 * (frame.variant == "B")
    found = read(frame, tmp_path, "same:mean", "never:proportion", "told:mean")
    assert judge(found).decision is Decision.CANNOT_TELL
    assert [words(found, at) for at in range(3)] == [
        "cannot tell: same does not vary",
        "cannot tell: too few units, never is the same for nearly all of them",
        "cannot tell: told does not vary",
    ]


def test_one_buyer_of_a_million_wins_nothing_and_is_named(tmp_path: Path) -> None:
    frame = people()
    rich = frame.index[frame.variant == "B"][0]
    frame.loc[rich, "revenue"] = 1e6
    found = read(frame, tmp_path, "revenue:mean")
    assert judge(found).decision is Decision.CANNOT_TELL
    assert "one unit of B with 1e+06 makes 100% of the spread" in found.metrics[0].notes[0]
    capped = read(frame, tmp_path, "revenue:mean", caps=["revenue=100"])
    assert "1 values of revenue above 100 count as 100" in capped.metrics[0].notes[0]
    assert np.ptp(capped.metrics[0].rows[1].comparison.interval) < 0.1


def test_looking_decides_by_what_always_holds(tmp_path: Path) -> None:
    frame = people(9, effect=0.025)
    fixed = read(frame, tmp_path, "bought:proportion")
    looking = read(frame, tmp_path, "bought:proportion", looking=True)
    row = looking.metrics[0].rows[1]
    assert row.comparison.p_value < 0.05 < row.always_valid_p
    assert (judge(fixed).decision, judge(looking).decision) == (Decision.SHIP, Decision.CANNOT_TELL)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("revenue:proportion", "other values than 0 and 1"),
        ("user:mean", "holds string such as 'u0'"),
        ("nothing:mean", "0 columns 'nothing'; its columns are user, variant"),
        ("revenue", "is not understood"),
        ("revenue:median", "is not understood"),
        ("revenue:mean/views", "a ratio, and only it"),
        ("revenue:ratio", "a ratio, and only it"),
    ],
)
def test_a_metric_that_cannot_be_is_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(people(), tmp_path, text)


def test_options_that_fit_no_metric_are_refused(tmp_path: Path) -> None:
    frame = people()
    for more, says in (
        ({"covariates": ["hits=before"]}, "names hits, the metrics are revenue"),
        ({"covariates": ["revenue=before/views"]}, "does not fit revenue"),
        ({"caps": ["revenue=much"]}, "'much' is no number above 0"),
        ({"shares": "A=1"}, "says nothing of B"),
        ({"shares": "A=1,B=0"}, "'0' is no number above 0"),
    ):
        with pytest.raises(UsageError, match=says):
            read(frame, tmp_path, "revenue:mean", **more)


def test_a_column_that_is_no_variant_is_refused(tmp_path: Path) -> None:
    frame = people()
    frame["variant"] = [f"v{at % (MOST_VARIANTS + 1)}" for at in range(len(frame))]
    with pytest.raises(UsageError, match="51 values"):
        read(frame, tmp_path, "bought:proportion")


def test_variants_that_are_numbers_are_named_as_written(tmp_path: Path) -> None:
    frame = people(effect=0.05)
    frame["variant"] = (frame.variant == "B").astype(int)
    assert judge(read(frame, tmp_path, "bought:proportion", control="0")).variant == "1"


def test_a_damaged_file_and_an_unknown_one_say_so(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "t.xlsx").write_bytes(b"")
    (tmp_path / "t.csv").write_bytes(b"")
    for name, says in (
        ("t.parquet", "cannot be read"),
        ("t.xlsx", "unknown suffix"),
        ("t.csv", "t.csv"),
        ("u.csv", "no file"),
    ):
        with pytest.raises(UsageError, match=says):
            read_units(tmp_path / name, unit="user", variant="variant", columns=["bought"])

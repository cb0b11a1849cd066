"""A bandit of a workspace: renewed from what its units did, drawn by what the ledger says, read by inverse chances."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailorbird.errors import UsageError
from tailorbird.experiments.bandits import observing, renewing
from tailorbird.experiments.bandits.observing import Observed, observed
from tailorbird.experiments.bandits.policy import PER, VALUE, counted_of
from tailorbird.experiments.bandits.renewing import BANDIT, allocations, renew
from tailorbird.experiments.deciding.own import read_experiment_out
from tailorbird.experiments.deciding.page import page_of
from tailorbird.experiments.deciding.shown import as_json
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.measuring.declared import chosen, default_metrics
from tailorbird.experiments.measuring.streams import sources_of
from tailorbird.experiments.running.assigning import Asker, Assignment
from tailorbird.experiments.running.entries import StateError
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.running.plans import allocations_now
from tailorbird.experiments.running.renewals import COUNTS_KEPT, Renewal
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.experiments.bandits.shop import BY_DEVICE, DECLARED, HOUR, KEY, Shop

BETTER = {"usual": 0.2, "bold": 0.4}
PEOPLE = [f"user:{n}" for n in range(4_000)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")


def test_the_better_variant_grows_and_the_readout_says_so(settings: Settings) -> None:
    shop = Shop(settings)
    shop.happen(600, chances=BETTER)
    assert shop.guard.look() == []  # not due yet
    (said,) = shop.pass_day()
    assert said.startswith("headline renewal 1: usual 5.0%, bold 95.0%, from 600 units")
    shop.happen(600, chances=BETTER)
    shop.pass_day()
    shop.happen(600, chances=BETTER)
    shop.now += 27 * HOUR
    found = as_json(read_experiment_out(settings, KEY, now=shop.now))
    assert (found["decision"], found["variant"]) == ("ship", "bold")
    control, bold = found["metrics"][0]["variants"]
    assert control["mean"] == pytest.approx(0.2, abs=0.06)
    assert bold["mean"] == pytest.approx(0.4, abs=0.04)
    assert found["units"] == 1_800
    assert found["srmPValue"] > 0.001
    assert [each["number"] for each in found["renewals"]] == [0, 1, 2]
    assert found["renewals"][1]["parts"] == [{"context": "", "variants": {"usual": 0.05, "bold": 0.95}}]
    assert any("inverse-probability weights" in note for note in found["warnings"])
    assert "inverse-probability" in page_of(read_experiment_out(settings, KEY, now=shop.now))


def test_a_renewal_says_who_when_and_from_which_counts_and_gives_the_same_again(settings: Settings) -> None:
    shop = Shop(settings)
    for _ in range(2):
        shop.happen(400, chances=BETTER)
        shop.pass_day()
    first, second = shop.launcher.ledger.renewals(KEY)
    assert (first.number, first.who, second.at - first.at) == (1, BANDIT, 24 * HOUR)
    assert (sum(first.counted["units"]), sum(second.counted["units"])) == (400, 800)
    metric = default_metrics()["clicks_per_slate"]
    for each in (first, second):
        assert allocations(shop.entry.experiment, each.counted, metric=metric) == each.allocations


def test_a_reward_counts_when_its_window_has_passed(settings: Settings) -> None:
    shop = Shop(settings, bandit={"every_hours": 24, "window_hours": 12})
    shop.happen(600, chances=BETTER)
    shop.pass_day()
    (first,) = shop.launcher.ledger.renewals(KEY)
    assert 350 < sum(first.counted["units"]) < 550  # who came in the last twelve hours is not counted yet
    shop.pass_day()
    assert sum(shop.launcher.ledger.renewals(KEY)[1].counted["units"]) == 600


def test_linucb_gives_each_device_its_own(settings: Settings) -> None:
    shop = Shop(settings, **BY_DEVICE)
    shop.happen(1_000, chances=BETTER, opposite=True)
    shop.pass_day()
    mobile, desktop, other = allocations_now(shop.entry)
    assert (mobile, desktop) == ((0.05, 0.95), (0.95, 0.05))
    assert sum(other) == pytest.approx(1.0)
    shop.happen(1_000, chances=BETTER, opposite=True)
    shop.now += 48 * HOUR
    found = as_json(read_experiment_out(settings, KEY, now=shop.now))
    # Half of the people take one, half the other: on average over devices both are the same.
    for variant in found["metrics"][0]["variants"]:
        assert variant["mean"] == pytest.approx(0.3, abs=0.06)
    assert found["decision"] != "ship"
    assert found["renewals"][1]["parts"][0] == {
        "context": "device = mobile",
        "variants": {"usual": 0.05, "bold": 0.95},
    }


def test_an_erased_person_is_missing_and_the_allocation_stays_one(settings: Settings) -> None:
    shop = Shop(settings)
    shop.happen(400, chances=BETTER)
    shop.pass_day()
    assert as_json(read_experiment_out(settings, KEY, now=shop.now))["units"] == 400
    for opened in (open_exposures, open_events):
        with opened(settings) as stream:
            for n in range(40):
                stream.forget(f"user:u{n}")
    shop.now += HOUR
    found = as_json(read_experiment_out(settings, KEY, now=shop.now))
    assert found["units"] == 360
    assert any(note.startswith("n changed: 40 units fewer") for note in found["warnings"])
    shop.pass_day()
    last = shop.launcher.ledger.renewals(KEY)[-1]
    assert sum(last.counted["units"]) == 360
    assert sum(last.allocations[0]) == pytest.approx(1.0)
    assert min(last.allocations[0]) >= 0.05


def test_nobody_came_and_the_weights_stay(settings: Settings) -> None:
    shop = Shop(settings)
    shop.pass_day()
    assert shop.entry.renewal is not None
    assert shop.entry.renewal.allocations == ((0.5, 0.5),)
    with pytest.raises(UsageError, match="no unit of 'headline' has had its 6 h yet"):
        read_experiment_out(settings, KEY, now=shop.now)


def test_what_another_ledger_drew_is_not_counted(settings: Settings) -> None:
    shop = Shop(settings)
    shop.happen(200, chances=BETTER)
    shop.happen(
        100, chances=BETTER, drawn_by=replace(shop.entry, renewal=Renewal(0, 0.0, "eve", ((0.9, 0.1),)))
    )
    shop.happen(
        100, chances=BETTER, drawn_by=replace(shop.entry, renewal=Renewal(7, 0.0, "eve", ((0.5, 0.5),)))
    )
    assert read_experiment_out(settings, KEY, now=shop.now + 48 * HOUR).units == 200


def test_units_stay_between_renewals_and_are_drawn_anew_by_each(settings: Settings) -> None:
    shop = Shop(settings)
    shop.launcher.ledger.renew(KEY, Renewal(1, shop.now, "ann", ((0.2, 0.8),)))
    first = Assignment([shop.entry])
    drawn = [first.assign(Asker(person=each)) for each in PEOPLE]
    replica = Assignment([shop.entry])
    assert drawn == [replica.assign(Asker(person=each)) for each in PEOPLE]
    usual = np.array([each.variants[KEY] == "usual" for each in drawn])
    assert usual.mean() == pytest.approx(0.2, abs=0.02)
    assert {each.draws[KEY] for each in drawn} == {(1, 0, 0.2), (1, 0, 0.8)}
    assert all(each.draws[KEY].chance == (0.2 if each.variants[KEY] == "usual" else 0.8) for each in drawn)
    shop.launcher.ledger.renew(KEY, Renewal(2, shop.now, "ann", ((0.2, 0.8),)))
    again = Assignment([shop.entry])
    later = np.array([again.assign(Asker(person=each)).variants[KEY] == "usual" for each in PEOPLE])
    assert (usual & later).mean() == pytest.approx(
        0.04, abs=0.015
    )  # of the first draw the second knows nothing


def test_by_request_each_is_drawn_by_itself(settings: Settings) -> None:
    shop = Shop(settings, **BY_DEVICE)
    running = Assignment([shop.entry])
    drawn = {running.assign(Asker(person="user:ann", request=f"r{n}")).variants[KEY] for n in range(50)}
    assert drawn == {"usual", "bold"}
    assert running.assign(Asker(person="user:ann")).variants == {}  # no request, no unit


def test_of_two_who_renew_one_is_first(settings: Settings) -> None:
    shop = Shop(settings)
    entry = shop.entry
    renew(settings, shop.launcher, entry, now=shop.now)
    with pytest.raises(StateError, match="renewal 1 of 'headline' follows 1"):
        renew(settings, shop.launcher, entry, now=shop.now)
    shop.launcher.stop(KEY, who="ann")
    with pytest.raises(StateError, match="is stopped, not running"):
        renew(settings, shop.launcher, shop.entry, now=shop.now)
    assert [each.number for each in Ledger(settings.folder).renewals(KEY)] == [1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bandit": {"floor": 0.5}, "variants": {"a": {}, "b": {"payload": {"x": 1}}, "c": {}}}, "more than"),
        ({"variants": {"a": {"weight": 0.98}, "b": {"weight": 0.02, "payload": {"x": 1}}}}, "below bandit"),
        ({"bandit": {"policy": "linucb"}}, "with 0 attributes"),
        ({"bandit": {"context": {"device": ["mobile"]}}}, "with 1 attributes"),
        ({"bandit": BY_DEVICE["bandit"]}, "who comes in two contexts"),
        ({"unit": "request", "bandit": {"policy": "linucb", "context": {"hour": [8, 3]}}}, "hour"),
        ({"unit": "request", "bandit": {"policy": "linucb", "context": {"hour": ["x"]}}}, "hour"),
        ({"kind": "ab"}, "with a table"),
        ({"bandit": None}, "without a table"),
        ({"bandit": {"floor": 0.0}}, "floor"),
        ({"bandit": {"every_hours": 0.1}}, "every_hours"),
        (
            {
                "unit": "request",
                "bandit": {
                    "policy": "linucb",
                    "context": {name: list("abcdefghi") for name in ("x", "y", "z")},
                },
            },
            "contexts of 2 variants",
        ),
    ],
)
def test_a_slip_is_named(changes: dict[str, Any], words: str) -> None:
    said = {name: value for name, value in {**DECLARED, **changes}.items() if value is not None}
    with pytest.raises(UsageError, match=words):
        experiment_of(KEY, said, where="headline.toml")


def test_a_request_is_a_unit_of_bandits_alone() -> None:
    said = {**DECLARED, "kind": "ab", "unit": "request"}
    del said["bandit"]
    with pytest.raises(UsageError, match="a bandit alone draws each request anew"):
        experiment_of(KEY, said, where="headline.toml")


def test_a_reward_belongs_to_the_period_of_its_slate_however_many_are_measured_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(settings)
    metrics = chosen(default_metrics(), ["clicks_per_slate", "active_days"])
    for number in range(
        1, 4
    ):  # clicks come an hour after the slate, those of the last hour under the next renewal
        shop.happen(200, chances=BETTER)
        shop.now += 16 * HOUR
        shop.launcher.ledger.renew(KEY, Renewal(number, shop.now, "ann", ((0.5, 0.5),)))
    now = shop.now + 48 * HOUR

    def measured() -> np.ndarray:
        found = observed(
            shop.entry,
            shop.launcher.ledger.renewals(KEY),
            metrics,
            sources_of(settings, unit="person"),
            now=now,
            memory_mb=500,
        )
        return found.sums("clicks_per_slate", periods=4, cells=1, variants=2)

    together = measured()
    slates, clicks = together[..., PER].sum(axis=(1, 2)), together[..., VALUE].sum(axis=(1, 2))
    assert slates.tolist() == [200, 200, 200, 0]
    begins = np.array([shop.entry.started, *(each.at for each in shop.launcher.ledger.renewals(KEY))])
    with open_events(settings) as log:
        times = np.concatenate(
            [each["event_time"].cast("int64").to_numpy() / 1e6 for each in log.scan(columns=["event_time"])]
        )
    slate_in = np.searchsorted(begins, times - HOUR, side="right") - 1
    assert (slate_in != np.searchsorted(begins, times, side="right") - 1).sum() > 3
    assert clicks.tolist() == np.bincount(slate_in, minlength=4).tolist()
    monkeypatch.setattr(observing, "MOST_CODES", 1)
    assert np.array_equal(measured(), together)


@pytest.mark.parametrize("changes", [{}, BY_DEVICE], ids=["thompson", "linucb"])
def test_a_renewal_reads_and_keeps_no_more_after_many_periods(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    rows: list[int] = []

    def watched(*given: Any, **more: Any) -> Observed:
        found = observed(*given, **more)
        rows.append(len(found))
        return found

    monkeypatch.setattr(renewing, "observed", watched)
    shop, ledger = Shop(settings, **changes), Ledger(settings.folder)
    kept = []
    for _ in range(8):
        shop.happen(200, chances=BETTER, opposite=bool(changes))
        shop.pass_day()
        folded = ledger.folded(KEY)
        kept.append((folded.periods if folded else 0, len(json.dumps(folded.counted)) if folded else 0))
    assert rows == [200, 400] + [600] * 6
    assert [periods for periods, _ in kept] == [0, 0, 1, 2, 3, 4, 5, 6]
    sizes = [size for _, size in kept[3:]]
    assert max(sizes) < 1.2 * min(sizes)
    last = ledger.renewals(KEY)[-1]
    assert (sum(last.counted["units"]), last.counted["periods"]) == (1_600, 8)
    whole = observed(
        replace(shop.entry, renewal=None),
        ledger.renewals(KEY)[:-1],
        [default_metrics()["clicks_per_slate"]],
        sources_of(settings, unit=shop.entry.experiment.unit),
        now=shop.now,
        memory_mb=500,
    )
    assert len(whole) == 1_600
    bandit = shop.entry.experiment.bandit
    assert bandit is not None
    sums = whole.sums("clicks_per_slate", periods=8, cells=bandit.cells, variants=2)
    anew = counted_of(bandit, sums)
    assert anew["total"] == last.counted["total"]
    assert allocations(
        shop.entry.experiment, anew, metric=default_metrics()["clicks_per_slate"]
    ) == pytest.approx(np.array(last.allocations), abs=0.02)


def test_old_lines_keep_how_many_units_there_were(settings: Settings) -> None:
    shop = Shop(settings)
    ledger = shop.launcher.ledger
    counted = {"periods": 3, "units": [4, 5], "value": [[1.0] * 100]}
    for number in range(1, COUNTS_KEPT + 3):
        ledger.renew(KEY, Renewal(number, float(number), "ann", ((0.5, 0.5),), counted))
    lines = ledger.renewals(KEY)
    assert [dict(each.counted) for each in lines[:2]] == [{"periods": 3, "units": [4, 5]}] * 2
    assert all(each.counted == counted for each in lines[2:])
    assert [each.number for each in ledger.renewals(KEY, since=30)] == [30, 31, 32]


def test_whoever_comes_again_is_rewarded_once_however_few_periods_are_measured_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The click of an hour later is the second draw's, which the pass over the first period does not measure."""
    shop = Shop(settings)
    shop.happen(100, chances={"usual": 0.0, "bold": 0.0})
    shop.now += 16 * HOUR
    shop.launcher.ledger.renew(KEY, Renewal(1, shop.now, "ann", ((0.5, 0.5),)))
    shop.came = 0
    shop.happen(100, chances={"usual": 1.0, "bold": 1.0})
    monkeypatch.setattr(observing, "MOST_PERIODS", 1)
    found = observed(
        shop.entry,
        shop.launcher.ledger.renewals(KEY),
        [default_metrics()["clicks_per_slate"]],
        sources_of(settings, unit="person"),
        now=shop.now + 48 * HOUR,
        memory_mb=500,
    )
    sums = found.sums("clicks_per_slate", periods=2, cells=1, variants=2)
    assert sums[..., VALUE].sum(axis=(1, 2)).tolist() == [0.0, 100.0]

"""The unit table says of every unit what plain Python says of its slates and deeds, and nobody counts who should not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.measuring.declared import chosen, default_metrics, metrics_of
from tailorbird.experiments.measuring.table import Asked, UnitTable, unit_table
from tests.experiments.measuring.toy import KEY, START, Deed, Slate, sources

DAY, HOUR = 86_400.0, 3_600.0
DAYS = 10


def measured(
    slates: list[Slate],
    deeds: list[Deed],
    *names: str,
    own: dict | None = None,
    days: float = DAYS,
    variants: tuple[str, ...] = ("A", "B"),
    **more: object,
) -> UnitTable:
    declared = {**default_metrics(), **metrics_of(own or {}, where="test")}
    asked = Asked(KEY, variants, tuple(chosen(declared, list(names))), start=START, end=START + days * DAY)
    return unit_table(asked, sources(slates, deeds, **more))


def column(table: UnitTable, name: str) -> list[float]:
    return table.units.columns[name].tolist()


def test_a_click_counts_for_the_slate_that_it_names_and_no_other() -> None:
    slates = [
        Slate("a", 0, "A", rec="r1"),
        Slate("a", 60, None, rec="outside"),
        Slate("b", 10, "B", rec="r2"),
    ]
    deeds = [
        Deed("a", 5, rec="r1"),
        Deed("a", 65, rec="outside"),  # a slate outside of the test
        Deed("a", 70),  # no slate at all
        Deed("b", 20, rec="r1"),  # somebody else's
        Deed("b", 21, rec="r2"),
        Deed("b", 22, rec="r2"),
    ]
    table = measured(slates, deeds, "clicks_per_slate", "slate_click_rate")
    assert column(table, "clicks_per_slate") == [1, 2]
    assert column(table, "clicks_per_slate per") == [1, 1]
    assert column(table, "slate_click_rate") == [1, 1]


def test_the_window_and_the_credit_of_an_item_are_those_that_are_declared() -> None:
    slates = [
        Slate("a", 0, "A", items=("i1",)),
        Slate("a", 20 * HOUR, "A", items=("i1",)),
        Slate("b", 0, "B", items=("i2",)),
    ]
    deeds = [
        Deed("a", 30 * HOUR, "purchase", value=5),  # within a day of the second showing alone
        Deed("a", 22 * HOUR, "purchase", value=7),  # within a day of both
        Deed("b", 5, "purchase", "i1", value=9),  # was never shown it
    ]
    own = {
        name: {
            "kind": "mean",
            "of": {"measure": measure, "types": ["purchase"], "attribution": "item", "credit": credit},
            "before_days": 0,
        }
        for name, measure, credit in (
            ("last", "value", "last"),
            ("all", "value", "all"),
            ("first_slates", "credited_slates", "first"),
            ("last_slates", "credited_slates", "last"),
            ("all_slates", "credited_slates", "all"),
        )
    }
    table = measured(slates, deeds, *own, own=own)
    assert column(table, "last") == [12, 0]
    assert column(table, "all") == [19, 0]
    assert [column(table, f"{each}_slates")[0] for each in ("first", "last", "all")] == [2, 1, 2]


def test_sessions_bounces_diversity_fallbacks_and_latency_are_counted() -> None:
    slates = [
        Slate("a", 0, "A", items=("i1", "i2", "i3"), took_ms=4),
        Slate("a", HOUR, "A", items=("i1",), fallback="list", took_ms=8),
        Slate("b", 0, "B"),
    ]
    deeds = [
        Deed("a", -60, "view", session="s1"),  # the session in which the test began
        Deed("a", 120, "view", session="s1"),
        Deed("a", HOUR, "view", session="s2"),
        Deed("a", -5 * HOUR, "view", session="s0"),
        Deed("b", 9, "view"),
    ]
    names = [
        "session_minutes",
        "bounce_rate",
        "diversity",
        "items_seen",
        "latency",
        "fallback_share",
        "active_days",
    ]
    table = measured(slates, deeds, *names, categories={"i1": "x", "i2": "y", "i3": "x"})
    found = {name: (column(table, name)[0], column(table, f"{name} per")[0]) for name in names[:-1]}
    assert found["session_minutes"] == (3, 2)
    assert found["bounce_rate"] == (1, 2)
    assert found["diversity"] == (3, 2)
    assert found["items_seen"] == (3, 4)
    assert found["latency"] == (12, 2)
    assert found["fallback_share"] == (1, 2)
    assert column(table, "active_days") == [1, 1]
    assert column(table, "bounce_rate before") == [1, 0]


def test_a_return_is_awaited_and_a_funnel_wants_its_order() -> None:
    slates = [Slate("a", 0, "A"), Slate("b", 0, "B"), Slate("c", 9 * DAY, "A")]
    deeds = [
        Deed("a", HOUR, "view"),
        Deed("a", 2 * DAY, "view"),
        Deed("b", 30, "purchase"),
        Deed("b", 40, "click"),
        Deed("b", 50, "add_to_cart"),
        Deed("a", 10, "click"),
        Deed("a", 11, "add_to_cart"),
        Deed("a", 12, "purchase"),
    ]
    table = measured(slates, deeds, "days_until_return", "checkout")
    assert column(table, "days_until_return")[:2] == [2, 7]
    assert np.isnan(column(table, "days_until_return")[2])  # has not had its week yet
    assert any("1 units have not been in the test for 7 days" in note for note in table.notes)
    assert column(table, "checkout") == [1, 0, 0]


def test_what_was_done_before_is_the_covariate_and_never_after() -> None:
    slates = [Slate("a", 0, "A"), Slate("b", 0, "B")]
    deeds = [
        Deed("a", -DAY, "purchase", value=3),
        Deed("a", -15 * DAY, "purchase", value=100),  # beyond the two weeks
        Deed("a", DAY, "purchase", value=4),
        Deed("b", DAY, "purchase", value=1),
    ]
    table = measured(slates, deeds, "revenue_per_person", "conversion")
    assert (column(table, "revenue_per_person"), column(table, "revenue_per_person before")) == (
        [4, 1],
        [3, 0],
    )
    assert column(table, "conversion before") == [1, 0]
    assert table.cohort.attributes["visitor"].tolist() == ["known", "new"]


def test_units_that_change_their_variant_are_left_out_and_logins_are_one_person() -> None:
    slates = [
        Slate("anon:x", 0, "A"),
        Slate("user:u", 60, "A"),
        Slate("anon:y", 0, "A"),
        Slate("user:v", 60, "B"),
        Slate("user:w", 9, "B"),
    ]
    logins = {"anon:x": "user:u", "anon:y": "user:v"}
    deeds = [Deed("anon:x", 5, "purchase", value=1), Deed("user:u", 70, "purchase", value=2)]
    table = measured(slates, deeds, "revenue_per_person", logins=logins)
    assert column(table, "revenue_per_person") == [3, 0]
    assert table.cohort.switched == 1
    assert any("1 units saw more than one variant" in note for note in table.notes)


def test_clocks_of_browsers_cannot_move_an_event_before_its_slate_or_behind_its_arrival() -> None:
    slates = [Slate("a", 0, "A", rec="r1"), Slate("b", 0, "B")]
    deeds = [
        Deed("a", -HOUR, rec="r1", received=30),  # an hour slow
        Deed("b", 40 * DAY, "purchase", value=2, received=60),  # forty days fast
    ]
    table = measured(slates, deeds, "revenue_per_person", "clicks_per_slate")
    assert column(table, "clicks_per_slate") == [1, 0]
    assert column(table, "revenue_per_person") == [0, 2]
    assert table.cohort.clocks == 2


def test_one_buyer_of_a_million_is_capped_with_a_note() -> None:
    slates = [Slate(f"u{n}", n, "AB"[n % 2]) for n in range(2_000)]
    deeds = [Deed(f"u{n}", n + 5, "purchase", value=10) for n in range(2_000)]
    deeds.append(Deed("u7", 9, "purchase", value=1e6))
    table = measured(slates, deeds, "revenue_per_person")
    assert table.metrics[0].cap == pytest.approx(10, rel=0.01)


def test_an_audience_of_nobody_is_said() -> None:
    with pytest.raises(UsageError, match="nobody is in experiment"):
        measured([Slate("a", 0, "A")], [], "revenue_per_person", variants=("C", "D"))


def test_a_readout_that_wants_more_memory_than_it_may_have_says_so() -> None:
    slates = [Slate(f"u{n}", n, "A", items=tuple(f"i{m}" for m in range(50))) for n in range(4_000)]
    asked = Asked(KEY, ("A", "B"), (default_metrics()["revenue_per_person"],), start=START, end=START + DAY)
    with pytest.raises(TailorbirdError, match="needs more than 1 MB"):
        unit_table(asked, sources(slates, []), memory_mb=1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "mean", "of": {"measure": "clicks"}}, "m.of.measure"),
        ({"kind": "mean", "of": {"measure": "events"}, "per": {"measure": "slates"}}, "a ratio, and only it"),
        ({"kind": "ratio", "of": {"measure": "events"}}, "a ratio, and only it"),
        ({"kind": "proportion", "of": {"measure": "events"}, "cap": 3}, "nothing to cap"),
        ({"kind": "mean", "of": {"measure": "slates", "types": ["click"]}}, "of slates"),
        ({"kind": "mean", "of": {"measure": "events", "credit": "first"}}, "attribution = 'item'"),
        ({"kind": "mean", "of": {"measure": "funnel", "types": ["click"]}}, "a funnel has 2 to"),
        ({"kind": "mean", "of": {"measure": "days_until_return"}}, "wants window_days"),
        ({"kind": "mean", "of": {"measure": "events"}, "kap": 3}, "kap"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused_in_words(table: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        metrics_of({"m": table}, where="metrics.toml")


ITEM = st.sampled_from(["i1", "i2", "i3"])
PERSON = st.sampled_from(["a", "b", "c"])
INSTANT = st.integers(-12 * 24, 9 * 24).map(lambda hours: hours * HOUR)
SLATES = st.lists(
    st.builds(
        Slate,
        key=PERSON,
        at=INSTANT,
        variant=st.none(),
        items=st.lists(ITEM, min_size=1, max_size=3, unique=True).map(tuple),
        fallback=st.sampled_from(["", "list"]),
    ),
    max_size=12,
)
DEEDS = st.lists(
    st.builds(
        Deed,
        key=PERSON,
        at=INSTANT.map(lambda at: at + 60),
        type=st.sampled_from(["click", "purchase", "add_to_cart"]),
        item=ITEM,
        value=st.integers(0, 9).map(float),
        session=st.sampled_from(["s1", "s2", None]),
    ),
    max_size=15,
)


PAID = {"paid": {"kind": "mean", "of": {"measure": "value", "types": ["purchase"]}}}


@settings(max_examples=40, deadline=None)
@given(SLATES, DEEDS)
def test_every_measure_is_what_plain_python_counts(drawn: list[Slate], deeds: list[Deed]) -> None:
    variant = {"a": "A", "b": "B", "c": "A"}
    for each in drawn:
        each.variant = variant[each.key] if each.at >= 0 else None
    first = {
        key: min(each.at for each in drawn if each.key == key and each.variant)
        for key in {e.key for e in drawn if e.variant}
    }
    if not first:
        return
    names = [
        "paid",
        "purchases",
        "add_to_cart",
        "conversion_of_shown",
        "fallback_share",
        "checkout",
        "bounce_rate",
        "items_seen",
    ]
    table = measured(drawn, deeds, *names, own=PAID)
    order = sorted(first, key=lambda key: (first[key], key))
    for at, key in enumerate(order):
        begun = first[key]
        mine = [each for each in deeds if each.key == key]
        slates = [each for each in drawn if each.key == key and each.at >= begun]
        bought = [each for each in mine if each.type == "purchase" and each.at >= begun]
        before = [each for each in mine if each.type == "purchase" and begun - 14 * DAY <= each.at < begun]
        shown_before = [
            each
            for each in bought
            if any(s.at <= each.at < s.at + DAY and each.item in s.items for s in slates)
            and max(
                (s.at for s in drawn if s.key == key and s.at <= each.at and each.item in s.items),
                default=-1e9,
            )
            >= begun
        ]
        assert table.units.columns["purchases"][at] == len(bought)
        assert table.units.columns["paid"][at] == sum(each.value for each in bought)
        if "paid before" in table.units.columns:
            assert table.units.columns["paid before"][at] == pytest.approx(sum(each.value for each in before))
        assert table.units.columns["add_to_cart"][at] == any(
            each.type == "add_to_cart" and each.at >= begun for each in mine
        )
        assert table.units.columns["conversion_of_shown"][at] == bool(shown_before)
        assert table.units.columns["fallback_share"][at] == sum(bool(each.fallback) for each in slates)
        assert table.units.columns["items_seen"][at] == len({item for each in slates for item in each.items})
        assert table.units.columns["checkout"][at] == _through(mine, begun)
        sessions = {each.session for each in mine if each.session}
        ended = {s: [each.at for each in mine if each.session == s] for s in sessions}
        assert table.units.columns["bounce_rate"][at] == sum(
            len(times) == 1 and max(times) >= begun for times in ended.values()
        )


def _through(deeds: list[Deed], begun: float) -> bool:
    at = begun
    for step in ("click", "add_to_cart", "purchase"):
        times = [each.at for each in deeds if each.type == step and each.at >= at]
        if not times:
            return False
        at = min(times)
    return True

"""What each thing that sessions show says of the behaviours, one thing at a time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tailorbird.simulator.behaviours import BEHAVIOURS, Behaviour
from tailorbird.simulator.evidence import Evidence
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.sessions import Sessions

EVIDENCE = Evidence(cart=np.full(7, 0.3), revisit=np.full(7, 0.1), price=np.linspace(-0.6, 0.6, 7))
TEN = np.ones(10)
THURSDAY = 20_454 * DAY


def sessions() -> Sessions:
    """Ten sessions at noon on a Thursday: three looks, four clicks, two carts each."""
    return Sessions(
        user=np.zeros(10, int),
        began=THURSDAY + 12 * 3600.0 * TEN,
        search=0 * TEN,
        looks=3 * TEN,
        clicks=4 * TEN,
        carts=2 * TEN,
        purchases=TEN,
        revisits=0 * TEN,
        price=0 * TEN,
        price_squared=2 * TEN,
        mobile=0 * TEN,
        referrer=np.zeros(10, int),
    )


def weigh(seen: Sessions, *, days: float = 60.0) -> np.ndarray:
    """(n_behaviours,) log likelihood."""
    totals = EVIDENCE.totals(seen).sums(seen.user, 1)
    return EVIDENCE.weigh(totals, duration=np.array([days * DAY]))[0]


@pytest.mark.parametrize(
    ("changed", "declared"),
    [
        ({"search": TEN}, lambda kind: kind.search),
        ({"mobile": TEN}, lambda kind: kind.mobile),
        ({"began": THURSDAY + 2 * DAY + 12 * 3600.0 * TEN}, lambda kind: kind.weekend),
        ({"purchases": 2 * TEN}, lambda kind: kind.purchase),
        ({"began": THURSDAY + 1.0 * TEN}, lambda kind: -abs((kind.hour + 12) % 24 - 12)),
        ({"looks": 12 * TEN, "clicks": 0 * TEN}, lambda kind: kind.look * (1 - kind.click)),
    ],
    ids=["search", "mobile", "weekend", "purchase", "midnight", "looks"],
)
def test_what_changes_speaks_for_the_behaviour_that_declares_most_of_it(
    changed: dict[str, np.ndarray], declared: Callable[[Behaviour], float]
) -> None:
    gain = weigh(replace(sessions(), **changed)) - weigh(sessions())
    most = max(range(7), key=lambda kind: declared(BEHAVIOURS[kind]))
    least = min(range(7), key=lambda kind: declared(BEHAVIOURS[kind]))
    assert gain[most] > gain[least] + 1.0
    assert gain.argmax() == most


@pytest.mark.parametrize("referrer", range(4))
def test_a_referrer_speaks_for_those_who_come_by_it(referrer: int) -> None:
    came = np.array([kind.referrers[referrer] for kind in BEHAVIOURS])
    gain = weigh(replace(sessions(), referrer=np.full(10, referrer))) - weigh(
        replace(sessions(), referrer=np.full(10, (referrer + 1) % 4))
    )
    other = np.array([kind.referrers[(referrer + 1) % 4] for kind in BEHAVIOURS])
    assert gain[int((came / other).argmax())] > gain[int((came / other).argmin())] + 5.0


def test_prices_speak_for_the_nearest_mean() -> None:
    dear = replace(sessions(), price=4 * 0.6 * TEN, price_squared=4 * 0.6**2 * TEN)
    gain = weigh(dear) - weigh(sessions())
    assert (np.diff(gain) > 0).all()


def test_many_sessions_in_a_short_time_speak_for_those_who_come_often() -> None:
    often = int(np.argmax([kind.sessions for kind in BEHAVIOURS]))
    assert (weigh(sessions(), days=10.0) - weigh(sessions(), days=60.0)).argmax() == often


def test_no_sessions_say_nothing_but_that_nobody_came() -> None:
    none = EVIDENCE.totals(sessions().of(np.zeros(0, int))).sums(np.zeros(0, int), 1)
    at_once = EVIDENCE.weigh(none, duration=np.array([0.0]))
    np.testing.assert_allclose(at_once, 0.0, atol=1e-9)
    month = EVIDENCE.weigh(none, duration=np.array([30 * DAY]))[0]
    assert month.argmin() == int(np.argmax([kind.sessions for kind in BEHAVIOURS]))

"""What each event of a history shows of its person: signs, a few an event, whose decayed sums are all that assignments read.

An event shows what it is after the one before it (a chain of Markov); the first of a visit also how the last visit ended, how long
that is ago, the hour, the weekday, the device and the referrer; a look whether the item was looked at before; and a click, cart
or purchase its price. A segment's ``log_chances`` say how likely each sign is among its people; the sum over the signs of a
history is how well the segment explains it.
"""

from collections.abc import Sequence

import numpy as np

from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.table import COUNTED_TYPES, DEVICES, REFERRERS
from tailorbird.plumbing.compiled import compiled, positions

_TYPES = len(COUNTED_TYPES)
HOURS, GAPS, PRICES = 8, 10, 12
GAP_STEP = 0.75
"""Width of a step of absence, in the log of hours."""
_SIZES = {
    **{f"after_{name}": _TYPES + 1 for name in (*COUNTED_TYPES, "nothing")},
    "hour": HOURS,
    "weekend": 2,
    "device": len(DEVICES) + 1,
    "referrer": len(REFERRERS) + 1,
    "again": 2,
    "gap": GAPS,
    "price": PRICES,
}
_ENDS = np.cumsum(list(_SIZES.values()))
ALPHABETS: tuple[tuple[int, int], ...] = tuple(zip([0, *_ENDS[:-1].tolist()], _ENDS.tolist(), strict=True))
"""Where each alphabet begins and ends among the signs: the signs of one exclude each other."""
SIGNS = int(_ENDS[-1])
"""How many signs there are."""
MOST = 9
"""Signs of one event at most."""

_AT = positions(list(_SIZES))
for _name, (_start, _) in zip(_SIZES, ALPHABETS, strict=True):
    _AT[_name] = _start
_CODES = positions([f"a_{name}" for name in TYPE_CODE])
_CONSTANTS = _AT, _CODES, _TYPES, HOURS, GAPS, GAP_STEP, len(DEVICES) + 1, MOST, len(REFERRERS) + 1


def signs_of_type(event_type: str) -> np.ndarray:
    """The signs that an event of this type may show for being of it, one for each type before it."""
    return np.arange(_TYPES + 1) * (_TYPES + 1) + TYPE_CODE[event_type]


def price_edges(histories: Sequence[np.ndarray]) -> np.ndarray:
    """(PRICES - 1,) log prices that part what was clicked, carted and bought into equal parts."""
    prices = np.concatenate([np.zeros(0, np.float32), *(each["log_price"] for each in histories)])
    prices = prices[np.isfinite(prices)]
    steps = np.linspace(0.0, 1.0, PRICES + 1)[1:-1]
    return np.quantile(prices, steps) if len(prices) else steps


def signs_of(history: np.ndarray, edges: np.ndarray, *, half_life: float) -> np.ndarray:
    """(SIGNS,) decayed sums of the signs of a history (n,) RECORD, oldest first; weights count from its newest event."""
    return _counted(history, edges, half_life, SIGNS, _CONSTANTS)


def explained(history: np.ndarray, edges: np.ndarray, log_chances: np.ndarray) -> np.ndarray:
    """(n, K) what each event says for each segment: the sum of ``log_chances`` (K, SIGNS) over its signs."""
    found: np.ndarray = _explained(history, edges, log_chances, _CONSTANTS)
    return found


@compiled
def _counted(history, edges, half_life, signs, constants):  # type: ignore[no-untyped-def]
    found, shown = np.zeros(signs), np.empty(constants[7], np.int64)
    if not len(history):
        return found
    again = _again(history, constants)
    newest = history[len(history) - 1].time
    begun = 0
    for i in range(len(history)):
        weight = 2.0 ** (-((newest - history[i].time) / 1e6) / half_life)
        count, begun = _shown(history, i, again, begun, edges, shown, constants)
        for s in range(count):
            found[shown[s]] += weight
    return found


@compiled
def _explained(history, edges, log_chances, constants):  # type: ignore[no-untyped-def]
    found, shown = np.zeros((len(history), len(log_chances))), np.empty(constants[7], np.int64)
    again = _again(history, constants)
    begun = 0
    for i in range(len(history)):
        count, begun = _shown(history, i, again, begun, edges, shown, constants)
        for k in range(len(log_chances)):
            for s in range(count):
                found[i, k] += log_chances[k, shown[s]]
    return found


@compiled
def _again(history, constants):  # type: ignore[no-untyped-def]
    """(n,) 1 for a look at an item looked at before, 0 for another look, -1 for what is no look."""
    code = constants[1][0]
    room = 1
    while room < 2 * len(history):
        room *= 2
    met, found = np.zeros(room, np.int64), np.full(len(history), -1)
    for i in range(len(history)):
        event = history[i]
        if (event.type != code.a_view and event.type != code.a_click) or event.item == 0:
            continue
        slot = event.item & (room - 1)
        while met[slot] != 0 and met[slot] != event.item:
            slot = (slot + 1) & (room - 1)
        found[i] = met[slot] == event.item
        met[slot] = event.item
    return found


@compiled
def _shown(history, i, again, begun, edges, shown, constants):  # type: ignore[no-untyped-def]
    """Write the signs of event ``i`` into ``shown``; how many, and when its visit began (epoch microseconds)."""
    at, code, types, hours, gaps, step, devices, referrers = (
        constants[0][0],
        constants[1][0],
        constants[2],
        constants[3],
        constants[4],
        constants[5],
        constants[6],
        constants[8],
    )
    event = history[i]
    # What a damaged or foreign history says beyond the alphabets must not write beyond the sums: a type is the last, "other".
    kind, previous = min(event.type, types - 1), min(history[i - 1].type, types - 1)
    # A chain's row of a type begins where that of the first does, so many rows of types + 1 further.
    rows, width = at.after_impression, types + 1
    first = i == 0 or event.session == 0 or event.session != history[i - 1].session
    before = types if first else previous
    shown[0] = rows + before * width + kind
    count = 1
    if first:
        if i > 0:
            shown[count] = rows + previous * width + types
            passed = max(0.0, (event.time - begun) / 3.6e9)
            shown[count + 1] = at.gap + min(gaps - 1, int(np.log1p(passed) / step))
            count += 2
        begun = event.time
        shown[count] = at.hour + (event.time // 3_600_000_000) % 24 * hours // 24
        shown[count + 1] = at.weekend + ((event.time // 86_400_000_000 + 3) % 7 >= 5)
        shown[count + 2] = at.device + event.setting % devices
        referrer = event.setting // devices
        shown[count + 3] = at.referrer + (referrer if referrer < referrers else 0)
        count += 4
    if again[i] >= 0:
        shown[count] = at.again + again[i]
        count += 1
    wanted = event.type == code.a_click or event.type == code.a_add_to_cart or event.type == code.a_purchase
    if wanted and event.log_price == event.log_price:
        shown[count] = at.price + np.searchsorted(edges, event.log_price)
        count += 1
    return count, begun

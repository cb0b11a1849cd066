"""The contexts of past requests: which device and referrer stood behind what a person did at an instant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pandas as pd

from tailorbird.catalog.keys import stable_keys
from tailorbird.features.history.records import MICROSECONDS, frame_microseconds

KEPT = ("device", "referrer")
"""What of a context the ranker reads; everything else, consent among it, is left where it is."""
_SPREAD = np.int64(
    -7046029254386353131
)  # odd, so that instants do not meet in the name of a (person, instant)


@dataclass(frozen=True)
class PastContexts:
    """Contexts by person and instant, found in one search.

    ``names`` (n,) int64 ascending, one a (person, instant); ``codes`` (n,) int32 rows of ``distinct``, the contexts.
    """

    names: np.ndarray
    codes: np.ndarray
    distinct: tuple[Mapping[str, object], ...]

    @classmethod
    def of(cls, events: pd.DataFrame) -> "PastContexts":
        """Read the ``context`` of each event of a log's frame; of one person at one instant the first counts."""
        if "context" not in events:
            return NO_CONTEXTS
        spoken = events[events["context"].notna()]
        texts, distinct = pd.factorize(spoken["context"])
        kept = [_kept(text) for text in distinct]
        codes, contexts = pd.factorize(pd.Series([tuple(context.items()) for context in kept], dtype=object))
        names = _names(spoken["user_key"], frame_microseconds(spoken["event_time"]))
        names, first = np.unique(names, return_index=True)
        return cls(names, codes.astype(np.int32)[texts[first]], tuple(dict(pairs) for pairs in contexts))

    @classmethod
    def joined(cls, parts: Iterable["PastContexts"]) -> "PastContexts":
        """Those of several stretches of a log, in their order."""
        code_of: dict[tuple[tuple[str, object], ...], int] = {}
        names, codes = [NO_CONTEXTS.names], [NO_CONTEXTS.codes]
        for part in parts:
            own = [code_of.setdefault(tuple(each.items()), len(code_of)) for each in part.distinct]
            names.append(part.names)
            codes.append(np.array(own, np.int32)[part.codes] if own else part.codes)
        found, first = np.unique(np.concatenate(names), return_index=True)
        return cls(found, np.concatenate(codes)[first], tuple(dict(pairs) for pairs in code_of))

    def at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[Mapping[str, object]]:
        """The context of each person's event at each instant (epoch seconds), {} where none is known."""
        if not len(self.names):
            return [{}] * len(user_keys)
        names = _names(user_keys, np.rint(np.asarray(instants) * MICROSECONDS).astype(np.int64))
        places = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        known = self.names[places] == names
        return [
            self.distinct[code] if found else {}
            for code, found in zip(self.codes[places].tolist(), known.tolist(), strict=True)
        ]


def _names(user_keys: Iterable[str], micros: np.ndarray) -> np.ndarray:
    codes, keys = pd.factorize(np.asarray(list(user_keys), dtype=object))
    with np.errstate(over="ignore"):
        names: np.ndarray = stable_keys(keys)[codes] ^ (micros * _SPREAD)
    return names


def _kept(text: str) -> dict[str, object]:
    try:
        context = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(context, dict):
        return {}
    return {name: context[name] for name in KEPT if isinstance(context.get(name), str)}


NO_CONTEXTS = PastContexts(np.zeros(0, np.int64), np.zeros(0, np.int32), ())

"""Which versions in use still hold people who were erased, in their counts or in what they learned."""

from dataclasses import dataclass

from registry.versions.forgetting import Reading, held_by, reading_of
from registry.versions.versions import Registered, Registry
from tailorbird.privacy.erasure.ledger import Ledger
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Due:
    """A version, the aliases that point at it, and how many erasures it has not heard of.

    ``counted``: their people are in its counts; ``learned``: in its learned parts. ``since`` is the last of these erasures,
    epoch seconds.
    """

    version: Registered
    aliases: tuple[str, ...]
    counted: int
    learned: int
    since: float


def due(settings: Settings, registry: Registry) -> list[Due]:
    """Versions of the recommender that have something to forget, in the order of their numbers."""
    aliases: dict[int, list[str]] = {}
    for alias, number in sorted(registry.aliases().items()):
        aliases.setdefault(number, []).append(alias)
    versions = {number: registry.version(number) for number in sorted(aliases)}
    readings = {number: reading_of(registry, version) for number, version in versions.items()}
    counted, learned = dict.fromkeys(aliases, 0), dict.fromkeys(aliases, 0)
    since = dict.fromkeys(aliases, 0.0)
    for receipt in Ledger(settings.folder).done():
        for number, reading in readings.items():
            erased = receipt.done_at or 0.0
            if reading.learned > erased or held_by(receipt, registry.name, number) == "no":
                continue
            learned[number] += 1
            counted[number] += reading.counted <= erased
            since[number] = max(since[number], erased)
    return [
        Due(version, tuple(aliases[number]), counted[number], learned[number], since[number])
        for number, version in versions.items()
        if learned[number]
    ]


def under_way(settings: Settings) -> int:
    """Erasures that are not done: whom they erase is forgotten once they are."""
    return len(Ledger(settings.folder).unfinished(limit=100_000))


def has_heard(reading: Reading, each: Due) -> bool:
    """Whether a version was counted after the last erasure that ``each`` has to forget."""
    return reading.counted > each.since

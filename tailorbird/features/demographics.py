"""What people told of themselves: age, gender, country; and segments by these, for popularity that fits them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.catalog.catalog import Users
from tailorbird.catalog.log.told import Told
from tailorbird.events.schema import user_key

AGE_BANDS = ((0, 18), (18, 25), (25, 35), (35, 45), (45, 55), (55, 200))


@dataclass(frozen=True)
class Demographics:
    """What a user told us: age in years (NaN unknown), gender and country ('' unknown)."""

    age: float = float("nan")
    gender: str = ""
    country: str = ""


NOBODY = Demographics()


def demographics_of(users: Users) -> dict[str, Demographics]:
    """Look-up of demographics by user key."""
    table = users.users
    return {
        user_key(user_id=user_id, anonymous_id=None): Demographics(
            age=float(age), gender=str(gender), country=str(country)
        )
        for user_id, age, gender, country in zip(
            table["user_id"], table["age"], table["gender"], table["country"], strict=True
        )
    }


def told_more(person: Demographics, told: Told) -> Demographics:
    """What we know of a person after a patch (``tailorbird.catalog.log.told``)."""
    age, texts = person.age, {"gender": person.gender, "country": person.country}
    if "age" in told:
        age = float("nan") if told["age"] is None else float(told["age"])
    texts.update({name: told[name] or "" for name in texts if name in told})
    return Demographics(age=age, **texts)


def segment_of(person: Demographics) -> str:
    """Name the segment of one person, such as ``f 25-34``; the empty name where nothing is known."""
    parts = []
    if person.gender:
        parts.append(person.gender[:1].lower())
    if person.age == person.age:  # not NaN
        parts += [f"{low}-{high - 1}" for low, high in AGE_BANDS if low <= person.age < high]
    return " ".join(parts)


def segments_of(users: Users, user_ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """(n,) segment names of ``user_ids`` as objects."""
    people = demographics_of(users)
    return np.array([segment_of(people.get(str(user_id), NOBODY)) for user_id in user_ids], dtype=object)

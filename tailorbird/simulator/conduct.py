"""How each person goes about a visit, before and after a change: everybody alike, or by planted behaviours."""

from dataclasses import dataclass, fields

import numpy as np

from tailorbird.simulator.behaviours import (
    ACTIVITY_SHAPE,
    BEHAVIOURS,
    DRIFTS,
    LIKE_MINDED,
    OWN_EAGERNESS,
    OWN_HOUR,
    SESSION_HOUR,
    chances,
)
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.people import People, apart

WEEKEND = (2, 3)
"""Days since 1970, modulo 7, that are a Saturday or a Sunday."""


@dataclass(frozen=True)
class Conduct:
    """Chances and measures of sessions, one row a person; see Behaviour for what each is.

    ``looks`` (…, 3) and ``referrers`` (…, 4) are cumulative chances: of 0, 1 or 2 looks in a step, of each referrer.
    """

    search: np.ndarray
    ends: np.ndarray
    looks: np.ndarray
    click: np.ndarray
    eagerness: np.ndarray
    purchase: np.ndarray
    price: np.ndarray
    revisit: np.ndarray
    sessions: np.ndarray
    hour: np.ndarray
    weekend: np.ndarray
    mobile: np.ndarray
    referrers: np.ndarray

    def of(self, *index: np.ndarray) -> "Conduct":
        """Pick rows: an index (b,) into persons, or two into persons and phases."""
        return Conduct(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True)
class Conducts:
    """Everybody's conduct in two phases, (n, 2, …): before ``changes_at`` (n,) (epoch seconds, inf for never) and from then on.

    ``behaviours`` (n, 2) are rows of BEHAVIOURS, or -1 where nothing is planted.
    """

    behaviours: np.ndarray
    changes_at: np.ndarray
    of_phases: Conduct

    def phase(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """(b,) 0 before a person's change, 1 from then on."""
        return (instants >= self.changes_at[rows]).astype(np.int64)

    def at(self, rows: np.ndarray, instants: np.ndarray) -> Conduct:
        """Conduct of persons ``rows`` (b,) at ``instants`` (b,)."""
        return self.of_phases.of(rows, self.phase(rows, instants))

    def behaviour_at(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """(b,) the behaviours of persons ``rows`` at ``instants``."""
        behaviours: np.ndarray = self.behaviours[rows, self.phase(rows, instants)]
        return behaviours


def conduct_alike(people: People) -> Conducts:
    """Everybody behaves alike, but for the device, the hour and the number of sessions that ``people`` says."""
    count = len(people)

    def all_have(*values: float) -> np.ndarray:
        return np.broadcast_to(np.array(values if len(values) > 1 else values[0]), (count, 2, len(values)))

    def both(values: np.ndarray) -> np.ndarray:
        return np.stack([values, values], axis=1)

    def one(value: float) -> np.ndarray:
        return np.broadcast_to(np.float64(value), (count, 2))

    return Conducts(
        behaviours=np.full((count, 2), -1),
        changes_at=np.full(count, np.inf),
        of_phases=Conduct(
            search=one(0.3),
            ends=one(0.25),
            looks=_cumulated(all_have(0.35, 0.4, 0.25)),
            click=one(0.8),
            eagerness=one(1.0),
            purchase=one(0.5),
            price=one(0.0),
            revisit=one(0.0),
            sessions=both(people.activity),
            hour=both(people.peak_hour),
            weekend=one(2 / 7),
            mobile=both(people.mobile),
            referrers=_cumulated(all_have(0.45, 0.3, 0.12, 0.13)),
        ),
    )


def plant(people: People, *, end: float, rng: np.random.Generator) -> Conducts:
    """Give every person a behaviour, by age, gender and chance, and some a second one that begins before ``end``."""
    known = people.users.users
    shares = chances(known["age"].to_numpy(), known["gender"].to_numpy())
    first = _draw(shares, rng)
    others = np.where(np.arange(len(BEHAVIOURS)) == first[:, None], 0.0, shares)
    behaviours = np.stack([first, _draw(others / others.sum(axis=1, keepdims=True), rng)], axis=1)
    drifts = rng.random(len(people)) < DRIFTS
    instants = rng.uniform(people.joined_at, end)
    return Conducts(
        behaviours=np.where(drifts[:, None], behaviours, first[:, None]),
        changes_at=np.where(drifts, np.floor(instants), np.inf),
        of_phases=_own_conduct(behaviours, rng),
    )


def _own_conduct(behaviours: np.ndarray, rng: np.random.Generator) -> Conduct:
    """What a person of a behaviour does is near to what the behaviour says, in each phase anew."""

    def told(name: str) -> np.ndarray:
        return np.array([getattr(behaviour, name) for behaviour in BEHAVIOURS])[behaviours]

    def own(name: str) -> np.ndarray:
        return rng.beta(LIKE_MINDED * told(name), LIKE_MINDED * (1.0 - told(name)))

    look = own("look")[..., None]
    referrers = rng.standard_gamma(LIKE_MINDED * told("referrers"))  # normalised: a Dirichlet
    return Conduct(
        search=own("search"),
        ends=own("ends"),
        looks=_cumulated(np.concatenate([(1 - look) ** 2, 2 * look * (1 - look), look**2], axis=-1)),
        click=own("click"),
        eagerness=told("eagerness") * rng.lognormal(0.0, OWN_EAGERNESS, behaviours.shape),
        purchase=own("purchase"),
        price=told("price"),
        revisit=told("revisit"),
        sessions=told("sessions") * rng.gamma(ACTIVITY_SHAPE, 1.0 / ACTIVITY_SHAPE, behaviours.shape),
        hour=told("hour") + rng.normal(0.0, OWN_HOUR, behaviours.shape),
        weekend=own("weekend"),
        mobile=own("mobile"),
        referrers=_cumulated(referrers),
    )


def planted_starts(
    people: People, conducts: Conducts, *, start: float, end: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Each user's session starts as ``session_starts`` gives them, by behaviour: how many, which days, which hours."""
    starts = []
    conduct = conducts.of_phases
    for row in range(len(people)):
        change = min(conducts.changes_at[row], end)
        instants = []
        for phase, (since, until) in enumerate(((people.joined_at[row], change), (change, end))):
            if since >= until:
                continue
            count = rng.poisson(conduct.sessions[row, phase] * (until - since) / (end - start))
            days = _days(since, until, weekend=conduct.weekend[row, phase], count=count, rng=rng)
            hours = np.mod(conduct.hour[row, phase] + rng.normal(0.0, SESSION_HOUR, count), 24.0)
            drawn = np.floor(days * DAY + hours * 3600.0)
            instants.append(drawn[(drawn >= since) & (drawn < min(until, end - 7200.0))])
        starts.append(apart(np.unique(np.concatenate(instants))) if instants else np.zeros(0))
    return starts


def _days(since: float, until: float, *, weekend: float, count: int, rng: np.random.Generator) -> np.ndarray:
    days = np.arange(np.floor(since / DAY), np.ceil(until / DAY))
    rests = np.isin(days % 7, WEEKEND)
    weights = np.where(rests, weekend / max(rests.sum(), 1), (1.0 - weekend) / max((~rests).sum(), 1))
    return rng.choice(days, size=count, p=weights / weights.sum())


def pick(cumulated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(b,) a column by the cumulative chances (b, k) of each row."""
    picked: np.ndarray = (rng.random(len(cumulated))[:, None] >= cumulated[:, :-1]).sum(axis=1)
    return picked


def _draw(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pick(shares.cumsum(axis=1), rng)


def _cumulated(weights: np.ndarray) -> np.ndarray:
    cumulated = weights.cumsum(axis=-1)
    return cumulated / cumulated[..., -1:]

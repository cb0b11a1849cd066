"""A reason is true: without the event that it names, the item stands lower."""

from dataclasses import replace

import numpy as np

from tailorbird.exposures.pushes import MOST_ITEMS, REASONS, find_pushes
from tailorbird.features.table import HISTORY_LENGTH

PEOPLE = 12
SHOWN = 10


def asked(shop):
    """Some people with a past, what they get and why."""
    people = [user for user, events in shop.by_user.items() if len(events) >= 15][:PEOPLE]
    for user in people:
        events = shop.by_user[user]
        query = shop.query(user, events, k=SHOWN)
        items = [item.item_id for item in shop.recommender.recommend(query).items]
        yield (
            user,
            events,
            items,
            find_pushes(
                shop.recommender,
                query,
                items,
                events=events,
                facts=shop.facts,
                history_length=HISTORY_LENGTH,
            ),
        )


def places(shop, query):
    """Where every item stands in the whole ranking, as an answer would be made anew."""
    (ranking,) = shop.recommender.rank([query], [shop.recommender.screen(query)])
    ids = shop.catalog.item_ids[ranking.candidates.rows]
    return {str(item): place for place, item in enumerate(ids, start=1)}


def test_without_the_event_that_a_reason_names_the_item_falls(shop):
    falls, given, explained = [], 0, 0
    for user, events, items, pushes in asked(shop):
        before = places(shop, shop.query(user, events))
        given += len(items)
        explained += sum(bool(pushes[item]) for item in items)
        for item in items:
            for push in pushes[item]:
                named = {event.message_id for event in push.events}
                others = [event for event in events if event.message_id not in named]
                after = places(shop, shop.query(user, others))
                falls.append(after.get(item, len(before) + 1) > before[item])
    assert len(falls) >= 100
    assert np.mean(falls) >= 0.8, f"{np.mean(falls):.3f} of {len(falls)} reasons are true"
    assert explained >= 0.6 * given


def test_reasons_are_few_the_strongest_first_and_of_this_persons_past(shop):
    for _, events, items, pushes in asked(shop):
        past = {event.message_id for event in events}
        for item in items:
            assert len(pushes[item]) <= REASONS
            assert [push.fall for push in pushes[item]] == sorted(
                (push.fall for push in pushes[item]), reverse=True
            )
            for push in pushes[item]:
                assert {event.message_id for event in push.events} <= past
                assert len({event.item_id for event in push.events}) == 1
                assert push.place_without is None or push.place_without > push.place
        break


def test_somebody_without_a_past_has_no_reasons(shop):
    query = shop.query("user-1" if "user-1" in shop.by_user else next(iter(shop.by_user)), [], k=5)
    items = [item.item_id for item in shop.recommender.recommend(query).items]
    pushes = find_pushes(
        shop.recommender, query, items, events=[], facts=shop.facts, history_length=HISTORY_LENGTH
    )
    assert all(not reasons for reasons in pushes.values())


def test_the_item_being_looked_at_is_a_reason_too(shop):
    user, events = max(shop.by_user.items(), key=lambda entry: len(entry[1]))
    query = shop.query(user, events, k=SHOWN, item_id=str(shop.catalog.item_ids[0]))
    items = [item.item_id for item in shop.recommender.recommend(query).items]
    pushes = find_pushes(
        shop.recommender, query, items, events=events, facts=shop.facts, history_length=HISTORY_LENGTH
    )
    assert any(not push.events for reasons in pushes.values() for push in reasons)


def test_the_work_is_bounded_whatever_the_past(shop):
    user, events = max(shop.by_user.items(), key=lambda entry: len(entry[1]))
    long = [
        replace(event, message_id=f"{event.message_id}-{n}", event_time=event.event_time - n)
        for n in range(5)
        for event in events
    ]
    calls = []
    query = shop.query(user, long, k=SHOWN)
    find_pushes(
        shop.recommender,
        query,
        [str(item) for item in shop.catalog.item_ids[:3]],
        events=long,
        facts=shop.facts,
        history_length=HISTORY_LENGTH,
        breathe=lambda: calls.append(1),
    )
    assert 1 <= len(calls) <= 1 + 2 * MOST_ITEMS // 4

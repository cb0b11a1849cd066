"""An answer of the past is explained and proved with the prices of its time, whatever they are now."""

from dataclasses import replace

import pytest

from serving.recommend.request.facts import LiveFacts
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.history import append_history, replaced_by
from tailorbird.exposures.command import parity_of
from tests.serving.recommend.routes.test_trace import asked, did, trace


def raise_prices(world):
    """Every item costs three times as much from a minute later on, as ingest would have it."""
    folder = world.settings.catalog_folder
    before = Catalog.read_with_history(folder)
    after = before.items.assign(price=before.items["price"] * 3)
    append_history(folder, replaced_by(before.items, after, now=world.clock + 60, history=before.history))
    replace(before, items=after).write(folder)


def test_parity_and_trace_hold_after_prices_have_changed(world):
    did(world, ("purchase", "i0"), ("view", "i1"))
    answer = asked(world)
    before = trace(world, answer)
    raise_prices(world)
    found = parity_of(world.settings, limit=10)
    assert (found.checked, found.holds) == (1, True), found
    after = trace(world, answer)
    before.pop("tookMs"), after.pop("tookMs")
    assert after == before


def test_facts_tell_what_an_item_was_when_an_event_came(world):
    facts = LiveFacts(world.settings)
    now = facts().log_prices[facts().row_of["i1"]]
    raise_prices(world)
    known = facts()
    row = known.rows(["i1"])
    then, later = (int((world.clock + seconds) * 1e6) for seconds in (0, 120))
    assert known.log_prices[known.held_at(row, [then])] == pytest.approx([now])
    assert known.log_prices[known.held_at(row, [later])] > now

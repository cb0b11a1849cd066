"""Requests answered together: everyone gets his own answer, and nobody waits for company."""

import asyncio

import pytest

from serving.recommend.slate.batch import Batcher


def refuse(asked, error):
    raise error


def test_everyone_gets_his_own_answer_and_batches_stay_small():
    sizes = []

    def double(asked):
        sizes.append(len(asked))
        return [2 * number for number in asked]

    async def everyone():
        batcher = Batcher(double, rescue=refuse, limit=4)
        return await asyncio.gather(*[batcher.submit(number) for number in range(10)])

    assert asyncio.run(everyone()) == [2 * number for number in range(10)]
    assert sizes == [4, 4, 2]


def test_one_alone_does_not_wait_for_others():
    async def alone():
        return await asyncio.wait_for(Batcher(list, rescue=refuse).submit("only"), timeout=1)

    assert asyncio.run(alone()) == "only"


def fragile(asked):
    if "bad" in asked or "worse" in asked:
        raise ValueError("bad input")
    return [f"answer to {each}" for each in asked]


def test_what_fails_alone_is_rescued_and_costs_the_others_nothing():
    def rescue(asked, error):
        if asked == "worse":
            raise error
        return f"something for {asked}: {error}"

    async def story():
        batcher = Batcher(fragile, rescue=rescue, limit=3)
        asked = ("good", "bad", "worse", "fine")
        return await asyncio.gather(*[batcher.submit(what) for what in asked], return_exceptions=True)

    good, bad, worse, fine = asyncio.run(story())
    assert (good, fine) == ("answer to good", "answer to fine")
    assert bad == "something for bad: bad input"
    assert isinstance(worse, ValueError)


def test_an_answer_that_is_missing_leaves_nobody_waiting():
    def forgetful(asked):
        return asked[:1]

    async def story():
        batcher = Batcher(forgetful, rescue=refuse)
        return await asyncio.wait_for(
            asyncio.gather(*[batcher.submit(number) for number in range(3)]), timeout=1
        )

    assert asyncio.run(story()) == [0, 1, 2]


def test_a_caller_who_left_holds_up_nobody():
    async def story():
        batcher = Batcher(list, rescue=refuse)
        leaving, staying = (asyncio.create_task(batcher.submit(name)) for name in ("leaves", "stays"))
        await asyncio.sleep(0)
        leaving.cancel()
        return await asyncio.wait_for(staying, timeout=1), leaving

    answer, leaving = asyncio.run(story())
    assert answer == "stays"
    with pytest.raises(asyncio.CancelledError):
        leaving.result()

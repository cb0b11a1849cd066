"""Requests answered together: everyone gets his own answer, and nobody waits for company."""

import asyncio

import pytest

from serving.recommend.batch import Batcher


def test_everyone_gets_his_own_answer_and_batches_stay_small():
    sizes = []

    def double(asked):
        sizes.append(len(asked))
        return [2 * number for number in asked]

    async def everyone():
        batcher = Batcher(double, limit=4)
        return await asyncio.gather(*[batcher.submit(number) for number in range(10)])

    assert asyncio.run(everyone()) == [2 * number for number in range(10)]
    assert sizes == [4, 4, 2]


def test_one_alone_does_not_wait_for_others():
    async def alone():
        return await asyncio.wait_for(Batcher(list).submit("only"), timeout=1)

    assert asyncio.run(alone()) == "only"


def test_a_failure_reaches_its_callers_and_the_next_are_served():
    def fragile(asked):
        if "bad" in asked:
            raise ValueError("bad input")
        return asked

    async def story():
        batcher = Batcher(fragile, limit=2)
        first = await asyncio.gather(
            *[batcher.submit(what) for what in ("bad", "good")], return_exceptions=True
        )
        return first, await batcher.submit("fine")

    first, later = asyncio.run(story())
    assert [type(each) for each in first] == [ValueError, ValueError]
    assert later == "fine"


def test_a_caller_who_left_holds_up_nobody():
    async def story():
        batcher = Batcher(list)
        leaving, staying = (asyncio.create_task(batcher.submit(name)) for name in ("leaves", "stays"))
        await asyncio.sleep(0)
        leaving.cancel()
        return await asyncio.wait_for(staying, timeout=1), leaving

    answer, leaving = asyncio.run(story())
    assert answer == "stays"
    with pytest.raises(asyncio.CancelledError):
        leaving.result()

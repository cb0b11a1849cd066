"""Answers of two services in one process, in turns that follow each other: what one of them does more than the other costs."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from serving.http.front import Request
from serving.recommend.slate.service import RecommendService
from tailorbird.plumbing.terminal import progress

ANSWERS = 20
"""Items of an answer."""
TOGETHER = 16
"""Requests that a replica answers together."""
BLOCK = 64
"""Answers of one turn."""


def in_turns(
    more: RecommendService, bare: RecommendService, people: Sequence[str], *, pairs: int, seed: int
) -> dict[str, object]:
    """The processor's time of the same answers by both, and requests a second with ``more`` ÷ with ``bare``."""
    rng = np.random.default_rng(seed)
    spent: dict[bool, list[float]] = {True: [], False: []}
    with threadpool_limits(1), progress("Answering", total=pairs) as bar:  # one thread, as a replica has
        for pair in range(-2, pairs):  # two to warm up
            asked = [people[place] for place in rng.integers(0, len(people), BLOCK)]
            for with_more in (True, False) if pair % 2 else (False, True):
                started = time.thread_time()
                asyncio.run(ask(more if with_more else bare, asked))
                if pair >= 0:
                    spent[with_more].append(time.thread_time() - started)
            if pair >= 0:
                bar.advance()
    ratios = [without / having for having, without in zip(spent[True], spent[False], strict=True)]
    return {
        "answers_ratio": statistics.median(ratios),
        "answers_ratio_quartiles": [float(each) for each in np.percentile(ratios, (25, 75))],
        "answers_ratio_of_sums": sum(spent[False]) / sum(spent[True]),
        "answer_cpu_ms": statistics.median(spent[False]) / BLOCK * 1000,
        "pairs": pairs,
        "answers": 2 * pairs * BLOCK,
    }


async def ask(service: RecommendService, people: Sequence[str]) -> None:
    """Ask for everybody, TOGETHER at a time."""
    for start in range(0, len(people), TOGETHER):
        bodies = [
            json.dumps({"userId": person, "numResults": ANSWERS}).encode()
            for person in people[start : start + TOGETHER]
        ]
        await asyncio.gather(*(service.recommend(Request(body)) for body in bodies))

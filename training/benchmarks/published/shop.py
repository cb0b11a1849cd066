"""The simulated shop as a benchmark: the next click, and an oracle that knows what everybody wants."""

from collections.abc import Callable

import numpy as np

from tailorbird.evaluation.answers import Answers, answer_by_scores
from tailorbird.evaluation.cases import QuestionBatch
from tailorbird.events.schema import id_of
from tailorbird.ingest.sources import Tables
from tailorbird.plumbing.terminal import say
from tailorbird.simulator.shop import Shop
from training.benchmarks.published.data import BenchmarkData
from training.benchmarks.published.run import HYBRID, Bench

ORACLE = "oracle"
RECENT = "recent popularity"


def simulated(size: int, *, seed: int) -> tuple[Shop, BenchmarkData]:
    """Simulate a shop of ``size`` users; what is asked are clicks on items that the user meets for the first time."""
    say(f"simulating a shop of {size:,} users, seed {seed}")
    shop = Shop.make(size, seed)
    tables = Tables(events=shop.events(), items=shop.catalog, users=shop.users, ordered_only=False)
    return shop, BenchmarkData.of("shop", tables, asked=tables.events["type"] == "click")


def measure_oracle(bench: Bench, shop: Shop) -> None:
    """Add the row of the true preferences, the running session's intent among them: nothing does better on average."""
    order = shop.catalog.rows(bench.data.catalog.item_ids)

    def wants(batch: QuestionBatch) -> np.ndarray:
        return shop.preferences([id_of(key) for key in batch.user_ids], batch.now)[:, order]

    def answer(advance: Callable[[int], object]) -> Answers:
        return answer_by_scores(wants, bench.cases, advance=advance)

    bench.row(ORACLE, answer)


def verdict(bench: Bench, *, metric: str = "ndcg@10") -> dict[str, float]:
    """Return ``metric`` of recent popularity, the hybrid and the oracle, and the ratios between them."""
    means = {name: report.mean(metric) for name, report in bench.reports.items()}
    found = {name: means[name] for name in (RECENT, HYBRID, ORACLE) if name in means}
    if HYBRID in means:
        found["hybrid / recent popularity"] = means[HYBRID] / max(means[RECENT], 1e-12)
        found["hybrid / oracle"] = means[HYBRID] / max(means[ORACLE], 1e-12)
    return found

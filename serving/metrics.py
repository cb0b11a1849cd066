"""Prometheus metrics of all replicas together: each process writes its own files, a scrape adds them up.

``PROMETHEUS_MULTIPROC_DIR`` must name a folder before this module is imported in a replica (serving/cluster.py sets it).
"""

from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 4.0)

requests = Counter("tailorbird_requests", "HTTP requests answered.", ("route", "status"))
request_seconds = Histogram(
    "tailorbird_request_seconds", "Time in the replica.", ("route",), buckets=LATENCY_SECONDS
)
answers = Counter("tailorbird_answers", "Slates made.", ("arm",))
fallbacks = Counter(
    "tailorbird_fallbacks", "Answers where something stood in for the model.", ("fallback", "arm")
)
arm_fallbacks = Counter(
    "tailorbird_arm_fallbacks", "Answers that the champion gave in the place of an arm.", ("arm", "reason")
)
shadow_answers = Counter(
    "tailorbird_shadow_answers",
    "Questions to shadows: compared, failed, missing a version, dropped because they were busy.",
    ("outcome",),
)
failures = Counter("tailorbird_failures", "Parts that failed while an answer was made.", ("part",))
cache_hits = Counter("tailorbird_cache_hits", "Answers whose ranking came from the result cache.", ("arm",))
cache_misses = Counter(
    "tailorbird_cache_misses", "Answers whose ranking was looked for there and made anew.", ("arm",)
)
cache_invalidations = Counter(
    "tailorbird_cache_invalidations", "Misses where only the person had changed since.", ("arm",)
)
cache_age_seconds = Histogram(
    "tailorbird_cache_age_seconds",
    "Age of the rankings that came from there.",
    ("arm",),
    buckets=(0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0, 900.0),
)
exposures = Counter("tailorbird_exposures", "Exposures: stored, dropped or failed.", ("outcome",))
events = Counter("tailorbird_events", "Events sent to collect.", ("outcome",))
moves = Counter(
    "tailorbird_moves",
    "Moves between segments: stored, known before, dropped; and people of whom it was not looked whether they moved (unseen).",
    ("outcome",),
)
trigger_deliveries = Counter(
    "tailorbird_trigger_deliveries",
    "Tries to tell a target of a move, and moves given up.",
    ("target", "outcome"),
)
trigger_waiting = Gauge(
    "tailorbird_trigger_waiting",
    "Deliveries that wait for a target.",
    ("target",),
    multiprocess_mode="livesum",
)
assignments = Counter(
    "tailorbird_assignments", "Calls for variants without items, by whether any was told.", ("outcome",)
)
bundle_swaps = Counter(
    "tailorbird_bundle_swaps", "Versions that started serving or were refused.", ("outcome", "arm")
)
bundle_version = Gauge(
    "tailorbird_bundle_version",
    "Registry version served, the lowest of all replicas.",
    ("arm",),
    multiprocess_mode="livemin",
)


@lru_cache(maxsize=1024)
def _series(route: str, status: int) -> tuple[Counter, Histogram]:
    return requests.labels(route, str(status)), request_seconds.labels(route)


def observe_request(route: str, status: int, seconds: float) -> None:
    """Count one answer."""
    counter, histogram = _series(route, status)
    counter.inc()
    histogram.observe(seconds)


def exposition() -> bytes:
    """Every replica's metrics in Prometheus' text format."""
    if values.ValueClass is values.MutexValue:  # this process keeps its numbers to itself
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)

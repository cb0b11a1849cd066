"""The routes of the collect application, and the scopes that open them."""

from serving.collect.service import CollectService
from serving.http.access import FOR_COLLECT, OPEN
from serving.http.front import Route


def collect_routes(service: CollectService) -> list[Route]:
    """The routes."""
    return [
        Route("events", "POST", "/v1/events", service.collect, needs=FOR_COLLECT),
        Route("events_health", "GET", "/v1/events/health", service.health, needs=OPEN),
    ]

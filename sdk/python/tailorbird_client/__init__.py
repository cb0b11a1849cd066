"""A client of a Tailorbird platform: tell it what people do, ask it what fits them."""

from tailorbird_client.answers import Collected, Consented, Item, Linked, Note, Recommendations
from tailorbird_client.client import AsyncClient, Client
from tailorbird_client.collector import Collector
from tailorbird_client.errors import ClientError, RefusedError, UnavailableError
from tailorbird_client.events import Event
from tailorbird_client.profiles import Profile, Rule, Segment

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Collected",
    "Collector",
    "Consented",
    "Event",
    "Item",
    "Linked",
    "Note",
    "Profile",
    "Recommendations",
    "RefusedError",
    "Rule",
    "Segment",
    "UnavailableError",
]

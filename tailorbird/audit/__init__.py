"""Who did what to whose data, and to keys and models: a log that is only ever added to, each entry chained to the one before."""

from tailorbird.audit.record import record

__all__ = ["record"]

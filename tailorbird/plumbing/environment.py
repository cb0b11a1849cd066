"""Variables that belong to others and that they read themselves; ours are in settings.py."""

import os


def secret_of(name: str) -> str:
    """The secret that an operator keeps in the variable ``name``; empty where it is not set."""
    return os.environ.get(name, "")


def s3_endpoint() -> str:
    """Where S3 is spoken, if not at Amazon's own addresses; empty where it is."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def s3_endpoints() -> list[str]:
    """Where this process may speak S3, if not at Amazon's own addresses: MLflow has a variable of its own."""
    return [each for each in (s3_endpoint(), os.environ.get("MLFLOW_S3_ENDPOINT_URL", "")) if each]


def postgres_hosts(*, named: bool) -> list[str]:
    """Where PostgreSQL's library goes by its own variables, for an address that names a host, or none; a service's name for its file's.

    ``PGHOSTADDR`` goes before a name.
    """
    if address := os.environ.get("PGHOSTADDR"):
        return address.split(",")
    if named:
        return []
    told = os.environ.get("PGHOST") or os.environ.get("PGSERVICE") or ""
    return told.split(",") if told else []


def ray_cluster() -> str:
    """The cluster that ``auto`` joins, where Ray's own variable names one; empty where it looks on this machine."""
    return os.environ.get("RAY_ADDRESS", "")


def ray_is_encrypted() -> bool:
    """Whether Ray's processes speak TLS to each other."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")

"""The only place that reads the environment: where things are kept and which engine keeps them."""

import hashlib
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import is_origin, without_secret
from tailorbird.plumbing.encryption import encrypted, is_plain_ray, plain_storage
from tailorbird.plumbing.objects import SCHEMES as STORAGE
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.plumbing.postgres import SCHEMES as POSTGRES
from tailorbird.plumbing.postgres import is_postgres, sqlalchemy_address

_OTHERS = {"TAILORBIRD_NEW_MASTER_KEY"}
"""Variables that a command reads itself."""
_is_loopback_origin = re.compile(r"http://(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?").fullmatch


class Settings(BaseSettings):
    """Everything an operator may choose, each overridable by ``TAILORBIRD_<NAME>`` (docs/settings.md lists them)."""

    model_config = SettingsConfigDict(env_prefix="TAILORBIRD_", frozen=True, extra="ignore")

    home: Path = Field(Path(".tailorbird"), description="Folder of every workspace.")
    workspace: str = Field(
        "shop", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="One shop, one data set."
    )
    mlruns: Path = Field(Path("mlruns"), description="MLflow's SQLite database and artifacts.")
    tls_ca: str = Field(
        "",
        description="Authority (PEM) that engines are checked against where their address names none; empty: the machine's.",
    )
    plain_engines: bool = Field(
        False, description="Reach engines on other machines without TLS: the network between is vouched for."
    )
    tracking_uri: str = Field(
        "",
        description="MLflow's database (postgresql://) or server (http://); empty means SQLite in `mlruns`.",
    )
    studies: str = Field(
        "", description="Database of Optuna's studies (postgresql://); empty means SQLite in the workspace."
    )
    storage: str = Field(
        "",
        description="Object storage of archive and bundles (s3://bucket/prefix); empty means this machine's folders.",
    )
    catalog: str = Field(
        "",
        description="Database of a catalogue that machines share (postgresql://, needs `storage`); empty means this "
        "machine's own.",
    )
    people: str = Field(
        "",
        description="Database of the people that machines share (postgresql://): the book that leads back from pseudonyms, and "
        "who was erased; empty means this machine's own.",
    )
    master_key: str = Field(
        "",
        repr=False,
        description="Master key (32 bytes in base64) that wraps every other key; empty means one of the workspace's own.",
    )
    master_key_file: str = Field(
        "", description="File that holds the master key, readable by its owner alone."
    )
    master_key_command: str = Field(
        "", description="Command that prints the master key, such as a key service's; run without a shell."
    )
    privacy: str = Field(
        "",
        description="Privacy policy of every workspace of this machine, for what their own `privacy.toml` does not say.",
    )
    ray_address: str = Field("", description="Ray cluster for tuning; empty means one on this machine.")
    host: str = Field("127.0.0.1", description="Address that serving binds to.")
    port: int = Field(8000, ge=1, le=65535, description="HTTP port of serving.")
    keys: str = Field("", description="File of API keys; empty means `keys.json` in the workspace's folder.")
    api_key: str = Field(
        "", repr=False, description="Key that commands and the demo's shop send to the platform."
    )
    tls_cert: str = Field(
        "", description="Certificate chain (PEM) that serving shows; empty means plain HTTP."
    )
    tls_key: str = Field(
        "", description="Private key (PEM) of `tls_cert`; empty means that it stands in the same file."
    )
    force_plain: bool = Field(
        False,
        description="Serve beyond this machine without TLS: something before the platform ends it.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages that may call, separated by commas; empty means the platform's own, `*` any.",
    )
    trigger_origins: str = Field(
        "",
        description="Origins that triggers may call, separated by commas; empty means none.",
    )
    admin_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Loopback port of admin; 0: the one after `port`, or a free one where that is taken.",
    )
    mlflow_port: int = Field(5000, ge=1, le=65535, description="HTTP port of the MLflow pages.")
    storefront_port: int = Field(8080, ge=1, le=65535, description="HTTP port of the demo's shop.")
    replicas: int = Field(2, ge=1, description="Replicas of the recommend application.")
    collect_replicas: int = Field(2, ge=1, description="Replicas of the collect application.")
    admin_replicas: int = Field(2, ge=1, description="Replicas of the admin application.")
    events: str = Field(
        "sqlite", description="Engine that keeps events and exposures: `sqlite`, or an address `kafka://…`."
    )
    events_password: str = Field("", repr=False, description="Password for the engine of `events`.")
    online: str = Field("sqlite", description="Engine that keeps live profiles: `sqlite`, or a Redis.")
    history_length: int = Field(128, ge=8, le=1024, description="Events kept in a live profile.")
    rating_scale: str = Field(
        "1-5",
        pattern=r"^\d+(\.\d+)?-\d+(\.\d+)?$",
        description="Least and greatest rating that people give; halfway is neutral.",
    )
    max_body_bytes: int = Field(1_000_000, ge=1024, description="Largest HTTP body accepted.")
    max_upload_bytes: int = Field(
        100_000_000, ge=1024, description="Largest file of items or users that admin accepts."
    )
    alias_poll_seconds: float = Field(2.0, gt=0, description="How often serving looks for a moved alias.")
    arms_memory_mb: int = Field(
        2_000, ge=1, description="Bundles of all arms that a replica loads at most, in MB."
    )
    item_refresh_seconds: float = Field(30.0, gt=0, description="How often serving reloads item features.")
    clock_at: float = Field(
        0.0,
        ge=0,
        description="Epoch seconds at which the clock of recommendations stands still; 0 is the present.",
    )
    readout_memory_mb: int = Field(
        3_000, ge=100, description="Memory that the readout of an experiment may take, in MB."
    )
    exposure_sample: float = Field(
        0.01, ge=0, le=1, description="Share of the answers whose exposures store every ranker input."
    )
    result_cache_seconds: float = Field(
        10.0,
        ge=0,
        description="How long serving reuses a ranking of the same request and profile; 0 is never.",
    )

    result_cache: str = Field(
        "memory", description="Where rankings are reused from: `memory` of each replica, or a Redis."
    )

    @field_validator("home", "mlruns")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        found = path.expanduser().resolve()
        if file := next(
            (each for each in (found, *found.parents) if each.exists() and not each.is_dir()), None
        ):
            raise ValueError(f"{file} is a file, and this names a folder")
        return found

    @field_validator("tls_ca")
    @classmethod
    def _known_authority(cls, file: str) -> str:
        if file and not Path(file).expanduser().is_file():
            raise ValueError("is no file")
        return str(Path(file).expanduser().resolve()) if file else ""

    @field_validator("privacy")
    @classmethod
    def _absolute_file(cls, path: str) -> str:
        return str(Path(path).expanduser().resolve()) if path else ""

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, listed: str) -> str:
        origins = [origin.strip() for origin in listed.split(",") if origin.strip()]
        for origin in origins:
            if origin != "*" and not is_origin(origin):
                raise ValueError(
                    f"{origin!r} is no origin: scheme://host or scheme://host:port in lower case, without a path"
                )
        return ",".join(origins)

    @field_validator("trigger_origins")
    @classmethod
    def _callable_origins(cls, listed: str) -> str:
        origins = [origin.strip().rstrip("/") for origin in listed.split(",") if origin.strip()]
        for origin in origins:
            if not is_origin(origin):
                raise ValueError(
                    f"{origin!r} is no origin: https://host or https://host:port in lower case, without a path"
                )
            if origin.startswith("http:") and not _is_loopback_origin(origin):
                raise ValueError(f"{origin!r} is not encrypted: http is for 127.0.0.1, [::1] and localhost")
        return ",".join(origins)

    @field_validator("storage")
    @classmethod
    def _known_storage(cls, address: str, info: ValidationInfo) -> str:
        if address and not address.startswith(STORAGE):
            raise ValueError(f"must be empty or begin with {STORAGE[0]}")
        if address and not info.data.get("plain_engines") and (plain := plain_storage()):
            raise ValueError(
                f"what is stored would go to {without_secret(plain[0])} as plain text: write https:// into AWS_ENDPOINT_URL "
                "(MLFLOW_S3_ENDPOINT_URL), or vouch for the network: TAILORBIRD_PLAIN_ENGINES=true"
            )
        return address.rstrip("/")

    @field_validator("ray_address")
    @classmethod
    def _encrypted_ray(cls, address: str, info: ValidationInfo) -> str:
        if not info.data.get("plain_engines") and is_plain_ray(address):
            raise ValueError(
                "what trials learn from would go there as plain text: give Ray certificates (RAY_USE_TLS=1), or vouch for "
                "the network: TAILORBIRD_PLAIN_ENGINES=true"
            )
        return address

    @field_validator("tracking_uri")
    @classmethod
    def _known_tracking(cls, address: str) -> str:
        known = ("sqlite:///", "http://", "https://", *POSTGRES)
        if address and not address.startswith(known):
            raise ValueError(f"must be empty or begin with one of {', '.join(known)}")
        return address

    @field_validator("studies", "catalog", "people")
    @classmethod
    def _known_database(cls, address: str) -> str:
        if address and not is_postgres(address):
            raise ValueError(f"must be empty or begin with {POSTGRES[0]}")
        return address

    @field_validator("tracking_uri", "studies", "catalog", "people", "events", "online", "result_cache")
    @classmethod
    def _encrypted(cls, address: str, info: ValidationInfo) -> str:
        return encrypted(address, ca=info.data.get("tls_ca", ""), plain=info.data.get("plain_engines", False))

    @cached_property
    def folder(self) -> Path:
        """The folder of this workspace."""
        return self.home / self.workspace

    @cached_property
    def workspace_key(self) -> str:
        """Tells this workspace from one of the same name elsewhere, without saying where it is."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Those of ``cors_origins``, each by itself."""
        return tuple(self.cors_origins.split(",")) if self.cors_origins else ()

    @property
    def callable_origins(self) -> tuple[str, ...]:
        """Those of ``trigger_origins``, each by itself."""
        return tuple(self.trigger_origins.split(",")) if self.trigger_origins else ()

    @property
    def keys_file(self) -> Path:
        """The API keys of this workspace."""
        return Path(self.keys).expanduser().resolve() if self.keys else self.folder / "keys.json"

    @property
    def archive_folder(self) -> Path | ObjectPath:
        """The archives of the streams: a Delta table each."""
        if self.storage:
            return ObjectPath(self.storage) / self.workspace / "archive"
        return self.folder / "archive"

    @property
    def catalog_folder(self) -> Path:
        """Items and users: ``items.parquet`` and ``users.parquet``."""
        return self.folder / "catalog"

    @property
    def quarantine_folder(self) -> Path:
        """Rejected rows with their reasons."""
        return self.folder / "quarantine"

    @property
    def feature_folder(self) -> Path:
        """Feast registry, online store and offline snapshots."""
        return self.folder / "features"

    @property
    def tracking(self) -> Literal["sqlite", "postgresql", "server"]:
        """Who keeps runs and versions: a database that we open ourselves, or an MLflow server."""
        if not self.tracking_uri or self.tracking_uri.startswith("sqlite:"):
            return "sqlite"
        return "postgresql" if is_postgres(self.tracking_uri) else "server"

    @property
    def mlflow_uri(self) -> str:
        """Tracking and registry address as MLflow wants it, absolute."""
        if self.tracking == "postgresql":
            return sqlalchemy_address(self.tracking_uri)
        return self.tracking_uri or f"sqlite:///{self.mlruns / 'mlflow.db'}"

    @property
    def artifact_root(self) -> str:
        """Address of MLflow's artifacts where no server keeps them."""
        return f"{self.storage}/mlflow" if self.storage else (self.mlruns / "artifacts").as_uri()

    @property
    def model_name(self) -> str:
        """Name of this workspace's registered model."""
        return f"tailorbird-{self.workspace}"

    @property
    def segments_name(self) -> str:
        """Name of this workspace's registered segment model; no workspace has a full stop in its name."""
        return f"{self.model_name}.segments"


def load_settings(**overrides: object) -> Settings:
    """Read the environment once; ``overrides`` win (None means: not given). Raises UsageError on a wrong value."""
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0]) if wrong["loc"] else "settings"
        raise UsageError(
            f"setting {name} = {_shown(wrong['input'])}: {wrong['msg'].removeprefix('Value error, ')}",
            remedy=f"correct the option, or TAILORBIRD_{name.upper()}",
        ) from error


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Those variables that mean a setting and are read by nobody, each with the setting's."""
    known = {f"TAILORBIRD_{name.upper()}" for name in Settings.model_fields}
    found = {}
    for name in names:
        if name.startswith("TAILORBIRD_") and name not in known | _OTHERS:
            for near in get_close_matches(name, known, n=1, cutoff=0.9):
                found[name] = near
    return found


def _shown(value: object) -> str:
    return repr(without_secret(value) if isinstance(value, str) else value)

"""Plain text stays on this machine: an engine elsewhere is reached encrypted and believed by its certificate, or not at all."""

from pathlib import Path

import pytest

from tailorbird.access.doors import plain_ways
from tailorbird.errors import UsageError
from tailorbird.plumbing.encryption import encrypted, is_plain
from tailorbird.plumbing.redis import RedisAddress
from tailorbird.settings import load_settings
from tailorbird.streams.kafka.address import KafkaAddress


@pytest.mark.parametrize(
    ("address", "becomes"),
    [
        ("sqlite", "sqlite"),
        ("memory", "memory"),
        ("kafka://127.0.0.1:9092,localhost/p?partitions=3", None),
        ("kafka://broker:9093/?tls=on", "kafka://broker:9093/?tls=on&ca=/ca.pem"),
        ("kafka://broker:9093/?ca=/own.pem", None),
        ("kafka://broker/?security.protocol=SSL", "kafka://broker/?security.protocol=SSL&ca=/ca.pem"),
        ("redis://[::1]:6379/0", None),
        ("rediss://cache:6380/0", "rediss://cache:6380/0?ca=/ca.pem"),
        ("rediss://ann:p%40ss@cache/0?ca=/own.pem", None),
        ("postgresql://me:secret@127.0.0.1/db", None),
        ("postgresql:///db?host=/var/run/postgresql", None),
        ("postgresql://%2Fvar%2Frun/db", None),
        ("postgresql://db/shop", "postgresql://db/shop?sslmode=verify-full&sslrootcert=/ca.pem"),
        ("postgresql://db/shop?sslmode=verify-full&sslrootcert=/own.pem", None),
        ("https://mlflow.internal", None),
        ("http://localhost:5000", None),
    ],
)
def test_an_address_is_given_the_authority_it_does_not_name(address: str, becomes: str | None) -> None:
    assert encrypted(address, ca="/ca.pem") == (becomes or address)
    assert encrypted(encrypted(address, ca="/ca.pem"), ca="/ca.pem") == (becomes or address)
    assert not is_plain(address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("kafka://broker:9092", "add tls=on"),
        ("kafka://127.0.0.1,broker:9092", "add tls=on"),
        ("kafka://broker/?tls=off", "add tls=on"),
        ("kafka://broker/?tls=on&security.protocol=plaintext", "add tls=on"),
        ("kafka://broker/?tls=on&enable.ssl.certificate.verification=false", "believes whoever answers"),
        ("kafka://broker/?tls=on&ssl.endpoint.identification.algorithm=none", "believes whoever answers"),
        ("kafka://broker/?tls=on&enable.ssl.certificate.verification=0", "believes whoever answers"),
        ("kafka://broker/?tls=on&enable.ssl.certificate.verification=F", "believes whoever answers"),
        ("redis://cache:6379/0", "write rediss://"),
        ("redis://me:secret@cache:6379/0", "write rediss://"),
        ("postgresql://me:secret@db/shop?sslmode=require", "verify-full"),
        ("postgresql://127.0.0.1,db/shop?sslmode=disable", "verify-full"),
        ("postgresql://127.0.0.1/shop?host=db&sslmode=prefer", "verify-full"),
        ("postgresql://me:secret[@db/shop", "%5B"),
        ("postgresql://me:]secret@db/shop", "%5B"),
        ("postgresql:///shop?service=db&sslmode=require", "verify-full"),
        ("http://mlflow.internal:5000", "write https://"),
    ],
)
def test_what_could_be_read_on_its_way_is_refused_unless_somebody_vouches(address: str, said: str) -> None:
    assert is_plain(address)
    name = "events" if address.startswith("kafka") else "tracking_uri"
    name = "online" if address.startswith("redis") else name
    with pytest.raises(UsageError, match=said) as refused:
        load_settings(**{name: address})
    assert "TAILORBIRD_PLAIN_ENGINES=true" in str(refused.value)
    assert "secret" not in str(refused.value)
    forced = load_settings(plain_engines=True, **{name: address})
    assert getattr(forced, name) == address
    [way] = plain_ways(forced)
    assert way.startswith(name)
    assert "secret" not in way


def test_no_way_of_writing_an_address_leads_around_it() -> None:
    for name, address in (
        ("online", "REDIS://cache/0"),
        ("result_cache", "Redis://cache/0"),
        ("events", "KAFKA://b/"),
    ):
        with pytest.raises(UsageError, match="plain text"):
            load_settings(**{name: address})
    assert encrypted("postgresql:///shop?service=db").endswith("sslmode=verify-full&sslrootcert=system")
    with pytest.raises(UsageError, match="cannot be chosen"):
        KafkaAddress.parse("kafka://localhost/?metadata.broker.list=broker:9092")


def test_without_an_authority_of_its_own_the_machines_authorities_judge() -> None:
    assert encrypted("postgresql://db/shop") == "postgresql://db/shop?sslmode=verify-full&sslrootcert=system"
    assert encrypted("rediss://cache/0") == "rediss://cache/0"


def test_the_clients_of_engines_are_given_the_authority_of_the_settings(tmp_path: Path) -> None:
    ca = tmp_path / "our authority.pem"
    ca.touch()
    chosen = load_settings(tls_ca=str(ca), events="kafka://broker:9093/?tls=on", online="rediss://cache/0")
    assert KafkaAddress.parse(chosen.events).client["ssl.ca.location"] == str(ca)
    assert RedisAddress.parse(chosen.online, setting="online").ca == str(ca)
    with pytest.raises(UsageError, match="is no file"):
        load_settings(tls_ca=str(tmp_path / "none.pem"))


@pytest.mark.parametrize(
    ("variables", "address", "elsewhere"),
    [
        ({}, "postgresql:///shop", False),
        ({"PGHOST": "/var/run/postgresql"}, "postgresql:///shop", False),
        ({"PGHOST": "db"}, "postgresql:///shop", True),
        ({"PGHOST": "db"}, "postgresql://localhost/shop", False),
        ({"PGHOST": "localhost", "PGHOSTADDR": "10.0.0.5"}, "postgresql:///shop", True),
        ({"PGHOSTADDR": "10.0.0.5"}, "postgresql://localhost/shop", True),
        ({"PGHOSTADDR": "10.0.0.5"}, "postgresql://db/shop?hostaddr=127.0.0.1", False),
        ({"PGSERVICE": "shop"}, "postgresql:///shop", True),
    ],
)
def test_where_an_address_names_no_host_the_variables_of_its_library_do(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str, elsewhere: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("sslmode=verify-full" in encrypted(address)) == elsewhere
    assert is_plain(f"{address}{'&' if '?' in address else '?'}sslmode=require") == elsewhere


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"])
def test_object_storage_beyond_this_machine_is_spoken_to_encrypted(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for good in ("https://minio:9000", "http://127.0.0.1:9000"):
        monkeypatch.setenv(name, good)
        assert load_settings(storage="s3://shop/a").storage
    for bad in ("minio:9000", "HTTP://minio:9000"):
        monkeypatch.setenv(name, bad)
        assert load_settings().storage == ""
        with pytest.raises(UsageError, match=r"minio:9000 as plain text.*PLAIN_ENGINES"):
            load_settings(storage="s3://shop/a")
    [way] = plain_ways(load_settings(storage="s3://shop/a", plain_engines=True))
    assert "minio" in way


def test_the_cluster_that_rays_own_variable_names_is_asked_where_auto_joins_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.11:6379")
    for here in ("", "local", "127.0.0.1:6379"):
        assert load_settings(ray_address=here).ray_address == here
    with pytest.raises(UsageError, match="RAY_USE_TLS"):
        load_settings(ray_address="auto")
    for here in ("127.0.0.1:6379", "local", "auto"):
        monkeypatch.setenv("RAY_ADDRESS", here)
        assert load_settings(ray_address="auto").ray_address == "auto"


@pytest.mark.parametrize("address", ["ray://head:10001", "10.0.0.11:6379"])
def test_a_ray_cluster_beyond_this_machine_speaks_tls(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for here in ("", "auto", "local", "127.0.0.1:6379", "ray://localhost:10001"):
        assert load_settings(ray_address=here).ray_address == here
    with pytest.raises(UsageError, match="RAY_USE_TLS"):
        load_settings(ray_address=address)
    [way] = plain_ways(load_settings(ray_address=address, plain_engines=True))
    assert way.startswith("ray_address")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert plain_ways(load_settings(ray_address=address)) == []

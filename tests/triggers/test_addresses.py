import pytest

from tailorbird.errors import UsageError
from tailorbird.settings import load_settings
from tailorbird.triggers.addresses import Allowed, Origin

LISTED = ("https://crm.example.com", "https://10.0.0.5:8443", "http://localhost:9000", "https://[fd00::7]")
ALLOWED = Allowed.of(LISTED)
CRM = Origin.of("https://crm.example.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example.com/hooks?a=b",
        "https://CRM.example.com:443",
        "https://10.0.0.5:8443/x",
        "http://localhost:9000/hooks",
        "https://[fd00::7]/",
    ],
)
def test_a_listed_origin_may_be_called_at_any_path(url: str) -> None:
    assert ALLOWED.refusal(url) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://crm.example.com:8443/", "is not among TAILORBIRD_TRIGGER_ORIGINS"),
        ("https://crm.example.com.evil.example/", "is not among"),
        ("https://example.com/", "is not among"),
        ("https://10.0.0.5/", "is not among"),
        ("http://localhost:9001/", "is not among"),
        ("http://crm.example.com/", "is not encrypted"),
        ("http://10.0.0.5:8443/", "is not encrypted"),
        ("ftp://crm.example.com/", "is no address"),
        ("https:///hooks", "is no address"),
        ("https://crm.example.com:99999/", "is no address"),
        ("https://crm.example.com@evil.example/", "holds a user"),
        ("https://crm.example.com/a b", "is no address"),
    ],
)
def test_everything_else_is_refused(url: str, said: str) -> None:
    assert said in ALLOWED.refusal(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.6",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # what clouds tell a machine of itself, its keys included
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "224.0.1.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::8",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.6",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_a_name_does_not_lead_into_the_inner_network(address: str) -> None:
    assert ALLOWED.reachable(CRM, [address, "93.184.215.14"]) == ["93.184.215.14"]


def test_what_the_list_names_as_a_host_is_reached_by_any_name() -> None:
    inner = ["10.0.0.5", "fd00::7", "::ffff:10.0.0.5", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    assert ALLOWED.reachable(CRM, inner) == inner


def test_localhost_is_this_machine_and_nothing_else() -> None:
    local = Origin.of("http://localhost:9000")
    assert ALLOWED.reachable(local, ["127.0.0.1", "::1", "10.0.0.6", "93.184.215.14"]) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "listed", ["http://crm.example.com", "https://crm.example.com/hooks", "http://10.0.0.5", "crm"]
)
def test_a_list_with_what_may_never_be_called_is_refused(listed: str) -> None:
    with pytest.raises(UsageError, match="trigger_origins"):
        load_settings(trigger_origins=f"https://fine.example, {listed}")


def test_the_list_is_read_one_by_one() -> None:
    settings = load_settings(trigger_origins=" https://a.example/ ,http://127.0.0.1:9000,http://[::1]:80")
    assert settings.callable_origins == ("https://a.example", "http://127.0.0.1:9000", "http://[::1]:80")
    assert load_settings().callable_origins == ()

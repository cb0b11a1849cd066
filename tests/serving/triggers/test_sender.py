"""One call: to the address that was looked at, with the certificate of the name, and never through anybody else."""

import threading
from pathlib import Path

import pytest

from serving.triggers.sender import Outcome, Sender
from tailorbird.triggers.addresses import Allowed
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.trigger import Target
from tests.certificates import Authority
from tests.segments.moves import MOVED
from tests.serving.triggers.subscriber import SECRET, Subscriber

DELIVERY = Delivery.of(MOVED, target="crm", now=1.0)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SECRET", SECRET)


def sent(url: str, *listed: str, seconds: float = 5.0) -> Outcome:
    target = Target("crm", url, "CRM_SECRET", timeout_seconds=seconds)
    sender = Sender(target, Allowed.of(listed or [url]))
    try:
        return sender.send(DELIVERY)
    finally:
        sender.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority.make(tmp_path, "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_the_certificate_must_be_that_of_the_name(authority: Authority, tmp_path: Path) -> None:
    right = Subscriber(cert=authority.sign(tmp_path, host="localhost"))
    wrong = Subscriber(cert=authority.sign(tmp_path, host="other.example"))
    assert sent(right.origin("localhost")) == Outcome(status=200)
    assert right.calls[0].headers["host"] == f"localhost:{right.port}"
    assert right.calls[0].signed()
    refused = sent(wrong.origin("localhost"))
    assert "certificate" in refused.reason
    assert wrong.calls == []
    right.close()
    wrong.close()


def test_a_certificate_of_nobody_we_trust_is_refused(tmp_path: Path) -> None:
    stranger = Authority.make(tmp_path, "stranger")
    opened = Subscriber(cert=stranger.sign(tmp_path, host="localhost"))
    assert "certificate" in sent(opened.origin("localhost")).reason
    opened.close()


def test_a_name_that_leads_into_the_inner_network_is_refused(authority: Authority, tmp_path: Path) -> None:
    # 127.1 is a name to us and this machine to whoever looks it up, as a name in somebody's DNS may be.
    opened = Subscriber(cert=authority.sign(tmp_path, host="127.0.0.1"))
    name = opened.origin("127.1")
    assert sent(name).reason == "refused: 127.1 leads into an inner network, and its address is not listed"
    assert opened.calls == []
    named = sent(name, name, "https://127.0.0.1:9")
    assert "certificate" in named.reason  # it came as far as the certificate, which has no such name
    opened.close()


def test_what_does_not_answer_in_time_or_at_all_is_said(subscriber: Subscriber) -> None:
    release = threading.Event()
    subscriber.answer = lambda call: (200, {}) if release.wait(10) else (500, {})
    assert sent(subscriber.origin(), seconds=0.2).reason == "no answer within 0.2 s"
    release.set()
    gone = Subscriber()
    gone.close()
    assert "refused" in sent(gone.origin()).reason.lower()
    assert "no address of no-such-host.invalid" in sent("https://no-such-host.invalid").reason


def test_no_proxy_of_the_environment_is_asked(
    subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Subscriber()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.origin())
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert sent(subscriber.origin()) == Outcome(status=200)
    assert proxy.calls == []
    proxy.close()


def test_nothing_leaves_unsigned(subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRM_SECRET")
    assert sent(subscriber.origin()).reason == "the secret CRM_SECRET is not set"
    assert subscriber.calls == []

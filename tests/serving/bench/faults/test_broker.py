"""The bench that kills brokers: it starts them where the settings say, and knows when callers are well again."""

import shlex
import socket

import pytest

from serving.bench.faults.broker import BrokerProcess, _normal_after, _otherwise
from serving.bench.harness.callers import Call
from tailorbird.errors import TailorbirdError, UsageError
from tests.streams.brokers import Broker, tansu


def test_a_broker_runs_while_the_block_does_and_may_be_killed_and_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker()
    monkeypatch.setenv("TAILORBIRD_EVENTS", broker.url())
    address = f"tcp://127.0.0.1:{broker.port}"
    options = f"--listener-url={address} --advertised-listener-url={address} --storage-engine=memory://tansu/"
    with BrokerProcess(f"{shlex.quote(str(tansu()))} broker {options}") as process:
        socket.create_connection(("127.0.0.1", broker.port)).close()
        process.kill()
        process.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port))


def test_a_command_that_runs_no_broker_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_EVENTS", Broker().url())
    with pytest.raises(TailorbirdError, match="nothing listens"), BrokerProcess("true"):
        pass
    monkeypatch.setenv("TAILORBIRD_EVENTS", "sqlite")
    with pytest.raises(UsageError, match="kafka://"), BrokerProcess("true"):
        pass


def test_callers_are_well_again_when_each_got_what_it_asked_for() -> None:
    calls = [Call(0, 1, 2, 202), Call(1, 1, 2, 202), Call(0, 4, 5, 503), Call(0, 5, 6, 202)]
    assert _normal_after(3, calls) == float("inf")
    assert _normal_after(3, [*calls, Call(1, 4, 7.5, 202)]) == 4.5


def test_an_answer_that_is_neither_taken_nor_refused_until_later_is_counted_by_its_status() -> None:
    calls = [Call(0, 1, 2, 202), Call(0, 1, 2, 503, later=True), Call(0, 1, 2, 503), Call(0, 1, 2, 0)]
    assert _otherwise(calls) == {503: 1, 0: 1}

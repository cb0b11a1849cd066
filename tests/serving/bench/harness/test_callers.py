"""What callers noticed is added up as they noticed it."""

import asyncio
import http.server
import threading

import orjson
import pytest

from serving.bench.faults.tally import Tally
from serving.bench.harness.callers import Ask, Call, Callers, Line, longest_gap


@pytest.mark.parametrize(
    ("calls", "gap"),
    [
        ([], 0.0),
        ([Call(0, 0.0, 1.0, 200), Call(0, 1.0, 1.5, 200)], 1.0),
        ([Call(0, 0.0, 0.1, 200), Call(0, 0.1, 0.2, 0), Call(0, 2.0, 2.5, 202)], 2.4),
        (
            [Call(0, 0.0, 0.1, 200), Call(1, 0.0, 0.1, 200), Call(0, 0.1, 0.2, 200), Call(1, 0.1, 3.1, 200)],
            3.0,
        ),
        ([Call(0, 0.0, 0.1, 200), Call(0, 0.1, 5.1, 500)], 5.0),
    ],
)
def test_the_longest_gap_is_that_of_one_caller_without_a_good_answer(calls, gap):
    assert longest_gap(calls) == pytest.approx(gap)


def test_a_batch_is_sent_again_until_it_is_acknowledged():
    tally = Tally("t")
    first = tally.ask(0)
    first.answered(0, b"")
    again = tally.ask(0)
    assert orjson.loads(again.body) == orjson.loads(first.body)
    again.answered(202, b"{}")
    assert len(tally.acknowledged) == len(set(tally.acknowledged)) == 5
    assert orjson.loads(tally.ask(0).body) != orjson.loads(first.body)


def test_callers_go_on_after_a_broken_connection_and_a_refused_one():
    class Moody(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            served.append(self.path)
            if len(served) == 2:
                self.close_connection = True
                return
            self.send_response(503 if len(served) == 3 else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments):
            pass

    served: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    left = iter(range(5))
    callers = Callers(
        f"http://127.0.0.1:{server.server_address[1]}",
        count=1,
        ask=lambda caller: Ask("/x", b"{}") if next(left, None) is not None else None,
    )
    assert [call.status for call in callers.run()] == [200, 0, 503, 200, 200]
    server.shutdown()
    server.server_close()


def test_a_connection_that_the_other_side_closed_meanwhile_is_opened_anew() -> None:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()  # without a word of it in the answer, as a server does with a connection that idled

    async def twice() -> list[int]:
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        line = Line("127.0.0.1", server.sockets[0].getsockname()[1])
        statuses = []
        for _ in range(2):
            statuses.append((await line.send("/x"))[0])
            while not line.left:
                await asyncio.sleep(0.01)
        line.close()
        server.close()
        await server.wait_closed()
        return statuses

    assert asyncio.run(twice()) == [200, 200]

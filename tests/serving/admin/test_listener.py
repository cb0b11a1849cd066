"""The admin port: what a program finds there that tells of items now and then."""

import http.client
import time

from serving.admin.listener import Listener, free_port

UVICORNS_OWN_SECONDS = 5


async def _greets(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def test_a_connection_that_idles_for_seconds_is_still_good() -> None:
    port = free_port(0)
    listener = Listener(_greets, port=port)
    listener.wait()
    caller = http.client.HTTPConnection("127.0.0.1", port)
    caller.connect()
    kept = caller.sock
    for pause in (UVICORNS_OWN_SECONDS + 1, 0):
        caller.request("PUT", "/v1/items", body=b"{}")
        assert caller.getresponse().read() == b"{}"
        time.sleep(pause)
    assert caller.sock is kept
    caller.close()
    listener.close()

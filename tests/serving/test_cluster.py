"""A port that is taken is named before anything starts."""

import socket

import pytest

from serving.cluster import require_free_port
from tailorbird.errors import UsageError


def test_a_taken_port_is_refused_before_anything_starts():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)

"""The proxy and its keeper, on real sockets with the real HAProxy."""

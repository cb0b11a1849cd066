"""Keeps a replica's ports on this machine."""


def keep_on_this_machine() -> None:
    """Have the gRPC server of this Ray Serve replica listen on the loopback interface only; call it in the constructor.

    Ray 2.60 opens it on every interface and has no setting for that; it is opened after the constructor has run.
    """
    from ray.serve._private import replica

    listen = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: listen(
        server, address.replace("[::]:", "127.0.0.1:")
    )

"""Ray's own template, filled by Ray, tells which replicas there are."""

from pathlib import Path

import pytest

from serving.proxy.replicas import Application, Replica, applications

pytest.importorskip("ray.serve")


def rays_configuration(folder: Path, replicas: dict[tuple[str, str], list[int]]) -> str:
    """What Ray 2.60 writes for ``{(app, prefix): ports}``."""
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions

    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=9),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "server-state"),
    )
    backends = {
        f"http-{app}": BackendConfig(
            name=f"http-{app}",
            path_prefix=prefix,
            app_name=app,
            servers=[
                ServerConfig(name=f"SERVE_REPLICA__{app}-{port}", host="127.0.0.1", port=port)
                for port in ports
            ],
            fallback_server=ServerConfig(name="SERVE_PROXY_ACTOR-1", host="127.0.0.1", port=8500),
        )
        for (app, prefix), ports in replicas.items()
    }
    api = HAProxyApi(config, config_file_path=str(folder / "haproxy.cfg"))
    api.set_backend_configs(backends)
    api._generate_config_file_internal()
    return (folder / "haproxy.cfg").read_text()


def test_every_application_is_found_with_its_replicas_and_no_stand_in(tmp_path):
    text = rays_configuration(
        tmp_path, {("recommend", "/"): [30000, 30001], ("collect", "/v1/events"): [30002]}
    )
    assert applications(text) == (
        Application(
            "http-collect",
            "/v1/events",
            "/-/healthz",
            (Replica("SERVE_REPLICA__collect-30002", "127.0.0.1", 30002),),
        ),
        Application(
            "http-recommend",
            "/",
            "/-/healthz",
            tuple(Replica(f"SERVE_REPLICA__recommend-{n}", "127.0.0.1", n) for n in (30000, 30001)),
        ),
    )


def test_a_configuration_without_replicas_names_none(tmp_path):
    assert applications("") == ()
    assert applications(rays_configuration(tmp_path, {("recommend", "/"): []})) == ()

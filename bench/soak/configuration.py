"""What ours and Envoy run: HTTP listeners and TCP proxies before one origin; the access log names the connections."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kit.bootstrap import Fields, http_listener, route, socket_address, static_cluster, virtual_host

VERSION = "/version"
"""What is at this path says which version of the configuration is in force."""
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_TCP_PROXY = f"{_EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy"
_FILE_LOG = f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
_FORMAT = (
    "%DOWNSTREAM_REMOTE_PORT% %START_TIME% %CONNECTION_ID% %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%RESPONSE_CODE_DETAILS% %DURATION%ms\n"
)


def tree(origin: int, ports: Mapping[str, int], log: str, *, version: int = 0) -> Fields:
    """`ports` by place (`web…` or `tcp…`); `log` is the access log. `version` is what `VERSION` answers."""
    logs = [
        {
            "name": "file",
            "typed_config": {
                "@type": _FILE_LOG,
                "path": log,
                "log_format": {"text_format_source": {"inline_string": _FORMAT}},
            },
        }
    ]
    listeners = [
        _listener(name, port, _http(name, logs, version) if name.startswith("web") else _tcp(name, logs))
        for name, port in ports.items()
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [static_cluster("origin", origin)]}}


def _listener(name: str, port: int, chains: list[Fields]) -> Fields:
    # Without a prefix, listeners on port 0 of one address would share their stats.
    address = socket_address("127.0.0.1", port)
    return {"name": name, "stat_prefix": name, "address": address, "filter_chains": chains}


def _http(name: str, logs: list[Fields], version: int) -> list[Fields]:
    answer = {"status": 200, "body": {"inline_string": str(version)}}
    routes = ({"match": {"path": VERSION}, "direct_response": answer}, route("/", "origin"))
    # Most versions differ in their routes alone; every third one in what a listener's open connections cannot take on.
    further = {"delayed_close_timeout": "1s", "stream_idle_timeout": f"{300 + version // 3}s"}
    upgrades = [{"upgrade_type": "websocket"}]
    host = virtual_host("all", ["*"], *routes)
    listener = http_listener(host, name=name, access_log=logs, upgrade_configs=upgrades, **further)
    chains: list[Fields] = listener["filter_chains"]
    return chains


def _tcp(name: str, logs: list[Fields]) -> list[Fields]:
    proxy = {"@type": _TCP_PROXY, "stat_prefix": name, "cluster": "origin", "access_log": logs}
    return [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}]

"""Config dumps from a bootstrap's JSON, and what is blanked in them."""

from __future__ import annotations

import base64
import json
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2

from master.admin.config_dump import REDACTED, dumps, redact

TLS = f"type.googleapis.com/{tls_pb2.DownstreamTlsContext.DESCRIPTOR.full_name}"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
SECRET = "-----BEGIN PRIVATE KEY-----"


def _listener(name: str, routes: str) -> dict[str, Any]:
    manager = {"@type": MANAGER, "route_config": {"name": routes}}
    return {"name": name, "filter_chains": [{"filters": [{"typed_config": manager}]}]}


BOOTSTRAP: dict[str, Any] = {
    "static_resources": {
        "clusters": [{"name": "a"}, {"name": "b"}],
        "listeners": [_listener("one", "r1"), _listener("two", "r2")],
    }
}


def test_every_resource_is_in_its_dump() -> None:
    found = dumps(BOOTSTRAP, "2026-01-01T00:00:00.000Z", lambda name: True)
    kinds = [dump["@type"].rpartition(".")[2] for dump in found]
    assert kinds == [
        "BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "ScopedRoutesConfigDump",
        "RoutesConfigDump", "SecretsConfigDump",
    ]  # fmt: skip
    assert [entry["cluster"]["name"] for entry in found[1]["static_clusters"]] == ["a", "b"]
    assert [entry["listener"]["name"] for entry in found[2]["static_listeners"]] == ["one", "two"]
    assert [entry["route_config"]["name"] for entry in found[4]["static_route_configs"]] == ["r1", "r2"]


def test_names_are_filtered_everywhere_but_in_the_bootstrap() -> None:
    found = dumps(BOOTSTRAP, "", lambda name: name in ("b", "r1"))
    assert found[0]["bootstrap"] == BOOTSTRAP
    assert [entry["cluster"]["name"] for entry in found[1]["static_clusters"]] == ["b"]
    assert "static_listeners" not in found[2]
    assert [entry["route_config"]["name"] for entry in found[4]["static_route_configs"]] == ["r1"]


def test_private_keys_are_blanked_wherever_they_stand() -> None:
    tls = {
        "@type": TLS,
        "common_tls_context": {
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": "public"},
                    "private_key": {"inline_string": SECRET},
                    "password": {"inline_bytes": base64.b64encode(SECRET.encode()).decode()},
                }
            ]
        },
    }
    source = {
        "static_resources": {
            "listeners": [{"filter_chains": [{"transport_socket": {"name": "tls", "typed_config": tls}}]}],
            "secrets": [{"name": "s", "tls_certificate": {"private_key": {"inline_string": SECRET}}}],
        }
    }
    shown = redact(source, bootstrap_pb2.Bootstrap.DESCRIPTOR)
    text = json.dumps(shown)
    assert SECRET not in text
    assert base64.b64encode(SECRET.encode()).decode() not in text
    assert text.count(REDACTED) == 2
    assert base64.b64encode(REDACTED.encode()).decode() in text
    assert '"public"' in text
    assert TLS in text


def test_what_no_descriptor_knows_is_blanked_whole() -> None:
    source = {"static_resources": {"listeners": [{"name": "n", "api_listener": {"api_listener": {
        "@type": "type.googleapis.com/no.such.Message", "key": SECRET, "deep": [{"key": SECRET}]}}}]}}  # fmt: skip
    shown = json.dumps(redact(source, bootstrap_pb2.Bootstrap.DESCRIPTOR))
    assert SECRET not in shown
    assert '"n"' in shown


def test_a_typed_struct_is_what_its_type_url_says() -> None:
    def of(url: str) -> str:
        packed = {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": url,
            "value": {"common_tls_context": {"tls_certificates": [
                {"private_key": {"inline_string": SECRET}, "certificate_chain": {"inline_string": "public"}}]}},
        }  # fmt: skip
        socket = {"name": "tls", "typed_config": packed}
        return json.dumps(redact({"static_resources": {"clusters": [{"transport_socket": socket}]}},
                                 bootstrap_pb2.Bootstrap.DESCRIPTOR))  # fmt: skip

    assert SECRET not in of(TLS)
    assert "public" in of(TLS)
    assert SECRET not in of("type.googleapis.com/no.such.Message")
    assert SECRET not in of("")


def test_a_type_that_nobody_imported_yet_is_found() -> None:
    log = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}
    source = {"admin": {"access_log": [{"name": "file", "typed_config": log}]}}
    assert redact(source, bootstrap_pb2.Bootstrap.DESCRIPTOR) == source


def test_maps_and_structs_stay_readable() -> None:
    source = {"node": {"id": "x", "metadata": {"a": {"b": "c"}}, "dynamic_parameters": {"t": {"params": {"k": "v"}}}}}
    assert redact(source, bootstrap_pb2.Bootstrap.DESCRIPTOR) == source

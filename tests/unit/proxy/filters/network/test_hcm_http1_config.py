"""Compilation of `http_protocol_options`, of the connection manager and of clusters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.config.common import StringMatcher
from proxy.config.http1 import HeaderCase, UpstreamHttp1Options
from tests.kit.config import bootstrap, compiled, findings, manager

HTTP1 = "envoy.config.core.v3.Http1ProtocolOptions"
PRESERVE = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def preserving(**fields: Any) -> dict[str, Any]:
    config = {"@type": f"type.googleapis.com/{PRESERVE}", **fields}
    return {"header_key_format": {"stateful_formatter": {"name": "p", "typed_config": config}}}


def of_listener(options: dict[str, Any]) -> str:
    return bootstrap(hcm=f"http_protocol_options: {json.dumps(options)}")


def of_cluster(options: dict[str, Any], **common: Any) -> str:
    message = {"@type": f"type.googleapis.com/{OPTIONS}", "explicit_http_config": {"http_protocol_options": options}}
    message["common_http_protocol_options"] = common
    cluster = {"name": "origin", "typed_extension_protocol_options": {OPTIONS: message}}
    return bootstrap(clusters=f"- {json.dumps(cluster)}")


@pytest.mark.field(f"{HTTP1}.header_key_format", f"{HTTP1}.HeaderKeyFormat.proper_case_words")
def test_proper_case() -> None:
    options = {"header_key_format": {"proper_case_words": {}}}
    assert manager(of_listener(options)).http1.header_case == HeaderCase(proper=True)
    assert compiled(of_cluster(options)).clusters[0].http1.header_case == HeaderCase(proper=True)


@pytest.mark.field(
    f"{HTTP1}.HeaderKeyFormat.stateful_formatter",
    f"{PRESERVE}.forward_reason_phrase",
    f"{PRESERVE}.formatter_type_on_envoy_headers",
)
def test_preserved_case() -> None:
    all_of_it = HeaderCase(preserves=True, proper=True, forwards_reason=True)
    options = preserving(forward_reason_phrase=True, formatter_type_on_envoy_headers="PROPER_CASE")
    assert manager(of_listener(options)).http1.header_case == all_of_it
    assert compiled(of_cluster(options)).clusters[0].http1.header_case == all_of_it


def test_preserving_alone() -> None:
    assert manager(of_listener(preserving())).http1.header_case == HeaderCase(preserves=True)
    other = json.loads(json.dumps(preserving()).replace(PRESERVE, "google.protobuf.Struct"))
    (fault,) = findings(of_listener(other))
    assert "no header formatter has the type google.protobuf.Struct" in fault.message


@pytest.mark.field(f"{HTTP1}.enable_trailers")
def test_trailers() -> None:
    assert manager(of_listener({"enable_trailers": True})).http1.enable_trailers
    assert compiled(of_cluster({"enable_trailers": True})).clusters[0].http1.enable_trailers
    assert compiled(of_cluster({})).clusters[0].http1 == UpstreamHttp1Options()


@pytest.mark.field(f"{HTTP1}.ignore_http_11_upgrade")
def test_ignored_upgrades() -> None:
    matchers = [{"exact": "foo"}, {"prefix": "b", "ignore_case": True}]
    assert manager(of_listener({"ignore_http_11_upgrade": matchers})).http1.ignored_upgrades == (
        StringMatcher("exact", "foo"),
        StringMatcher("prefix", "b", ignore_case=True),
    )


@pytest.mark.field(f"{HTTP1}.send_fully_qualified_url")
def test_whole_targets_are_an_upstream_s() -> None:
    options = {"send_fully_qualified_url": True}
    assert compiled(of_cluster(options)).clusters[0].http1.send_fully_qualified_url
    (fault,) = findings(of_listener(options))
    assert fault.field_path.endswith("http_protocol_options.send_fully_qualified_url")


@pytest.mark.field("envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb")
def test_sizes_of_responses_heads() -> None:
    assert compiled(of_cluster({}, max_response_headers_kb=96)).clusters[0].max_response_headers_kb == 96
    assert compiled(of_cluster({})).clusters[0].max_response_headers_kb == 60
    (fault,) = findings(bootstrap(hcm="common_http_protocol_options: {max_response_headers_kb: 1}"))
    assert fault.field_path.endswith("common_http_protocol_options.max_response_headers_kb")


@pytest.mark.parametrize(
    "options",
    [
        {"accept_http_10": True},
        {"default_host_for_http_10": "a"},
        {"allow_absolute_url": False},
        {"allow_custom_methods": True},
        {"ignore_http_11_upgrade": [{"exact": "a"}]},
    ],
)
def test_options_of_servers_are_no_upstream_s(options: dict[str, Any]) -> None:
    (fault,) = findings(of_cluster(options))
    assert fault.message == "it says what clients may do"


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("allow_chunked_length", "smuggl"),
        ("override_stream_error_on_invalid_http_message", "closes its connection"),
        ("use_balsa_parser", "one parser"),
    ],
)
def test_what_would_loosen_framing_is_refused_with_the_reason(field: str, reason: str) -> None:
    (fault,) = findings(of_listener({field: True}))
    assert fault.kind == "unsupported"
    assert reason in fault.message

"""Configuration of the HTTP connection manager."""

from __future__ import annotations

import pytest

from tests.kit.config import bootstrap, findings, manager

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


@pytest.mark.field(f"{HCM}.stat_prefix", f"{HCM}.route_config")
def test_what_every_connection_manager_has() -> None:
    found = manager(bootstrap())
    assert found.stat_prefix == "in"
    assert found.route_config.name == "local"


def test_envoys_defaults() -> None:
    found = manager(bootstrap())
    assert (found.codec_type, found.server.name) == ("AUTO", "envoy")
    assert (found.max_request_headers_kb, found.max_headers_count) == (60, 100)
    assert (found.idle_timeout, found.stream_idle_timeout) == (3600.0, 300.0)
    assert (found.request_timeout, found.request_headers_timeout) == (0.0, 0.0)
    assert found.delayed_close_timeout == 1.0


@pytest.mark.field(f"{HCM}.codec_type=HTTP1", f"{HCM}.server_name", f"{HCM}.max_request_headers_kb")
def test_codec_name_and_limit() -> None:
    found = manager(bootstrap(hcm="codec_type: HTTP1\nserver_name: me\nmax_request_headers_kb: 96"))
    assert (found.codec_type, found.server.name, found.max_request_headers_kb) == ("HTTP1", "me", 96)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.field(f"{HCM}.{name}"))
        for name in (
            "stream_idle_timeout",
            "request_timeout",
            "request_headers_timeout",
            "delayed_close_timeout",
        )
    ],
)
def test_timeouts(name: str) -> None:
    assert getattr(manager(bootstrap(hcm=f"{name}: 2.5s")), name) == 2.5
    (fault,) = findings(bootstrap(hcm=f"{name}: -1s"))
    assert fault.field_path.endswith(f"typed_config.{name}")


def test_0_seconds_mean_no_timeout() -> None:
    assert manager(bootstrap(hcm="stream_idle_timeout: 0s")).stream_idle_timeout == 0.0


@pytest.mark.field(
    f"{HCM}.common_http_protocol_options",
    "envoy.config.core.v3.HttpProtocolOptions.idle_timeout",
    "envoy.config.core.v3.HttpProtocolOptions.max_headers_count",
)
def test_common_options() -> None:
    found = manager(bootstrap(hcm="common_http_protocol_options: {idle_timeout: 0s, max_headers_count: 20}"))
    assert (found.idle_timeout, found.max_headers_count) == (0.0, 20)
    (fault,) = findings(bootstrap(hcm="common_http_protocol_options: {idle_timeout: -1s}"))
    assert fault.field_path.endswith("typed_config.common_http_protocol_options.idle_timeout")

"""`proxy-status` (RFC 9209); what the real Envoy says of each failure is in `tests/parity/test_proxy_status.py`."""

from __future__ import annotations

import pytest

from proxy.config.proxy_status import ProxyStatus
from proxy.errors import Flag
from proxy.http.headers import Headers
from proxy.http.proxy_status import NAME, tell
from proxy.http.stream_info import StreamInfo
from tests.kit.config import bootstrap, findings, manager

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
STATUS = f"{HCM}.ProxyStatusConfig"


def told(config: ProxyStatus, *flags: Flag, detail: str = "why", theirs: bytes = b"") -> tuple[bytes | None, int]:
    info = StreamInfo(0.0)
    info.detail = detail
    for flag in flags:
        info.flags.add(flag)
    headers = Headers([(NAME, theirs)] if theirs else [])
    status = tell(config, info, headers, 200)
    return headers.get(NAME), status


def test_the_error_that_counts_is_not_the_first_that_was_noted() -> None:
    flags = Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED, Flag.UPSTREAM_CONNECTION_FAILURE
    assert told(ProxyStatus("us"), *flags) == (b'us; error=connection_refused; details="why; URX,UF"', 200)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ProxyStatus("us", details=False), (b"up, us; error=destination_not_found", 200)),
        (ProxyStatus("us", flags=False), (b'up, us; error=destination_not_found; details="why"', 200)),
        (ProxyStatus("us", recommends=True), (b'up, us; error=destination_not_found; details="why; NR"', 500)),
    ],
)
def test_what_is_told_and_recommended(config: ProxyStatus, expected: tuple[bytes, int]) -> None:
    assert told(config, Flag.NO_ROUTE_FOUND, theirs=b"up") == expected


def test_what_has_no_error_keeps_its_status() -> None:
    config = ProxyStatus("us", recommends=True)
    assert told(config, Flag.DOWNSTREAM_PROTOCOL_ERROR) == (None, 200)
    assert told(config, Flag.INVALID_ENVOY_REQUEST_HEADERS)[1] == 200


@pytest.mark.field(f"{HCM}.proxy_status_config", f"{STATUS}.literal_proxy_name")
def test_names() -> None:
    named = manager(bootstrap(hcm="proxy_status_config: {literal_proxy_name: a}")).proxy_status
    assert named == ProxyStatus("a")
    assert manager(bootstrap(hcm="proxy_status_config: {}\nserver_name: s")).proxy_status == ProxyStatus("s")
    assert manager(bootstrap(hcm="proxy_status_config: {}")).proxy_status == ProxyStatus("envoy")
    assert manager(bootstrap()).proxy_status is None


@pytest.mark.field(f"{STATUS}.use_node_id")
def test_the_name_of_the_node() -> None:
    text = "node: {id: our-node}\n" + bootstrap(hcm="proxy_status_config: {use_node_id: true}")
    assert manager(text).proxy_status == ProxyStatus("our-node")


@pytest.mark.parametrize("name", ["use_node_id: true", "literal_proxy_name: ''"])
def test_a_name_that_is_empty_is_an_error(name: str) -> None:
    (fault,) = findings(bootstrap(hcm=f"proxy_status_config: {{{name}}}"))
    assert "nobody would be named" in fault.message


@pytest.mark.field(
    f"{STATUS}.remove_details", f"{STATUS}.remove_response_flags", f"{STATUS}.set_recommended_response_code"
)
def test_what_to_tell() -> None:
    hcm = (
        "proxy_status_config: {remove_details: true, remove_response_flags: true, set_recommended_response_code: true}"
    )
    expected = ProxyStatus("envoy", details=False, flags=False, recommends=True)
    assert manager(bootstrap(hcm=hcm)).proxy_status == expected

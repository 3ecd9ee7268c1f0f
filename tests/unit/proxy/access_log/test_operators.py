"""Every operator: what it prints for an exchange that went well, and for one that never had a request."""

from __future__ import annotations

import re

import pytest

from proxy.access_log.format import compile_text
from proxy.access_log.operator import FormatError
from proxy.config.common import PipeAddress, SocketAddress
from proxy.errors import Flag
from tests.unit.proxy.access_log.streams import complete, failed, render

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize(
    ("operator", "well", "badly"),
    [
        ("ACCESS_LOG_TYPE", "DownstreamEnd", "DownstreamEnd"),
        ("BYTES_RECEIVED", "5", "0"),
        ("BYTES_SENT", "509", "0"),
        ("COMMON_DURATION(DS_RX_BEG:DS_TX_END)", "46", "-"),
        ("COMMON_DURATION(US_TX_BEG:US_TX_END:us)", "976", "-"),
        ("COMMON_DURATION(US_RX_BEG:US_RX_END:ns)", "15625000", "-"),
        ("COMMON_DURATION(DS_TX_END:DS_RX_BEG)", "-", "-"),
        ("CONNECTION_ID", "-", "-"),
        ("CONNECTION_TERMINATION_DETAILS", "-", "-"),
        ("DURATION", "46", "1"),
        ("ENVIRONMENT(TRIREME_TEST_NOT_SET)", "-", "-"),
        ("LOCAL_REPLY_BODY", "", ""),
        ("PATH", "/p/x?a=1&b=%20x&a=2", "-"),
        ("PATH(NQ)", "/p/x", "-"),
        ("PATH(NQ):2", "/p", "-"),
        ("PATH(WQ:PATH)", "/p/x?a=1&b=%20x&a=2", "-"),
        ("PATH(NQ:ORIG)", "-", "-"),
        ("PATH(WQ:ORIG_OR_PATH)", "/p/x?a=1&b=%20x&a=2", "-"),
        ("PROTOCOL", "HTTP/1.1", "HTTP/1.1"),
        ("QUERY_PARAM(a)", "1", "-"),
        ("QUERY_PARAM(b)", " x", "-"),
        ("QUERY_PARAM(c)", "-", "-"),
        ("REQ(:AUTHORITY)", "ex.com:80", "-"),
        ("REQ(HOST)", "ex.com:80", "-"),
        ("REQ(:METHOD)", "GET", "-"),
        ("REQ(:SCHEME)", "http", "-"),
        ("REQ(X-DUP)", "1", "-"),
        ("REQ(NOPE?X-A)", "hello", "-"),
        ("REQ(NOPE?NOPE2)", "-", "-"),
        ("REQ(X-A?)", "hello", "-"),
        ("REQUEST_DURATION", "1", "-"),
        ("REQUEST_TX_DURATION", "3", "-"),
        ("RESP(:STATUS)", "200", "-"),
        ("RESP(SERVER)", "envoy", "-"),
        ("RESP(NOPE?SERVER):2", "en", "-"),
        ("RESPONSE_CODE", "200", "400"),
        ("RESPONSE_CODE_DETAILS", "via_upstream", "http1.codec_error"),
        ("RESPONSE_DURATION", "15", "-"),
        ("RESPONSE_FLAGS", "-", "DPE"),
        ("RESPONSE_FLAGS_LONG", "-", "DownstreamProtocolError"),
        ("RESPONSE_TX_DURATION", "31", "-"),
        ("ROUTE_NAME", "rn", "-"),
        ("STREAM_ID", "id-1", "-"),
        ("TRAILER(X-T)", "-", "-"),
        ("UPSTREAM_CLUSTER", "o", "-"),
        ("UPSTREAM_CLUSTER_RAW", "o", "-"),
        ("UPSTREAM_HOST", "127.0.0.1:8000", "-"),
        ("UPSTREAM_LOCAL_ADDRESS", "[::1]:8001", "-"),
        ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "::1", "-"),
        ("UPSTREAM_LOCAL_PORT", "8001", "-"),
        ("UPSTREAM_REMOTE_ADDRESS", "127.0.0.1:8000", "-"),
        ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "127.0.0.1", "-"),
        ("UPSTREAM_REMOTE_PORT", "8000", "-"),
        ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "1", "0"),
        ("UPSTREAM_TRANSPORT_FAILURE_REASON", "-", "-"),
        ("UPSTREAM_WIRE_BYTES_RECEIVED", "581", "0"),
        ("UPSTREAM_WIRE_BYTES_SENT", "242", "0"),
    ],
)
def test_operator(operator: str, well: str, badly: str) -> None:
    assert (render(f"%{operator}%"), render(f"%{operator}%", failed())) == (well, badly)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("START_TIME", "2026-11-22T21:43:34.135Z"),
        ("START_TIME(%Y/%m/%dT%H:%M:%S.%3f)", "2026/11/22T21:43:34.135"),
        ("START_TIME(%s.%6f %3s)", "1795383814.135162 1795383814"),
        ("START_TIME(%f %1f %9f)", "135162000 1 135162000"),
        ("START_TIME(%z %Z %% %E*S %E3S %E0S)", "+0000 UTC % 34.135162 34.135 34"),
    ],
)
def test_start_time(operator: str, expected: str) -> None:
    assert render(f"%{operator}%") == expected


def test_start_time_follows_the_seconds() -> None:
    compiled = compile_text("%START_TIME%")
    info = complete()
    first = compiled(info)
    info.started_at += 1
    assert (first, compiled(info)) == (b"2026-11-22T21:43:34.135Z", b"2026-11-22T21:43:35.135Z")


def test_unique_id_is_another_one_for_each_entry() -> None:
    first, second = render("%UNIQUE_ID%"), render("%UNIQUE_ID%")
    assert UUID.fullmatch(first)
    assert UUID.fullmatch(second)
    assert first != second


def test_environment_and_hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIREME_TEST", "value")
    assert render("%ENVIRONMENT(TRIREME_TEST)%") == "value"
    assert render("%ENVIRONMENT(TRIREME_TEST):2%") == "va"
    assert render("%HOSTNAME%") not in ("", "-")


def test_flags_come_in_the_order_in_which_they_were_set() -> None:
    info = complete()
    for flag in (Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED, Flag.UPSTREAM_CONNECTION_FAILURE, Flag.OVERLOAD_MANAGER):
        info.flags.add(flag)
    assert render("%RESPONSE_FLAGS%", info) == "URX,UF,OM"
    expected = "UpstreamRetryLimitExceeded,UpstreamConnectionFailure,OverloadManagerTerminated"
    assert render("%RESPONSE_FLAGS_LONG%", info) == expected


def test_a_transport_failure_has_no_spaces() -> None:
    info = complete()
    info.upstream_failure = "delayed connect error: Connection refused"
    assert render("%UPSTREAM_TRANSPORT_FAILURE_REASON%", info) == "delayed_connect_error:_Connection_refused"


def test_a_unix_socket_is_its_path_and_has_no_port() -> None:
    info = complete()
    info.upstream_remote = PipeAddress("/run/x.sock")
    text = "%UPSTREAM_REMOTE_ADDRESS%|%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%UPSTREAM_REMOTE_PORT%"
    assert render(text, info) == "/run/x.sock|/run/x.sock|-"


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ("REQ", "requires a parameter"),
        ("REQ()", "requires a parameter"),
        ("REQ(a?b?c)", "more than one alternative"),
        ("REQ(a b)", "not a header name"),
        ("RESP", "requires a parameter"),
        ("TRAILER()", "requires a parameter"),
        ("QUERY_PARAM()", "requires a parameter"),
        ("ENVIRONMENT", "requires a parameter"),
        ("PATH(X)", "unknown option"),
        ("PATH(NQ:X)", "unknown source"),
        ("COMMON_DURATION", "requires a parameter"),
        ("COMMON_DURATION(DS_RX_BEG)", "incorrect duration"),
        ("COMMON_DURATION(DS_RX_BEG:X)", "unknown point in time"),
        ("COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)", "unknown precision"),
    ],
)
def test_parameters_that_are_refused(operator: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        compile_text(f"%{operator}%")
    assert message in caught.value.message
    assert operator.split("(")[0] in caught.value.message


def test_the_client_behind_a_trusted_hop() -> None:
    info = complete()
    info.downstream_remote = SocketAddress("2001:db8::1", 0)
    assert render("%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", info) == (
        "[2001:db8::1]:0|2001:db8::1"
    )
    assert render("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", info) == "-"

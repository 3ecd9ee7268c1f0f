"""Hop-by-hop headers, and those that a client may not have dropped (features §13 rule 16)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.http.hop_by_hop import strip_request

ORDINARY = [b"accept", b"x-a", b"x-b"]
HOP_BY_HOP = [b"te", b"keep-alive", b"proxy-connection", b"upgrade"]
PROTECTED = [b"authorization", b"cookie", b"content-length", b"x-request-id", b"x-envoy-original-path"]
NAMES = st.sampled_from([*ORDINARY, *HOP_BY_HOP, *PROTECTED, b"x-forwarded-for", b"x-forwarded-proto"])
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"trailers", b"gzip, trailers;q=1", b"a"])), max_size=12)


def cleaned(*items: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    headers = Headers(items)
    strip_request(headers)
    return headers.items


def test_hop_by_hop_headers_and_what_connection_names_are_dropped() -> None:
    assert cleaned(
        (b"connection", b"keep-alive, X-Mine"),
        (b"accept", b"*/*"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAA"),
        (b"x-mine", b"1"),
        (b"x-yours", b"2"),
    ) == [(b"accept", b"*/*"), (b"x-yours", b"2")]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"trailers", [(b"te", b"trailers")]),
        (b"gzip, trailers", [(b"te", b"trailers")]),
        (b"Trailers", []),
        (b"trailers;q=1", []),
        (b"gzip", []),
        (b"trailersx", []),
    ],
)
def test_te_survives_for_trailers_alone(value: bytes, kept: list[tuple[bytes, bytes]]) -> None:
    assert cleaned((b"te", value), (b"connection", b"te")) == kept


@pytest.mark.parametrize(
    "name", [b"authorization", b"cookie", b"content-length", b"x-request-id", b"x-envoy-internal", b"x-forwarded-port"]
)
def test_a_client_cannot_have_protected_headers_dropped(name: bytes) -> None:
    assert (name, b"v") in cleaned((b"connection", b"close, " + name.upper()), (name, b"v"))


@pytest.mark.parametrize(
    "value",
    [
        b"host",
        b"X-Forwarded-For",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b":path",
        b",".join(b"x%d" % n for n in range(11)),
    ],
)
def test_what_envoy_refuses_is_refused(value: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        cleaned((b"connection", value))
    assert caught.value.status == 400
    assert caught.value.close
    assert caught.value.flag is Flag.DOWNSTREAM_PROTOCOL_ERROR
    assert caught.value.detail == "http1.connection_header_rejected"


@given(headers=HEADERS, nominated=st.lists(NAMES.filter(lambda n: b"forwarded" not in n), max_size=4))
def test_cleaning_is_idempotent_and_only_ever_removes_what_it_may(
    headers: list[tuple[bytes, bytes]], nominated: list[bytes]
) -> None:
    block = Headers(headers)
    if nominated:
        block.add(b"connection", b", ".join(nominated))
    strip_request(block)
    once = list(block.items)
    strip_request(block)
    assert block.items == once
    names = {name for name, _ in once}
    assert not names & {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"}
    for name, value in headers:
        if name in PROTECTED or (name in ORDINARY and name not in nominated):
            assert (name, value) in once
    assert {value for name, value in once if name == b"te"} <= {b"trailers"}

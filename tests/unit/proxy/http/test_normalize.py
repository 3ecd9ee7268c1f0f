"""What is done to heads: hop-by-hop headers, protected headers, identity, server, date (features §13 rule 16)."""

from __future__ import annotations

import email.utils
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.http.normalize import clean_request, clean_response, http_date, new_request_id

ORDINARY = [b"accept", b"x-a", b"x-b"]
HOP_BY_HOP = [b"te", b"keep-alive", b"proxy-connection", b"upgrade"]
PROTECTED = [b"authorization", b"cookie", b"content-length", b"x-request-id", b"x-envoy-original-path"]
NAMES = st.sampled_from([*ORDINARY, *HOP_BY_HOP, *PROTECTED, b"x-forwarded-for", b"x-forwarded-proto"])
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"trailers", b"gzip, trailers;q=1", b"a"])), max_size=12)


def cleaned(*items: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    headers = Headers([*items, (b"x-forwarded-proto", b"http"), (b"x-request-id", b"1")])
    clean_request(headers, b"http")
    return headers.items[:-2]


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
        (b"gzip, Trailers", [(b"te", b"trailers")]),
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


def test_identity_is_added_where_it_is_missing() -> None:
    headers = Headers([(b"a", b"1")])
    clean_request(headers, b"https")
    assert headers.items[:2] == [(b"a", b"1"), (b"x-forwarded-proto", b"https")]
    assert headers.items[2][0] == b"x-request-id"
    assert len(headers) == 3


@given(headers=HEADERS, nominated=st.lists(NAMES.filter(lambda n: b"forwarded" not in n), max_size=4))
def test_cleaning_is_idempotent_and_only_ever_removes_what_it_may(
    headers: list[tuple[bytes, bytes]], nominated: list[bytes]
) -> None:
    block = Headers(headers)
    if nominated:
        block.add(b"connection", b", ".join(nominated))
    clean_request(block, b"http")
    once = list(block.items)
    clean_request(block, b"http")
    assert block.items == once
    names = {name for name, _ in once}
    assert not names & {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"}
    for name, value in headers:
        if name in PROTECTED or (name in ORDINARY and name not in nominated):
            assert (name, value) in once
    assert {value for name, value in once if name == b"te"} <= {b"trailers"}


def test_request_ids_are_random_uuids_of_version_4() -> None:
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    for text in ids:
        parsed = uuid.UUID(text.decode())
        assert str(parsed).encode() == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_the_date_is_the_current_second_in_imf_fixdate() -> None:
    parsed = email.utils.parsedate_to_datetime(http_date().decode())
    assert abs(parsed.timestamp() - time.time()) < 2
    assert http_date().endswith(b" GMT")


def test_response_server_in_place_or_behind_date_and_close_last() -> None:
    headers = Headers(
        [(b"server", b"x"), (b"a", b"1"), (b"server", b"y"), (b"keep-alive", b"1"), (b"connection", b"z")]
    )
    clean_response(headers, b"me", close=True)
    names = [name for name, _ in headers]
    assert names == [b"server", b"a", b"date", b"connection"]
    assert headers.get(b"server") == b"me"
    assert headers.get(b"connection") == b"close"
    headers = Headers([(b"date", b"then")])
    clean_response(headers, b"me", close=False)
    assert headers.items == [(b"date", b"then"), (b"server", b"me")]

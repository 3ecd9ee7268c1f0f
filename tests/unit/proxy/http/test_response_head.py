"""What happens to response heads: `date`, `server`, `via`, the request's id (features §13 rules 16 and 27)."""

from __future__ import annotations

import email.utils
import time

from proxy.config.identity import ServerHeader
from proxy.http.headers import Headers
from proxy.http.response_head import ResponseRules, http_date


def cleaned(rules: ResponseRules, *items: tuple[bytes, bytes], request_id: bytes | None = None) -> Headers:
    headers = Headers([(b"date", b"then"), *items])
    rules.clean(headers, close=False, request_id=request_id)
    return headers


def test_the_date_is_the_current_second_in_imf_fixdate() -> None:
    parsed = email.utils.parsedate_to_datetime(http_date().decode())
    assert abs(parsed.timestamp() - time.time()) < 2
    assert http_date().endswith(b" GMT")


def test_response_server_in_place_or_behind_date_and_close_last() -> None:
    headers = Headers(
        [(b"server", b"x"), (b"a", b"1"), (b"server", b"y"), (b"keep-alive", b"1"), (b"connection", b"z")]
    )
    ResponseRules(ServerHeader("me")).clean(headers, close=True)
    names = [name for name, _ in headers]
    assert names == [b"server", b"a", b"date", b"connection"]
    assert headers.get(b"server") == b"me"
    assert headers.get(b"connection") == b"close"
    headers = Headers([(b"date", b"then")])
    ResponseRules(ServerHeader("me")).clean(headers, close=False)
    assert headers.items == [(b"date", b"then"), (b"server", b"me")]


def test_server_header_transformations() -> None:
    absent = ResponseRules(ServerHeader("me", "APPEND_IF_ABSENT"))
    assert cleaned(absent).get_all(b"server") == [b"me"]
    assert cleaned(absent, (b"server", b"theirs")).get_all(b"server") == [b"theirs"]
    through = ResponseRules(ServerHeader("me", "PASS_THROUGH"))
    assert b"server" not in cleaned(through)
    assert cleaned(through, (b"server", b"theirs")).get_all(b"server") == [b"theirs"]


def test_via_is_one_list_and_the_request_id_overwrites() -> None:
    rules = ResponseRules(ServerHeader("me", "PASS_THROUGH"), "us")
    assert cleaned(rules).get_all(b"via") == [b"us"]
    found = cleaned(rules, (b"via", b"1.1 a"), (b"x-request-id", b"2"), (b"via", b"1.1 b"), request_id=b"1")
    assert found.items[1:] == [(b"via", b"1.1 a,1.1 b, us"), (b"x-request-id", b"1")]

from __future__ import annotations

import pytest

from proxy.http.h1_connection import closes, expects_continue, take_upgrade, tokens
from proxy.http.headers import Headers


def test_tokens_over_all_lines() -> None:
    headers = Headers([(b"connection", b"Close ,x,, Y\t"), (b"connection", b""), (b"connection", b"z")])
    assert tokens(headers, b"connection") == [b"close", b"x", b"y", b"z"]


@pytest.mark.parametrize(
    ("name", "value", "version", "expected"),
    [
        (b"connection", b"CLOSE", b"1.1", True),
        (b"connection", b"x, close", b"1.1", True),
        (b"proxy-connection", b"close", b"1.1", True),
        (b"connection", b"closed", b"1.1", False),
        (b"connection", b"keep-alive", b"1.1", False),
        (b"connection", b"keep-alive", b"1.0", True),
    ],
)
def test_who_closes(name: bytes, value: bytes, version: bytes, expected: bool) -> None:
    assert closes(Headers([(name, value)]), version) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([b"100-continue"], True), ([b"100-CONTINUE"], True), ([b"100-continue, x"], False), ([b"x"], False), ([], False),
     ([b"100-continue", b"x"], False)],
)  # fmt: skip
def test_expectations(values: list[bytes], expected: bool) -> None:
    headers = Headers((b"expect", value) for value in values)
    assert expects_continue(headers) is expected


@pytest.mark.parametrize(
    ("connection", "upgrade", "expected"),
    [
        (b"Upgrade", b"WebSocket", "websocket"),
        (b"keep-alive, UPGRADE", b"a/1, b", "a/1,b"),
        (b"keep-alive", b"websocket", ""),
        (b"upgrade", b"h2c", ""),
        (b"upgrade, http2-settings", b"H2C, websocket", "websocket"),
    ],
)
def test_upgrades(connection: bytes, upgrade: bytes, expected: str) -> None:
    headers = Headers([(b"connection", connection), (b"upgrade", upgrade), (b"http2-settings", b"x")])
    assert take_upgrade(headers) == expected
    offered = b"h2c" in upgrade.lower()
    assert (b"http2-settings" in headers) is not offered
    assert b"h2c" not in tokens(headers, b"upgrade")
    if offered:
        assert (b"upgrade" in tokens(headers, b"connection")) is bool(expected)
        assert b"http2-settings" not in tokens(headers, b"connection")


def test_an_upgrade_without_a_protocol_is_none() -> None:
    assert take_upgrade(Headers([(b"connection", b"upgrade")])) == ""

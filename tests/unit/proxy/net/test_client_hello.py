"""First messages of real clients, whole, in pieces, and broken."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.client_hello import ClientHello, NotTls, TooLarge, parse

LIMIT = 16 * 1024


def hello(name: str | None = "A.Example.com", alpn: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    """What OpenSSL says first."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


HELLO = hello()
EXPECTED = ClientHello("a.example.com", ("h2", "http/1.1"))


def in_records(message: bytes, sizes: list[int]) -> bytes:
    """The handshake message of one record, spread over several."""
    body, records = message[5:], b""
    while body:
        size = sizes.pop() if sizes else len(body)
        piece, body = body[:size], body[size:]
        records += b"\x16\x03\x01" + len(piece).to_bytes(2) + piece
    return records


def test_what_a_client_asks_for() -> None:
    assert parse(HELLO, LIMIT) == EXPECTED
    assert parse(HELLO + b"and what follows", LIMIT) == EXPECTED
    assert parse(hello(None, ()), LIMIT) == ClientHello()


def test_every_beginning_is_waited_for() -> None:
    assert {parse(HELLO[:end], LIMIT) for end in range(len(HELLO))} == {None}


@given(st.lists(st.integers(1, 300), max_size=20))
def test_records_of_any_size(sizes: list[int]) -> None:
    data = in_records(HELLO, list(sizes))
    assert parse(data, LIMIT) == EXPECTED
    assert parse(data[:-1], LIMIT) is None


@given(st.binary(max_size=600) | st.binary(max_size=600).map(lambda junk: b"\x16\x03\x01" + junk))
def test_anything(data: bytes) -> None:
    with contextlib.suppress(NotTls, TooLarge):
        assert parse(data, LIMIT) is None or isinstance(parse(data, LIMIT), ClientHello)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_one_wrong_byte(place: int, value: int) -> None:
    data = HELLO[:place] + bytes([value]) + HELLO[place + 1 :]
    with contextlib.suppress(NotTls, TooLarge):
        assert parse(data, LIMIT) is None or isinstance(parse(data, LIMIT), ClientHello)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02",
        b"\x15\x03\x01\x00\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x01\x02",
    ],
)
def test_what_is_no_tls_is_known_at_once(data: bytes) -> None:
    with pytest.raises(NotTls):
        parse(data, LIMIT)


def test_a_message_that_is_too_large_is_not_waited_for() -> None:
    with pytest.raises(TooLarge):
        parse(b"\x16\x03\x01\x3f\xff\x01\x00\x40\x00", LIMIT)
    with pytest.raises(TooLarge):
        parse(HELLO, len(HELLO) - 6)
    assert parse(HELLO, len(HELLO) - 5) == EXPECTED


@pytest.mark.parametrize("name", [b"\0xaxbycz.test", b"a.test\0......"])
def test_a_name_that_no_host_can_have(name: bytes) -> None:
    with pytest.raises(NotTls):
        parse(hello("xaxbycz.testx", ()).replace(b"xaxbycz.testx", name), LIMIT)


def test_the_longest_name() -> None:
    """In place of the name that `hello` asks for."""
    short = hello("a.test", ())
    body = short[5 + 4 :]

    def asking(name: bytes) -> bytes:
        before, _, after = body.partition(b"\x00\x00" + b"\x00\x0b\x00\x09\x00\x00\x06a.test")
        listed = b"\x00" + len(name).to_bytes(2) + name
        extension = len(listed).to_bytes(2) + listed
        size = int.from_bytes(before[-2:]) - 11 + len(extension)
        message = before[:-2] + size.to_bytes(2) + b"\x00\x00" + len(extension).to_bytes(2) + extension + after
        whole = b"\x01" + len(message).to_bytes(3) + message
        return b"\x16\x03\x01" + len(whole).to_bytes(2) + whole

    found = parse(asking(b"n" * 255), LIMIT)
    assert found is not None
    assert found.server_name == "n" * 255
    with pytest.raises(NotTls):
        parse(asking(b"n" * 256), LIMIT)

"""JA3 and JA4 of a message written by hand; `tests/parity/test_tls_log.py` compares those of real clients."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.client_hello import NotTls, body_of
from proxy.net.fingerprints import ja3, ja4
from tests.unit.proxy.net.test_client_hello import LIMIT, hello

GREASE = 0x2A2A
HELLO = body_of(hello(), LIMIT) or b""


def vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)


def message(ciphers: tuple[int, ...], *extensions: tuple[int, bytes]) -> bytes:
    """The body of a ClientHello that calls itself TLS 1.2."""
    fields = b"".join(kind.to_bytes(2) + vector(value, 2) for kind, value in extensions)
    tail = vector(fields, 2) if extensions else b""
    return b"\x03\x03" + bytes(32) + b"\x00" + vector(numbers(*ciphers), 2) + b"\x01\x00" + tail


ALL = message(
    (GREASE, 0x1302, 0x1301),
    (GREASE, b""),
    (0, vector(b"\x00" + vector(b"a.test", 2), 2)),
    (43, vector(numbers(GREASE, 0x0303, 0x0304), 1)),
    (10, vector(numbers(GREASE, 29, 23), 2)),
    (11, vector(b"\x00\x01", 1)),
    (13, vector(numbers(0x0403, 0x0804), 2)),
    (16, vector(vector(b"h2", 1) + vector(b"http/1.1", 1), 2)),
)


def test_ja3() -> None:
    text = f"771,4866-4865,0-43-10-11-13-16,{GREASE}-29-23,0-1"
    assert ja3(ALL) == hashlib.md5(text.encode()).hexdigest()
    assert ja3(message((0xC02B,))) == hashlib.md5(b"771,49195,,,").hexdigest()


def test_ja4() -> None:
    ciphers = hashlib.sha256(b"1301,1302").hexdigest()[:12]
    extensions = hashlib.sha256(b"000a,000b,000d,002b_0403,0804").hexdigest()[:12]
    assert ja4(ALL) == f"t13d0206h2_{ciphers}_{extensions}"
    assert ja4(message(())) == "t12i000000_000000000000_000000000000"
    assert ja4(message((), (43, vector(numbers(0x7F00), 1))))[:3] == "t00"


@pytest.mark.parametrize(
    ("name", "said"), [(b"http/1.1", "h1"), (b"x", "xx"), (b"-p", "20"), (b"\xabz\xcd", "ad"), (b"", "00")]
)
def test_the_first_protocol_in_two_characters(name: bytes, said: str) -> None:
    assert ja4(message((), (16, vector(vector(name, 1), 2))))[8:10] == said


def test_an_extension_that_comes_twice_is_no_tls() -> None:
    with pytest.raises(NotTls):
        ja3(message((), (11, b""), (11, b"")))


@given(st.integers(0, 400), st.integers(0, 255))
def test_one_wrong_byte(place: int, value: int) -> None:
    for make in (ja3, ja4):
        with contextlib.suppress(NotTls):
            assert make(HELLO[:place] + bytes([value]) + HELLO[place + 1 :])

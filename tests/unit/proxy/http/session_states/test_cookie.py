"""The cookie of a session: what it says, for which paths, until when."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.hash_policy import CookieMaker
from proxy.http.headers import Headers
from proxy.http.session_states.cookie import CookieState, Said, parse, render
from tests.unit.route.requests import request


def state(maker: CookieMaker = CookieMaker()) -> CookieState:  # noqa: B008 (frozen)
    return CookieState(CookieState.Config("k", maker), lambda: 1000.0)


def read(value: bytes, path: str = "/", maker: CookieMaker = CookieMaker()) -> str | None:  # noqa: B008 (frozen)
    lines = (("cookie", f"k={base64.b64encode(value).decode()}"),) if value else ()
    return state(maker).read(request(path, headers=lines))


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_what_is_written_can_be_read(address: bytes, expires: int) -> None:
    assert parse(render(Said(address, expires))) == Said(address, expires)


@given(st.binary(max_size=40))
def test_anything_can_be_read(text: bytes) -> None:
    found = parse(text)
    assert found is None or len(found.address) <= len(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", Said()),
        (b"\n\x01a\x10\x02\x1a\x01x\x20\x05", Said(b"a", 2)),  # fields 3 and 4 are not known
        (b"\n\x05a", None),
        (b"\x10", None),
        (b"\x10" + b"\xff" * 10, None),
        (b"\x00\x01", None),
        (b"127.0.0.1:80", None),
    ],
)
def test_messages(text: bytes, said: Said | None) -> None:
    assert parse(text) == said


def test_who_has_no_session_or_one_that_is_over() -> None:
    assert read(b"") == ""
    assert read(render(Said(b"127.0.0.1:1", 999))) == ""
    assert read(render(Said(b"127.0.0.1:1", 1000))) == "127.0.0.1:1"
    assert read(b"127.0.0.1:80") == "127.0.0.1:80"


@pytest.mark.parametrize(
    ("own", "path", "has"),
    [
        ("", "/x", True),
        ("/", "/x", True),
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/a?b", True),
        ("/a", "/ab", False),
        ("/a/", "/a/b", True),
        ("/a/", "/a", False),
    ],
)
def test_paths(own: str, path: str, has: bool) -> None:
    assert (read(b"", path, CookieMaker(path=own)) is not None) is has


def test_what_the_client_is_told() -> None:
    headers = Headers()
    state(CookieMaker(60, "/a")).write("h:1", headers)
    value = base64.b64encode(render(Said(b"h:1", 1060)))
    assert headers.items == [(b"set-cookie", b'k="%b"; Max-Age=60; Path=/a; HttpOnly' % value)]

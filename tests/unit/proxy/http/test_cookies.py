"""Cookies as Envoy reads and writes them."""

from __future__ import annotations

import pytest

from proxy.config.hash_policy import CookieMaker
from proxy.http.cookies import cookie, set_cookie
from proxy.http.headers import Headers


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (["a=b; k=v"], b"v"),
        (['k="v"'], b"v"),
        (["k=a=b"], b"a=b"),
        (["k"], b""),
        (["K=v"], b""),
        (['k="'], b'"'),
        (["a=b", "k=second", "k=third"], b"second"),
        ([], b""),
    ],
)
def test_cookies(lines: list[str], value: bytes) -> None:
    assert cookie(Headers((b"cookie", line.encode()) for line in lines), b"k") == value


def test_a_cookie_for_the_client() -> None:
    assert set_cookie("k", b"v", CookieMaker()) == b'k="v"; HttpOnly'
    maker = CookieMaker(60, "/p", (("SameSite", "Lax"), ("Secure", "")))
    assert set_cookie("k", b"v", maker) == b'k="v"; Max-Age=60; Path=/p; SameSite=Lax; Secure; HttpOnly'

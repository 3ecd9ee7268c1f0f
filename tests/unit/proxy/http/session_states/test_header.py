"""The header of a session."""

from __future__ import annotations

import base64

from proxy.http.headers import Headers
from proxy.http.session_states.header import HeaderState
from tests.unit.route.requests import request

STATE = HeaderState(HeaderState.Config("x-session"))


def test_what_it_says() -> None:
    def read(value: str) -> str | None:
        return STATE.read(request(headers=(("x-session", value),)))

    assert read(base64.b64encode(b"127.0.0.1:80").decode()) == "127.0.0.1:80"
    assert read("no base64") == ""
    assert STATE.read(request()) == ""


def test_what_the_client_is_told() -> None:
    headers = Headers([(b"x-session", b"an upstream's")])
    STATE.write("h:1", headers)
    assert headers.items == [(b"x-session", b"aDox")]

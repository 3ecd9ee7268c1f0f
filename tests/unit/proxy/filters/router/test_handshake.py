"""Who is told of a WebSocket's key, and of the answer to it, for each pair of versions."""

from __future__ import annotations

import pytest

from proxy.filters.router.handshake import Handshake
from proxy.http import websocket
from proxy.http.headers import Headers

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SWITCHED = [(b"upgrade", b"websocket")]
PROOF = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_answer_is_that_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    assert websocket.answer_to(KEY) == PROOF


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("upstream", [True, False])
@pytest.mark.parametrize("answer", [None, PROOF])
def test_a_key_of_the_client_is_its_own(client: bool, upstream: bool, answer: bytes | None) -> None:
    """What the upstream says to it is the client's to judge; only where nothing need be said is it added."""
    handshake = Handshake("websocket", client_has_keys=client, upstream_has_keys=upstream)
    asked, told = (
        Headers([(websocket.KEY, KEY)]),
        Headers([*SWITCHED, (websocket.ACCEPT, answer)] if answer else SWITCHED),
    )
    assert handshake.ask(asked) is asked
    assert handshake.accept(101, told)
    assert told.get(websocket.ACCEPT) == (PROOF if client and not upstream else answer)


def test_a_client_without_keys_and_an_upstream_with_them() -> None:
    handshake = Handshake("websocket", client_has_keys=False, upstream_has_keys=True)
    asked = Headers([(b"a", b"b")])
    sent = handshake.ask(asked)
    assert (asked.items, sent.items[0]) == ([(b"a", b"b")], (b"a", b"b"))
    key = sent.get(websocket.KEY)
    assert key is not None
    told = Headers([*SWITCHED, (websocket.ACCEPT, websocket.answer_to(key))])
    assert handshake.accept(101, told)
    assert told.items == SWITCHED
    assert not handshake.accept(101, Headers([*SWITCHED, (websocket.ACCEPT, PROOF)]))
    assert not handshake.accept(101, Headers(SWITCHED))


@pytest.mark.parametrize("client", [True, False])
def test_no_key_is_made_up_for_a_client_that_should_have_one(client: bool) -> None:
    handshake = Handshake("websocket", client_has_keys=client, upstream_has_keys=client)
    asked = Headers()
    assert handshake.ask(asked) is asked
    told = Headers(SWITCHED)
    assert handshake.accept(101, told)
    assert told.items == SWITCHED


@pytest.mark.parametrize("upgrade", ["websocket", "chat", "connect"])
def test_consent_says_what_to_change_to(upgrade: str) -> None:
    handshake = Handshake(upgrade, client_has_keys=True, upstream_has_keys=True)
    handshake.ask(Headers())
    assert handshake.accept(101, Headers(SWITCHED))
    assert not handshake.accept(101, Headers())
    assert handshake.accept(200, Headers())  # to CONNECT


@pytest.mark.parametrize(
    ("upgrade", "http1", "status", "misleads"),
    [
        ("websocket", True, 200, True),
        ("websocket", True, 204, False),
        ("websocket", True, 401, False),
        ("chat", True, 200, False),
        ("websocket", False, 200, True),
        ("chat", False, 204, True),
        ("chat", False, 304, False),
    ],
)
def test_what_could_be_taken_for_consent(upgrade: str, http1: bool, status: int, misleads: bool) -> None:
    handshake = Handshake(upgrade, client_has_keys=http1, upstream_has_keys=True)
    assert handshake.misleads(status) is misleads

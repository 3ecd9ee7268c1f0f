"""Another certificate for a filter chain that stays: connections go on, the next handshake sees it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.changes import changes
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from tests.integration.test_fields import one_listener
from tests.integration.tls.terminating import (
    GET,
    authority,
    context,
    inline,
    secured,
    server,
    shake_hands,
    terminating,
)
from tests.kit.certificates import Pair
from tests.kit.trio import run_trio
from tests.unit.proxy.test_snapshot import change

NOWHERE = SocketAddress("127.0.0.1", 9)
OTHER = authority().issue("a.test", name="other")


def configured(*pairs: Pair, **fields: Any) -> CompiledConfig:
    return one_listener(secured(NOWHERE, context(*pairs, **fields)))


def in_default_chain(config: CompiledConfig) -> CompiledConfig:
    (listener,) = config.listeners
    moved = msgspec.structs.replace(listener, filter_chains=(), default_filter_chain=listener.filter_chains[0])
    return msgspec.structs.replace(config, listeners=(moved,))


def how(before: CompiledConfig, now: CompiledConfig) -> list[tuple[str, bool]]:
    return [(change.how, change.chains_only) for change in changes(before, now)]


def test_certificates_change_in_place_also_those_of_the_default_chain() -> None:
    before, now = configured(server()), configured(OTHER, server())
    assert how(before, now) == [("in_place", True)]
    assert how(in_default_chain(before), in_default_chain(now)) == [("in_place", True)]
    assert how(before, in_default_chain(now)) == [("drains", True)]


@pytest.mark.parametrize(
    "fields",
    [
        {"common": {"alpn_protocols": ["h2"]}},
        {"common": {"validation_context": {"trusted_ca": inline(authority().pem)}}},
        {"prefer_client_ciphers": True},
    ],
    ids=["alpn", "validation", "ciphers"],
)
def test_who_came_in_by_other_terms_leaves(fields: dict[str, Any]) -> None:
    assert how(configured(), configured(**fields)) == [("drains", True)]


def test_tls_that_comes_or_goes_is_another_listener() -> None:
    plain = msgspec.structs.replace(configured().listeners[0].filter_chains[0], tls=None)
    listener = msgspec.structs.replace(configured().listeners[0], filter_chains=(plain,))
    assert how(configured(), msgspec.structs.replace(configured(), listeners=(listener,))) == [("drains", True)]


@run_trio
async def test_the_next_handshake_sees_the_new_certificate_and_connections_go_on() -> None:
    async with terminating(context()) as rig:
        old = await shake_hands(rig, authority().client())
        snapshot = rig.server._snapshot
        listener = snapshot.listeners["l"]
        config = msgspec.structs.replace(
            configured(),
            listeners=(with_certificate(listener.config, OTHER),),
            clusters=tuple(each.config for each in snapshot.clusters.values()),
            endpoints=snapshot.endpoints,
        )
        after = await change(rig, config)
        assert after.listeners["l"] is listener
        await old.send_all(GET)
        assert bytes(await old.receive_some()).startswith(b"HTTP/1.1 200 OK")
        new = await shake_hands(rig, authority().client())
        assert new.getpeercert(binary_form=True) == OTHER.der
        for stream in (old, new):
            await stream.aclose()


def with_certificate(listener: Listener, pair: Pair) -> Listener:
    (chain,), (other,) = listener.filter_chains, configured(pair).listeners[0].filter_chains
    return msgspec.structs.replace(listener, filter_chains=(msgspec.structs.replace(chain, tls=other.tls),))

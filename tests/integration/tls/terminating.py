"""A proxy that terminates TLS, in the test's own loop, and clients that speak it."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import trio

from proxy.config.common import SocketAddress
from tests.integration.test_fields import cluster, one_listener
from tests.kit.certificates import Authority, Pair
from tests.kit.config import bootstrap
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import OK, Serve, answering, origin

TLS = "envoy.extensions.transport_sockets.tls.v3"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@functools.cache
def authority(name: str = "test root") -> Authority:
    return Authority(name)


@functools.cache
def server() -> Pair:
    return authority().issue("a.test", "*.b.test", name="server")


def inline(text: str) -> dict[str, str]:
    return {"inline_string": text}


def certificate(pair: Pair, **fields: Any) -> dict[str, Any]:
    """A `TlsCertificate`."""
    return {"certificate_chain": inline(pair.chain), "private_key": inline(pair.key), **fields}


def context(*pairs: Pair, common: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A `TransportSocket` with a `DownstreamTlsContext` of these fields."""
    certificates = [certificate(pair) for pair in pairs or (server(),)]
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"type.googleapis.com/{TLS}.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": certificates, **(common or {})},
            **fields,
        },
    }


def secured(address: SocketAddress, transport_socket: dict[str, Any], **parts: str) -> str:
    """The bootstrap of a listener with this transport socket in front of the origin at `address`."""
    text = bootstrap(clusters=cluster(address), **parts)
    socket = f"transport_socket: {json.dumps(transport_socket)}"
    return text.replace("    - filters:\n", f"    - {socket}\n      filters:\n")


@contextlib.asynccontextmanager
async def terminating(
    transport_socket: dict[str, Any], serve: Serve | None = None, chain: str = "", **parts: str
) -> AsyncIterator[Rig]:
    """A proxy with this transport socket; `chain` is more YAML of its filter chain."""
    async with origin(serve or answering(OK)) as upstream:
        text = secured(upstream.address, transport_socket, **parts)
        text = text.replace("      filters:\n", f"      {chain}\n      filters:\n", 1)
        async with serving(one_listener(text)) as rig:
            yield rig


async def shake_hands(rig: Rig, client: ssl.SSLContext, name: str = "a.test") -> trio.SSLStream[trio.SocketStream]:
    """A client that has agreed on TLS. Raises `trio.BrokenResourceError`."""
    stream = (await rig.connect()).stream
    secure = trio.SSLStream(stream, client, server_hostname=name, https_compatible=True)
    with trio.fail_after(5):
        await secure.do_handshake()
    return secure


async def ask(rig: Rig, client: ssl.SSLContext, name: str = "a.test", request: bytes = GET) -> bytes:
    """The beginning of the answer, over a connection of its own; b"" if the server ends it instead."""
    stream = await shake_hands(rig, client, name)
    with trio.fail_after(5):
        try:
            await stream.send_all(request)
            answer = bytes(await stream.receive_some())
        except trio.BrokenResourceError:
            return b""
        await stream.aclose()
    return answer


def ssl_stats(rig: Rig) -> dict[str, int]:
    """`ssl.*` of the listener that are not zero."""
    prefix = "listener.127.0.0.1_0.ssl."
    return {
        name.removeprefix(prefix): word.value
        for name, word in rig.stats.words.items()
        if name.startswith(prefix) and word.value
    }

"""A gRPC server of Google's own library, in a process of its own: it answers with what it was sent.

Its messages are bytes: what a service would do with them is none of the proxy's work.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from bench.requests import ROUTE
from tests.kit.process import KitProcess

_SERVICE = f"{ROUTE.removeprefix('/')}/bench.Echo"
UNARY = f"/{_SERVICE}/Unary"
STREAM = f"/{_SERVICE}/Stream"


class GrpcPeer(KitProcess):
    """`with GrpcPeer() as peer: peer.port`."""

    def __init__(self) -> None:
        super().__init__("bench.grpc_peer")
        self.port: int = self.read_json()["port"]


async def _unary(message: bytes, _: object) -> bytes:
    return message


async def _stream(messages: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message


async def main() -> None:
    server = grpc.aio.server()
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())

"""A gRPC server of grpcio's in a process of its own, with the methods of gRPC's interoperability tests.

A message is a length (4 bytes), JSON of that length, and then any bytes, its payload: no protoc is needed. What the
JSON of a request asks for:

    sizes=[N…]     payloads of responses              interval=S    seconds before each of them
    code=N text=T  the status of the call             sleep=S       seconds before anything

The metadata `x-echo-initial` and `x-echo-trailing-bin` come back as they came. `Told` says what became
of calls that stream their answers. Its health can be asked for (`check`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.kit.books import Ask, Book
from tests.kit.process import KitProcess

SERVICE = "grpc.testing.TestService"
LIMITS = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
_told = {"cancelled": 0, "ended": 0}


def pack(fields: dict[str, Any], payload: bytes = b"") -> bytes:
    text = json.dumps(fields).encode()
    return len(text).to_bytes(4, "big") + text + payload


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    end = 4 + int.from_bytes(message[:4], "big")
    return json.loads(message[4:end]) if message else {}, message[end:]


class GrpcServer(KitProcess):
    """`age`: seconds after which it sends a GOAWAY on each connection, 0 for never."""

    def __init__(self, *, age: float = 0.0) -> None:
        super().__init__("tests.kit.grpc_server", ["--age", str(age)])
        self.port: int = self.read_json()["port"]


async def _begin(fields: dict[str, Any], context: Any) -> None:
    metadata = dict(context.invocation_metadata())
    if "x-echo-initial" in metadata:
        await context.send_initial_metadata((("x-echo-initial", metadata["x-echo-initial"]),))
    if "x-echo-trailing-bin" in metadata:
        context.set_trailing_metadata((("x-echo-trailing-bin", metadata["x-echo-trailing-bin"]),))
    if fields.get("sleep"):
        await asyncio.sleep(fields["sleep"])


async def _end(fields: dict[str, Any], context: Any) -> None:
    if fields.get("code"):
        code = next(code for code in grpc.StatusCode if code.value[0] == fields["code"])
        await context.abort(code, fields.get("text", ""))


async def _answers(fields: dict[str, Any]) -> AsyncIterator[bytes]:
    for size in fields.get("sizes", []):
        await asyncio.sleep(fields.get("interval", 0))
        yield pack({}, b"a" * size)


async def empty(request: bytes, context: Any) -> bytes:
    return b""


async def unary(request: bytes, context: Any) -> bytes:
    fields, payload = unpack(request)
    await _begin(fields, context)
    await _end(fields, context)
    return pack({"received": len(payload)}, b"a" * sum(fields.get("sizes", [])))


async def streaming_output(request: bytes, context: Any) -> AsyncIterator[bytes]:
    fields, _ = unpack(request)
    await _begin(fields, context)
    async for answer in _answers(fields):
        yield answer
    await _end(fields, context)


async def streaming_input(requests: AsyncIterator[bytes], context: Any) -> bytes:
    sizes = [len(unpack(request)[1]) async for request in requests]
    return pack({"received": sizes})


async def full_duplex(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    first = True
    async for request in requests:
        fields, _ = unpack(request)
        if first:
            await _begin(fields, context)
            first = False
        async for answer in _answers(fields):
            yield answer
        await _end(fields, context)


async def get_book(request: bytes, context: Any) -> bytes:
    """`t.Books/Get`: what was asked for."""
    ask = Ask.FromString(request)
    if not ask.book.id:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such book")
    return bytes(Book(name=ask.shelf, id=ask.book.id).SerializeToString())


async def check(request: bytes, context: Any) -> bytes:
    """`grpc.health.v1.Health/Check`: the service called `down` is not serving, `lost` is unknown; others serve if the
    metadata `x-refuse` does not say otherwise.
    """
    name = request[2:].decode()  # the field `service`, the only one there is
    if name == "lost":
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    refused = name == "down" or "x-refuse" in dict(context.invocation_metadata())
    return b"\x08\x02" if refused else b"\x08\x01"


async def told(request: bytes, context: Any) -> bytes:
    return pack(_told)


def counted(behaviour: Any) -> Any:
    """The same, and its calls count among those that were cancelled, or ended."""

    async def watched(request: Any, context: Any) -> AsyncIterator[Any]:
        how = "cancelled"
        try:
            async for answer in behaviour(request, context):
                yield answer
            how = "ended"
        except grpc.aio.AbortError:
            how = "ended"
            raise
        finally:
            _told[how] += 1

    return watched


async def serve(age: float) -> None:
    options = [*LIMITS, ("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 2000)]
    if age:
        options.append(("grpc.max_connection_age_ms", int(age * 1000)))
    server = grpc.aio.server(options=options)
    methods = {
        "EmptyCall": grpc.unary_unary_rpc_method_handler(empty),
        "UnaryCall": grpc.unary_unary_rpc_method_handler(unary),
        "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(counted(streaming_output)),
        "StreamingInputCall": grpc.stream_unary_rpc_method_handler(streaming_input),
        "FullDuplexCall": grpc.stream_stream_rpc_method_handler(counted(full_duplex)),
        "Told": grpc.unary_unary_rpc_method_handler(told),
    }
    shop = {"Get": grpc.unary_unary_rpc_method_handler(get_book)}
    health = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    services = {SERVICE: methods, "t.Books": shop, "grpc.health.v1.Health": health}
    handlers = [grpc.method_handlers_generic_handler(*one) for one in services.items()]
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--age", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().age))

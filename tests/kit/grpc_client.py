"""A gRPC client of grpcio's in a process of its own: the cases of gRPC's interoperability tests, and a few of ours.

Each case is one function here; it gives what the client saw, as JSON. The server is `tests.kit.grpc_server`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from tests.kit.grpc_server import LIMITS, SERVICE, pack, unpack
from tests.kit.process import KitProcess

Outcome = dict[str, Any]
SHOWN = ("x-echo-initial", "x-echo-trailing-bin")
DEADLINE = 20.0  # s, of every call


class GrpcClient(KitProcess):
    """`client.run("empty_unary", address)`: each run has a channel of its own."""

    def __init__(self) -> None:
        super().__init__("tests.kit.grpc_client")

    def run(self, case: str, address: Any) -> Outcome:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"case": case, "target": f"{address[0]}:{address[1]}"}).encode() + b"\n")
        self.process.stdin.flush()
        found: Outcome = self.read_json()
        return found


class Stub:
    """The methods, over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def path(method: str, service: str = SERVICE) -> str:
            return f"/{service}/{method}"

        self.channel = channel
        self.empty = channel.unary_unary(path("EmptyCall"))
        self.unary = channel.unary_unary(path("UnaryCall"))
        self.output = channel.unary_stream(path("StreamingOutputCall"))
        self.input = channel.stream_unary(path("StreamingInputCall"))
        self.duplex = channel.stream_stream(path("FullDuplexCall"))
        self.told = channel.unary_unary(path("Told"))
        self.unimplemented_method = channel.unary_unary(path("UnimplementedCall"))
        self.unimplemented_service = channel.unary_unary(path("UnimplementedCall", "grpc.testing.UnimplementedService"))


async def outcome(call: Any, answers: list[bytes] | None = None) -> Outcome:
    """What came of a call: its answers unless they have been read, status, text and metadata."""
    found: Outcome = {}
    try:
        if answers is None and hasattr(call, "__await__"):
            answers = [await call]
        elif answers is None:
            answers = [answer async for answer in call]
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        answers = answers or []
    found["answers"] = [[unpack(answer)[0], len(unpack(answer)[1])] for answer in answers]
    found["code"] = (await call.code()).name
    found["text"] = await call.details() or ""
    if found["code"] != "CANCELLED":
        found["initial"] = _shown(await call.initial_metadata())
        found["trailing"] = _shown(await call.trailing_metadata())
    return found


def _shown(metadata: Any) -> list[list[str]]:
    pairs = ((key, value) for key, value in metadata or () if key in SHOWN)
    return [[key, value.hex() if isinstance(value, bytes) else value] for key, value in pairs]


async def empty_unary(stub: Stub) -> Outcome:
    return await outcome(stub.empty(b"", timeout=DEADLINE))


async def large_unary(stub: Stub) -> Outcome:
    return await outcome(stub.unary(pack({"sizes": [314159]}, b"b" * 271828), timeout=DEADLINE))


async def very_large_unary(stub: Stub) -> Outcome:
    return await outcome(stub.unary(pack({"sizes": [8 << 20]}, b"b" * (8 << 20)), timeout=DEADLINE))


async def client_streaming(stub: Stub) -> Outcome:
    async def requests() -> AsyncIterator[bytes]:
        for size in (27182, 8, 1828, 45904):
            yield pack({}, b"b" * size)

    return await outcome(stub.input(requests(), timeout=DEADLINE))


async def server_streaming(stub: Stub) -> Outcome:
    return await outcome(stub.output(pack({"sizes": [31415, 9, 2653, 58979]}), timeout=DEADLINE))


async def ping_pong(stub: Stub) -> Outcome:
    call = stub.duplex(timeout=DEADLINE)
    answers = []
    for asked, size in ((27182, 31415), (8, 9), (1828, 2653), (45904, 58979)):
        await call.write(pack({"sizes": [size]}, b"b" * asked))
        answers.append(await call.read())
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return await outcome(call, answers)


async def empty_stream(stub: Stub) -> Outcome:
    call = stub.duplex(timeout=DEADLINE)
    await call.done_writing()
    return await outcome(call)


async def cancel_after_begin(stub: Stub) -> Outcome:
    call = stub.input(timeout=DEADLINE)
    await call.write(pack({}))
    call.cancel()
    return await outcome(call)


async def cancel_after_first_response(stub: Stub) -> Outcome:
    before = unpack(await stub.told(b""))[0]["cancelled"]
    call = stub.duplex(timeout=DEADLINE)
    await call.write(pack({"sizes": [31415]}, b"b" * 27182))
    answers = [await call.read()]
    await call.write(pack({"sizes": [1], "interval": 30}))
    call.cancel()
    found = await outcome(call, answers)
    found["server saw it"] = await _cancelled(stub, before)
    return found


async def _cancelled(stub: Stub, before: int) -> bool:
    """Whether one call more than `before` has been cancelled at the server, sooner or later."""
    for _ in range(200):
        if unpack(await stub.told(b""))[0]["cancelled"] > before:
            return True
        await asyncio.sleep(0.02)
    return False


async def timeout_on_sleeping_server(stub: Stub) -> Outcome:
    before = unpack(await stub.told(b""))[0]["cancelled"]
    call = stub.duplex(timeout=0.3)
    await call.write(pack({"sleep": 10}, b"b" * 27182))
    found = await outcome(call)
    found["server saw it"] = await _cancelled(stub, before)
    return found | {"text": ""}  # its words are the client's own


async def custom_metadata(stub: Stub) -> Outcome:
    metadata = (("x-echo-initial", "test_initial_metadata_value"), ("x-echo-trailing-bin", b"\xab\xab\xab"))
    unary = await outcome(stub.unary(pack({"sizes": [9]}), timeout=DEADLINE, metadata=metadata))
    call = stub.duplex(timeout=DEADLINE, metadata=metadata)
    await call.write(pack({"sizes": [9]}))
    answers = [await call.read()]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return {"unary": unary, "duplex": await outcome(call, answers)}


async def large_metadata(stub: Stub) -> Outcome:
    # Beyond 8 KiB in all, gRPC's own server begins to refuse by chance.
    metadata = (("x-echo-initial", "i" * 3000), ("x-echo-trailing-bin", bytes(range(256)) * 8))
    return await outcome(stub.unary(pack({}), timeout=DEADLINE, metadata=metadata))


async def status_code_and_message(stub: Stub) -> Outcome:
    asked = {"code": 2, "text": "test status message"}
    unary = await outcome(stub.unary(pack(asked), timeout=DEADLINE))
    call = stub.duplex(timeout=DEADLINE)
    await call.write(pack(asked))
    await call.done_writing()
    return {"unary": unary, "duplex": await outcome(call)}


async def special_status_message(stub: Stub) -> Outcome:
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    return await outcome(stub.unary(pack({"code": 2, "text": text}), timeout=DEADLINE))


async def status_after_messages(stub: Stub) -> Outcome:
    return await outcome(stub.output(pack({"sizes": [5, 5], "code": 9, "text": "enough"}), timeout=DEADLINE))


async def unimplemented_method(stub: Stub) -> Outcome:
    return await outcome(stub.unimplemented_method(b"", timeout=DEADLINE))


async def unimplemented_service(stub: Stub) -> Outcome:
    return await outcome(stub.unimplemented_service(b"", timeout=DEADLINE))


async def many_streams(stub: Stub) -> Outcome:
    """A thousand at once: each is open, and has been answered, before the first one ends."""
    calls = [stub.duplex(timeout=60) for _ in range(1000)]
    await asyncio.gather(*(call.write(pack({"sizes": [10]})) for call in calls))
    first = await asyncio.gather(*(call.read() for call in calls))
    await asyncio.gather(*(call.write(pack({"sizes": [20]})) for call in calls))
    second = await asyncio.gather(*(call.read() for call in calls))
    await asyncio.gather(*(call.done_writing() for call in calls))
    codes = {(await call.code()).name for call in calls}
    sizes = {(len(unpack(one)[1]), len(unpack(two)[1])) for one, two in zip(first, second, strict=True)}
    return {"codes": sorted(codes), "sizes": sorted(sizes)}


async def calls_one_after_the_other(stub: Stub) -> Outcome:
    """For half a second, over connections that are sent GOAWAYs."""
    codes: dict[str, int] = {}
    end = asyncio.get_running_loop().time() + 0.5
    while asyncio.get_running_loop().time() < end:
        found = await outcome(stub.unary(pack({"sizes": [10], "sleep": 0.005}), timeout=DEADLINE))
        codes[found["code"]] = codes.get(found["code"], 0) + 1
    return {"codes": sorted(codes)}


CASES: dict[str, Callable[[Stub], Awaitable[Outcome]]] = {
    case.__name__: case
    for case in (
        empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, cancel_after_begin,
        cancel_after_first_response, timeout_on_sleeping_server, custom_metadata, large_metadata,
        status_code_and_message, special_status_message, status_after_messages, unimplemented_method,
        unimplemented_service, very_large_unary, many_streams, calls_one_after_the_other,
    )
}  # fmt: skip


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        options = [*LIMITS, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(asked["target"], options=options) as channel:
            found = await CASES[asked["case"]](Stub(channel))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

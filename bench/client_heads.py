"""Which heads of real clients the express lane serves: `python -m bench.client_heads` prints the share by client.

Each head of `tests/corpus/client_heads`, with a body of the length that it names, goes over a real connection through a
whole server, whose lane is watched.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from proxy.config.header_mutation import Mutation
from proxy.config.identity import Identity
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express import Lane
from tests.unit.proxy.rig import GET, compiled, plugin, serving
from tests.unit.upstream.rig import origin

CORPUS = Path(__file__).resolve().parents[1] / "tests" / "corpus" / "client_heads"
ANSWER = b"HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\ncontent-length: 2\r\n\r\nok"

_HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


def corpus() -> dict[str, list[bytes]]:
    """The recorded heads, by client."""
    return {
        file.stem: [head + b"\r\n\r\n" for head in file.read_bytes().split(b"\r\n\r\n")[:-1]]
        for file in sorted(CORPUS.glob("*.http"))
    }


@contextlib.contextmanager
def watched() -> Iterator[list[bytes]]:
    """The path of each request that a lane has answered to the end. Costs nothing outside of this block."""
    answered: list[bytes] = []
    respond = Lane._respond

    def noted(lane: Lane, *arguments: Any) -> bool:
        whole = respond(lane, *arguments)
        if whole and lane._arrival is not None:
            answered.append(lane._arrival.path)
        return whole

    Lane._respond = noted  # type: ignore[assignment,method-assign]
    try:
        yield answered
    finally:
        Lane._respond = respond  # type: ignore[method-assign]


async def served_by_lane(heads: list[bytes]) -> list[bool]:
    """For each of `heads`, on one connection after the other: whether the lane served it."""
    edits = (Mutation(b"x-tier", "OVERWRITE_IF_EXISTS_OR_ADD", "gold"),)
    rules = plugin("rules", _HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))
    served = []
    async with origin(answering_with_bodies) as upstream:
        config = compiled(upstream.address, filters=[rules], identity=Identity(use_remote_address=True))
        async with serving(config) as rig:
            client = await rig.connect()
            await client.send(GET)  # opens the connection to the origin, which is not the lane's to do
            await client.response()
            with watched() as answered:
                for head in heads:
                    length = _LENGTH.search(head)
                    before = len(answered)
                    await client.send(head + bytes(int(length[1]) if length else 0))
                    assert (await client.response())[1] == b"ok"
                    served.append(len(answered) > before)
            await trio.aclose_forcefully(client.stream)
            await rig.quiet()
            await rig.stop()
    return served


async def answering_with_bodies(stream: trio.SocketStream) -> None:
    """An origin that reads whole requests."""
    data = b""
    while piece := await stream.receive_some(65536):
        data += piece
        while (end := data.find(b"\r\n\r\n") + 4) >= 4:
            length = _LENGTH.search(data, 0, end)
            end += int(length[1]) if length else 0
            if len(data) < end:
                break
            data = data[end:]
            await stream.send_all(ANSWER)


def main() -> None:
    print(f"{'client':<10} {'heads':>6} {'by the lane':>12}")
    for client, heads in corpus().items():
        served = trio.run(served_by_lane, heads)
        print(f"{client:<10} {len(heads):>6} {sum(served) / len(served):>12.0%}")
        for head, well in zip(heads, served, strict=True):
            if not well:
                print(f"  not: {head.partition(b'HTTP')[0].decode('latin-1')}")


if __name__ == "__main__":
    main()

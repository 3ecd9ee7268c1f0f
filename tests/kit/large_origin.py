"""An HTTP/1.1 origin, in a process of its own, that answers each connection with a large body.

It has one body for a thousand connections, and little of it ahead of who reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Sequence

from tests.kit.process import KitProcess

SIZE = 4 << 20
PIECE = bytes(16384)


class LargeOrigin(KitProcess):
    """`with LargeOrigin() as origin: origin.port`."""

    def __init__(self, within: Sequence[str] = ()) -> None:
        super().__init__("tests.kit.large_origin", (), within)
        self.port: int = self.read_json()["port"]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(0)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
    writer.close()


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(PIECE))  # which those that it accepts inherit
    server = await asyncio.start_server(_serve, sock=listener, backlog=1024)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

"""The least that a proxy on trio can do: recv, one expression, send, recv, send. It checks next to nothing and ends on
every surprise. Its row says what the event loop and the system calls alone cost on this machine.

`python -m bench.bare PORT`: relays to PORT of 127.0.0.1; prints its own port and ends with its standard input.
"""

from __future__ import annotations

import json
import re
import socket
import sys

import trio
from trio.lowlevel import wait_readable

REQUEST = re.compile(rb"(GET /[^ ]* HTTP/1\.1\r\n)((?:[A-Za-z0-9-]+: [^\r\n]*\r\n)+)\r\n")
RESPONSE = re.compile(rb"HTTP/1\.1 \d\d\d [^\r\n]*\r\n(?:[A-Za-z0-9-]+: [^\r\n]*\r\n)+\r\n")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
ADDED = b"x-request-id: 12345678-1234-1234-1234-123456789012\r\nx-forwarded-proto: http\r\n\r\n"


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


async def serve(downstream: socket.socket, pool: list[socket.socket], port: int) -> None:
    with downstream:
        while True:
            await wait_readable(downstream)
            try:
                data = downstream.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            request = REQUEST.fullmatch(data)
            assert request
            upstream = pool.pop() if pool else connect(port)
            upstream.send(b"".join((request[1], request[2], ADDED)))
            await wait_readable(upstream)
            data = upstream.recv(65536)
            response = RESPONSE.match(data)
            length = LENGTH.search(data)
            assert response
            assert length
            assert len(data) == response.end() + int(length[1])
            pool.append(upstream)
            downstream.send(data)


async def main(port: int) -> None:
    pool: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                while True:
                    await wait_readable(listener)
                    downstream, _ = listener.accept()
                    downstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    downstream.setblocking(False)
                    nursery.start_soon(serve, downstream, pool, port)

            nursery.start_soon(accept)
            await wait_readable(sys.stdin)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))

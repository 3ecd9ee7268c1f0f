"""`python -m tests.integration.serve PORT`: one `Server` in a process of its own, in front of an origin on PORT.

Prints `{"port": …}` and ends with its standard input. There is no route timeout: transfers may take their time.
"""

from __future__ import annotations

import json
import socket
import sys

import trio

from proxy.config.common import SocketAddress
from proxy.server import Server
from proxy.stats import MemoryStats
from proxy.upstream.tables import MemoryTables
from tests.unit.proxy.rig import compiled, route


async def main(origin: int) -> None:
    config = compiled(SocketAddress("127.0.0.1", origin), routes=[route(timeout=0.0)])
    server = Server(config, config.endpoints, MemoryStats(), MemoryTables(), worker_index=0)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        sock.setblocking(False)
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.run(task_status=task_status))
            nursery.start_soon(server.accept, "l", 0, sock)
            print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
            await trio.lowlevel.wait_readable(sys.stdin)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))

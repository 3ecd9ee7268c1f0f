"""CPU time per GB of the TCP relay: `splice` against `recv` and `send`, over loopback.

`python -m bench.tcp_relay [GB]`. One process relays; a child sends, another drops what comes. User and system time of
the relaying process alone.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time

import trio

from proxy.net.pipe import PipePool
from proxy.net.relay import Direction, Idle, Relay
from proxy.net.relay_end import SocketEnd

CHUNK = bytes(1 << 20)


def child(run: object) -> int:
    pid = os.fork()
    if pid == 0:
        run()  # type: ignore[operator]
        os._exit(0)
    return pid


def measure(size: int, *, splice: bool) -> str:
    with socket.create_server(("127.0.0.1", 0)) as front, socket.create_server(("127.0.0.1", 0)) as back:

        def send() -> None:
            with socket.create_connection(front.getsockname()) as sock:
                for _ in range(size // len(CHUNK)):
                    sock.sendall(CHUNK)

        def drop() -> None:
            sock, _ = back.accept()
            buffer = bytearray(1 << 20)
            while sock.recv_into(buffer):
                pass

        children = [child(send), child(drop)]
        downstream, _ = front.accept()
        upstream = socket.create_connection(back.getsockname())
    for sock in (downstream, upstream):
        sock.setblocking(False)

    passed = 0

    def count(amount: int) -> None:
        nonlocal passed
        passed += amount

    def nothing(_: int) -> None:
        pass

    async def relay() -> None:
        with trio.CancelScope() as scope:
            near = SocketEnd(downstream, 1 << 20, nothing, nothing)
            far = SocketEnd(upstream, 1 << 20, nothing, count)
            directions = Direction("downstream", near, far), Direction("upstream", far, near)
            await Relay(*directions, PipePool(splice=splice), Idle(scope, 3600)).run()

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    trio.run(relay)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    for pid in children:
        os.waitpid(pid, 0)
    for sock in (downstream, upstream):
        sock.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    name = "splice" if splice else "recv and send"
    return f"{name:14} {cpu * 1e9 / passed:.2f} s of CPU per GB, {passed / seconds / 1e9:.2f} GB/s"


if __name__ == "__main__":
    total = int(float(sys.argv[1] if len(sys.argv) > 1 else 4) * 1e9)
    for splice in (True, False, True, False):
        print(measure(total, splice=splice), flush=True)

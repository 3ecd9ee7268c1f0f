"""Listening sockets that get other names while somebody waits in their queues."""

from __future__ import annotations

import socket
from typing import Any, cast

import trio

from shm.processes import ProcessTable
from shm.socket_name import SocketName
from tests.kit.trio import run_trio
from workers.accepting import Acceptors


class Server:
    """Notes for which listener each connection was accepted."""

    def __init__(self) -> None:
        self.accepted: list[str] = []

    async def accept(
        self,
        listener: str,
        address: int,
        sock: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(sock)
            sock.accept()[0].close()
            self.accepted.append(listener)


def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@run_trio
async def test_two_listeners_change_places_and_a_third_is_dropped() -> None:
    server = Server()
    sockets = {name: listening() for name in ("a", "b", "c")}
    names = {name: str(SocketName(name, 0, 0)) for name in sockets}

    async def connect(name: str) -> None:
        seen = len(server.accepted)
        with socket.create_connection(sockets[name].getsockname()):
            with trio.move_on_after(0.5):
                while len(server.accepted) == seen:  # noqa: ASYNC110 - a list wakes nobody
                    await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        table = ProcessTable(ProcessTable.create(4))
        acceptors = Acceptors(cast(Any, server), table, index=0, generation=1, nursery=nursery)
        acceptors.add({names[name]: sock.dup().detach() for name, sock in sockets.items()})
        acceptors.set_topology(count=1, listening=1)
        for name in sockets:
            await connect(name)
        assert server.accepted == ["a", "b", "c"]
        acceptors.rename({names["a"]: names["b"], names["b"]: names["a"], names["c"]: ""})
        acceptors.update()
        for name in sockets:
            await connect(name)
        assert server.accepted[3:] == ["b", "a"]
        acceptors.close()
    for sock in sockets.values():
        sock.close()

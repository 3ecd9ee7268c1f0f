"""The admin server of a `LiveView` on real sockets, in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trio

from master.admin.server import serve
from tests.kit.view import LiveView

JOIN_DEADLINE = 20.0


class Served(NamedTuple):
    """Where the server listens."""

    tcp: tuple[str, int]
    unix: Path


@contextlib.contextmanager
def serving(view: LiveView, directory: Path) -> Iterator[Served]:
    """Serves `view` on a TCP port of 127.0.0.1 and on `directory`/admin.sock until the block ends."""
    path = directory / "admin.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        started = threading.Event()
        stop: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []
        failures: list[BaseException] = []

        async def main() -> None:
            with trio.CancelScope() as scope:
                stop.append((trio.lowlevel.current_trio_token(), scope))
                started.set()
                await serve(view, [tcp, unix], view.admin_stats)

        def run() -> None:
            try:
                trio.run(main)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run, name="admin")
        thread.start()
        try:
            assert started.wait(JOIN_DEADLINE)
            yield Served(tcp.getsockname(), path)
        finally:
            token, scope = stop[0]
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)
            thread.join(JOIN_DEADLINE)
            assert not thread.is_alive(), "the admin server did not stop"
        if failures:
            raise failures[0]

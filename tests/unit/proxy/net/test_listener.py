"""The accept loop: what it ignores, what makes it pause, what ends it, and that it loses no connection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.limits import ACCEPT_BACKOFF, ACCEPT_BURST
from proxy.net.listener import IGNORABLE, OVERLOAD, accept_loop
from tests.kit.trio import run_trio


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as sock:
        sock.setblocking(False)
        yield sock


class Faulty(socket.socket):
    """A listening socket whose `accept` first fails with the errors of `faults`."""

    faults: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.faults:
            raise OSError(self.faults.pop(0), "injected")
        return super().accept()


def faulty(faults: list[int]) -> Faulty:
    sock = Faulty()
    sock.faults = faults
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sock.setblocking(False)
    return sock


@run_trio
async def test_accepted_sockets_are_ready_for_use(listening: socket.socket) -> None:
    accepted: list[socket.socket] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept_loop, listening, accepted.append)
        with socket.create_connection(listening.getsockname()):
            while not accepted:  # noqa: ASYNC110
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    with accepted[0] as sock:
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.get_inheritable()


@run_trio
async def test_cancelling_loses_no_connection(listening: socket.socket) -> None:
    count = ACCEPT_BURST * 3 + 5
    clients = [socket.create_connection(listening.getsockname()) for _ in range(count)]
    accepted: list[socket.socket] = []
    while len(accepted) < count:
        with trio.CancelScope() as scope:

            def take(sock: socket.socket, scope: trio.CancelScope = scope) -> None:
                accepted.append(sock)
                scope.cancel()

            await accept_loop(listening, take)
    assert {sock.getpeername() for sock in accepted} == {sock.getsockname() for sock in clients}
    for sock in accepted + clients:
        sock.close()


@pytest.mark.parametrize("error", sorted(IGNORABLE))
def test_a_connection_that_died_in_the_queue_is_ignored(error: int) -> None:
    accepted: list[socket.socket] = []

    async def check() -> None:
        with faulty([error]) as sock, socket.create_connection(sock.getsockname()), trio.CancelScope() as scope:

            def take(client: socket.socket) -> None:
                client.close()
                accepted.append(client)
                scope.cancel()

            await accept_loop(sock, take)

    trio.run(check)
    assert len(accepted) == 1


@pytest.mark.parametrize("error", sorted(OVERLOAD))
def test_overload_pauses_says_so_once_and_goes_on(error: int, caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        begun = trio.current_time()
        with faulty([error] * 3) as sock, socket.create_connection(sock.getsockname()), trio.CancelScope() as scope:

            def take(client: socket.socket) -> None:
                client.close()
                scope.cancel()

            await accept_loop(sock, take)
        assert trio.current_time() - begun == pytest.approx(3 * ACCEPT_BACKOFF)

    trio.run(check, clock=MockClock(autojump_threshold=0))
    assert caplog.text.count("cannot accept on") == 1


@run_trio
async def test_any_other_error_is_raised() -> None:
    raised = pytest.raises(OSError, match="injected")
    with faulty([errno.EBADF]) as sock, socket.create_connection(sock.getsockname()), raised:
        await accept_loop(sock, lambda client: client.close())


@run_trio
async def test_another_process_may_accept_on_the_same_socket(listening: socket.socket) -> None:
    accepted: list[socket.socket] = []
    with listening.dup() as theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_loop, listening, accepted.append)
            nursery.start_soon(accept_loop, theirs, accepted.append)
            await wait_all_tasks_blocked()
            clients = [socket.create_connection(listening.getsockname()) for _ in range(8)]
            while len(accepted) < len(clients):  # noqa: ASYNC110
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    for sock in accepted + clients:
        sock.close()

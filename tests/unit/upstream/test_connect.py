"""Opening connections."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
import trio

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.upstream.connect import ConnectFailed, connect
from tests.kit.leaks import no_leaks
from tests.kit.trio import run_trio


def close_all(*socks: socket.socket) -> None:
    for sock in socks:
        sock.close()


def full_listener() -> tuple[SocketAddress, list[socket.socket]]:
    """A listener whose queue is full: a connection to it never completes."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    socks = [listener]
    for _ in range(3):
        socks.append(sock := socket.socket())
        sock.setblocking(False)
        assert sock.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    return SocketAddress(*listener.getsockname()), socks


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@run_trio
async def test_tcp(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        sock = await connect(SocketAddress(host, listener.getsockname()[1]), 5)
        with sock:
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getpeername()[:2] == listener.getsockname()[:2]


@pytest.mark.parametrize("abstract", [False, True])
@run_trio
async def test_unix(tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{path}" if abstract else path)
        listener.listen()
        sock = await connect(PipeAddress(f"@{path}" if abstract else path), 5)
        with sock:
            assert not sock.getblocking()


@run_trio
async def test_refused_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = SocketAddress(*listener.getsockname())
    with pytest.raises(ConnectFailed) as caught:
        await connect(address, 5)
    assert (caught.value.cause, caught.value.timed_out) == ("delayed connect error: Connection refused", False)


@run_trio
async def test_refused_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    with pytest.raises(ConnectFailed) as caught:
        await connect(PipeAddress(path), 5)
    assert caught.value.cause == f"immediate connect error: No such file or directory|remote address:{path}"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (SocketAddress("fe80::1%nope", 80), "Name or service not known"),
        (PipeAddress("/" + "x" * 200), "AF_UNIX path too long"),
    ],
    ids=["no interface", "a long path"],
)
@run_trio
async def test_no_address_for_this_machine(address: Address, words: str) -> None:
    """What the socket module says of it is no error of the kernel's."""
    with no_leaks(), pytest.raises(ConnectFailed) as caught:
        await connect(address, 5)
    assert caught.value.cause == f"immediate connect error: {words}|remote address:{address}"
    assert (caught.value.local, caught.value.errno) == (True, None)


@run_trio(virtual_time=True)
async def test_nobody_accepts() -> None:
    address, socks = full_listener()
    began = trio.current_time()
    with pytest.raises(ConnectFailed) as caught:
        await connect(address, 5)
    assert caught.value.timed_out
    assert trio.current_time() == began + 5
    close_all(*socks)


@pytest.mark.parametrize("how", ["timeout", "cancel", "refused"])
def test_no_socket_is_left_behind(how: str) -> None:
    @run_trio(virtual_time=True)
    async def attempt(address: Address) -> None:
        with trio.move_on_after(1 if how == "cancel" else 100):
            with pytest.raises(ConnectFailed):
                await connect(address, 5)

    address, socks = full_listener()
    if how == "refused":
        close_all(*socks)
    with no_leaks():
        attempt(address)
    close_all(*socks)

"""Which listener gets which of the sockets that systemd hands over."""

from __future__ import annotations

import logging
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.committed import Address
from master.supervisor.systemd.fd_store import StoredName
from master.supervisor.systemd.listen_fds import Handed, address_of
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.supply import ADMIN, Supplies, Wanted, assign, release
from shm.socket_name import SHARED, SocketName

A, B, C = (Address(host="192.0.2.1", port=port) for port in (80, 443, 8080))
PIPE = Address(path="/run/web.sock")
NO_SOCKET: socket.socket = None  # type: ignore[assignment]  # a decision touches none


def given_(address: Address, name: str = "trireme.socket") -> Handed:
    return Handed(name, NO_SOCKET, address, reuse_port=False)


def stored(listener: str, address: Address, index: int, number: int = 0) -> Handed:
    return Handed(str(StoredName.of(SocketName(listener, number, index))), NO_SOCKET, address, index != SHARED)


def names(supplies: Supplies) -> dict[str, dict[int, str]]:
    return {key[0]: {index: one.name for index, one in supply.sockets.items()} for key, supply in supplies.items()}


def test_by_address_then_by_name() -> None:
    by_name, by_address = given_(C, "a"), given_(B)
    supplies = assign([Wanted("a", 0, A), Wanted("b", 0, B)], [by_name, by_address])
    assert {key: supply.sockets for key, supply in supplies.items()} == {
        ("a", 0): {SHARED: by_name},
        ("b", 0): {SHARED: by_address},
    }
    assert all(supply.given for supply in supplies.values())


def test_an_address_goes_before_a_name() -> None:
    misnamed = given_(B, "a")
    assert list(assign([Wanted("a", 0, A), Wanted("b", 0, B)], [misnamed])) == [("b", 0)]


def test_several_addresses_of_one_listener() -> None:
    first, second = given_(B, "a"), given_(C, "a")
    supplies = assign([Wanted("a", 0, A), Wanted("a", 1, B)], [first, second])
    assert supplies["a", 1].sockets == {SHARED: first}
    assert supplies["a", 0].sockets == {SHARED: second}


def test_the_admin_is_found_by_address_alone() -> None:
    assert assign([Wanted(ADMIN, 0, A)], [given_(B, ADMIN)]) == {}
    assert list(assign([Wanted(ADMIN, 0, A)], [given_(A)])) == [(ADMIN, 0)]
    assert assign([Wanted(ADMIN, 0, A)], [stored("web", A, 0)]) == {}


def test_our_own_come_back_to_their_indexes() -> None:
    ours = [stored("web", A, index) for index in (2, 0, 1)]
    (supply,) = assign([Wanted("web", 0, A)], ours).values()
    assert {index: one.name for index, one in supply.sockets.items()} == {
        index: f"trireme/0/{index}/web" for index in (0, 1, 2)
    }
    assert not supply.given


def test_a_port_0_keeps_its_port_and_a_new_port_gets_no_old_socket() -> None:
    anything = Address(host="192.0.2.1", port=0)
    assert list(assign([Wanted("web", 0, anything)], [stored("web", A, 0)])) == [("web", 0)]
    assert assign([Wanted("web", 0, B)], [stored("web", A, 0)]) == {}
    assert assign([Wanted("other", 0, anything)], [stored("web", A, 0)]) == {}


def test_listeners_that_changed_places_keep_the_queues_of_their_addresses() -> None:
    handed = [stored("a", A, 0), stored("b", B, 0)]
    found = assign([Wanted("a", 0, B), Wanted("b", 0, A)], handed)
    assert names(found) == {"a": {0: "trireme/0/0/b"}, "b": {0: "trireme/0/0/a"}}


def test_sockets_of_two_listeners_on_one_address_are_all_kept() -> None:
    found = assign([Wanted("new", 0, A)], [stored("old", A, 0), stored("older", A, 0)])
    assert sorted(found["new", 0].sockets) == [0, 1]


def test_a_unix_socket_is_shared() -> None:
    assert list(assign([Wanted("web", 0, PIPE)], [stored("web", PIPE, SHARED)])["web", 0].sockets) == [SHARED]


addresses = st.sampled_from([A, B, C, PIPE, Address(host="192.0.2.1", port=0)])
listeners = st.sampled_from(["a", "b", "c"])
handed_sockets = st.one_of(
    st.builds(given_, addresses, listeners),
    st.builds(stored, listeners, addresses, st.integers(SHARED, 3), st.integers(0, 2)),
)


@given(st.dictionaries(st.tuples(listeners, st.integers(0, 2)), addresses), st.lists(handed_sockets))
def test_nobody_shares_a_socket_and_none_is_in_two_hands(
    listens: dict[tuple[str, int], Address], handed: list[Handed]
) -> None:
    supplies = assign([Wanted(*key, address) for key, address in listens.items()], handed)
    used = [one for supply in supplies.values() for one in supply.sockets.values()]
    assert len(used) == len(set(used))
    assert set(used) <= set(handed)
    for key, supply in supplies.items():
        assert supply.sockets
        assert (SHARED in supply.sockets) == (
            len(supply.sockets) == 1 and not next(iter(supply.sockets.values())).reuse_port
        )
        if not supply.given:
            assert all(one.address == listens[key] or listens[key].port == 0 for one in supply.sockets.values())


def test_what_is_left_over(caplog: pytest.LogCaptureFixture) -> None:
    mine, theirs = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    kept_by_systemd = theirs.dup()
    with kept_by_systemd, mine.dup() as copy, caplog.at_level(logging.INFO):
        handed = [
            Handed("trireme/0/0/gone", mine, address_of(mine), reuse_port=True),
            Handed("extra", theirs, address_of(theirs), reuse_port=False),
        ]
        release({}, handed, Notifier(None))
        assert "no listener is on 127.0.0.1" in caplog.text
        assert "extra), but no listener has this address or name" in caplog.text
        socket.create_connection(kept_by_systemd.getsockname()).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(copy.getsockname())

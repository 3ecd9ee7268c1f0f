"""Names in the fd store: systemd takes them, and they lead back to the listener."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.systemd.fd_store import StoredName
from shm.socket_name import SHARED, SocketName


@given(st.text(), st.integers(0, 99), st.integers(SHARED, 99))
def test_systemd_takes_every_name_and_we_read_it_back(listener: str, address: int, index: int) -> None:
    name = StoredName.of(SocketName(listener, address, index))
    text = str(name)
    assert len(text) <= 255
    assert ":" not in text
    assert text.isascii()
    assert text.isprintable()
    assert StoredName.parse(text) == name


@given(st.text(min_size=50), st.text(min_size=50))
def test_long_names_stay_apart(one: str, other: str) -> None:
    names = {StoredName.of(SocketName(listener * 5, 0, 0)) for listener in (one, other)}
    assert len(names) == len({one, other})


@given(st.text())
def test_foreign_names_are_not_ours(text: str) -> None:
    found = StoredName.parse(text)
    assert found is None or str(found) == text


def test_names_of_socket_units_are_foreign() -> None:
    assert StoredName.parse("trireme.socket") is None
    assert StoredName.parse("trireme/0/x/web") is None
    assert StoredName.parse("trireme/00/1/web") is None
